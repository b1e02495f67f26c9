//! The contract of `/status.json`: what the status page, `pgweir top` and whoever likes can read.
//!
//! Types only, which can be written and read; `docs/status.md` explains each field. Times are seconds, moments are
//! seconds since the epoch, shares are 0 to 1. Fields may be added; a change of meaning raises [`CONTRACT`].

use serde::{Deserialize, Serialize};

pub use crate::meter::news::{EventKind, Severity};

pub use self::pool::{
    Application, Clients, Connections, Figures, History, Pin, Pool, Quantiles, Queue, Server, Servers,
    Standing,
};

mod pool;
pub mod read;

/// Raised when a field is taken away or changes its meaning.
pub const CONTRACT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub contract: u32,
    /// When this was read.
    pub now: f64,
    pub process: Process,
    /// By database, then user.
    pub pools: Vec<Pool>,
    pub history: Steps,
    /// The latest ones, oldest first.
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub version: String,
    /// Changes with each start of the process.
    pub started: f64,
    pub uptime_s: f64,
    pub phase: Phase,
    /// Connections of clients, logged in or not, and how many may be logged in.
    pub clients: u64,
    pub clients_limit: u64,
    pub logins_in_flight: u64,
    pub logins_limit: u64,
    /// Whether the latest attempt to reach an upstream succeeded.
    pub upstream_answers: bool,
    /// Where the system tells.
    pub usage: Option<Usage>,
    /// The longest that a ready task had to wait for a thread in the last 10 seconds.
    pub lag_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    Serving,
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub resident_bytes: u64,
    pub threads: u64,
    pub open_fds: u64,
    pub max_fds: u64,
}

/// How the pools' histories are cut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The length of one point.
    pub step_s: f64,
    /// The number of the point that comes next: ask with `?since=` this to get only what is new then.
    pub next: u64,
}

/// Something worth knowing that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up from 1 while the process lives.
    pub number: u64,
    pub at: f64,
    pub kind: EventKind,
    pub severity: Severity,
    /// The pool that it is about, if it is about one.
    pub database: Option<String>,
    pub user: Option<String>,
    /// For people.
    pub text: String,
}
