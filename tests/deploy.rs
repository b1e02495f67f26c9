//! What operators are given below `deploy/`: rules and a dashboard that name only what exists, alerts that have their
//! section in the runbook, and a Prometheus that comes to the right conclusions about a real pgweir.
//!
//! `scripts/test.sh` installs Prometheus.
#![allow(clippy::disallowed_methods, dead_code, unreachable_pub, unused_imports)]

#[path = "faults/kit/mod.rs"]
mod kit;
#[path = "deploy/live.rs"]
mod live;
#[path = "saturation/load.rs"]
mod load;
#[path = "deploy/names.rs"]
mod names;
#[path = "deploy/prometheus.rs"]
mod prometheus;
#[path = "deploy/rules.rs"]
mod rules;

use std::{fs, path::PathBuf};

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
