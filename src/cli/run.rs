//! The pooler itself.

use std::process::ExitCode;

use crate::config::Plan;
use crate::lifecycle;

pub(super) fn run(plan: Plan) -> ExitCode {
    lifecycle::run::run(plan)
}
