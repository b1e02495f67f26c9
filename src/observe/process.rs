//! Figures of the process itself: what it is, what it may use, what it uses.
//!
//! What it uses is read from `/proc`; where there is none, those metrics are absent.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::client::limits::ClientLimits;
use crate::meter::family::Family;
use crate::meter::family::Read::{By, One};
use crate::meter::family::Value::{Count, Time};

/// What is settled when the process starts.
#[derive(Clone, Debug)]
pub struct About {
    /// Since the epoch.
    pub started: Duration,
    pub limits: ClientLimits,
}

/// The metrics of [`About`].
pub static ABOUT: &[Family<About>] = &[
    Family::gauge(
        "pgweir_build_info",
        "Always 1; the label says which version runs.",
        By("version", |_| vec![(env!("CARGO_PKG_VERSION"), Count(1))]),
    ),
    Family::gauge(
        "pgweir_process_start_time_seconds",
        "When the process started, in seconds since the epoch.",
        One(|a| Time(a.started)),
    ),
    Family::gauge(
        "pgweir_clients_limit",
        "Clients that may be logged in, over all pools.",
        One(|a| Count(a.limits.max_clients.into())),
    ),
    Family::gauge(
        "pgweir_logins_limit",
        "Clients that may be logging in at once.",
        One(|a| Count(a.limits.max_logins.into())),
    ),
];

/// What the process uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub resident_bytes: u64,
    pub threads: u64,
    pub open_fds: u64,
    /// The soft limit; the largest number if there is none.
    pub max_fds: u64,
}

/// The metrics of [`Usage`].
pub static USAGE: &[Family<Usage>] = &[
    Family::gauge(
        "pgweir_process_resident_memory_bytes",
        "Memory of the process that is resident.",
        One(|u| Count(u.resident_bytes)),
    ),
    Family::gauge("pgweir_process_threads", "Threads of the process.", One(|u| Count(u.threads))),
    Family::gauge("pgweir_process_open_fds", "File descriptors in use.", One(|u| Count(u.open_fds))),
    Family::gauge(
        "pgweir_process_max_fds",
        "File descriptors that the process may use.",
        One(|u| Count(u.max_fds)),
    ),
];

impl Usage {
    /// `None` where `/proc` doesn't tell.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        // One of the entries is the descriptor that reads the directory.
        let open_fds = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
        Some(Self {
            resident_bytes: field(&status, "VmRSS:")? * 1024,
            threads: field(&status, "Threads:")?,
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        })
    }
}

/// The number behind `name` at the start of a line of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmRSSx:\t1 kB\nVmRSS:\t    5120 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:"), Some(5120));
        assert_eq!(field(status, "Threads:"), Some(3));
        assert_eq!(field(status, "Absent:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_new_descriptor_is_counted() {
        let usage = Usage::read().expect("/proc is mounted");
        assert!(usage.resident_bytes > 0 && usage.threads > 0);
        assert!(usage.open_fds >= 3 && usage.open_fds <= usage.max_fds, "{usage:?}");
    }
}
