//! `pgweir demo`.

use std::process::ExitCode;

use super::args::DemoOptions;
use super::fail;

pub(super) fn demo(options: &DemoOptions) -> ExitCode {
    fail(&format!("the demo is not part of this build (keep: {})", options.keep))
}
