//! `pgweir import`: a `pgbouncer.ini` as `pgweir.toml`.

use std::path::Path;
use std::process::ExitCode;

use crate::config::pgbouncer;

use super::{BAD_CONFIGURATION, say};

/// What can't be taken over safely goes to standard error, and makes the exit code 2: the rest is printed all the
/// same, as a start.
pub(super) fn import(file: &Path) -> ExitCode {
    let translation = pgbouncer::translate(file);
    let printed = say(translation.to_toml().as_bytes());
    if translation.problems.is_empty() {
        return printed;
    }
    for problem in &translation.problems {
        anstream::eprintln!("{problem}");
    }
    ExitCode::from(BAD_CONFIGURATION)
}
