//! `pgweir demo`.

use std::process::ExitCode;

use super::args::DemoOptions;
use crate::demo;

pub(super) fn demo(options: &DemoOptions) -> ExitCode {
    let DemoOptions { clients, servers, seconds, keep } = *options;
    demo::run(&demo::Options { clients, servers, seconds, keep, programs: None })
}
