//! A pool's accounts at one moment, as `/metrics`, the status and the advice read them.

use std::sync::Arc;
use std::time::Duration;

use super::applications::ApplicationSnapshot;
use super::settings::Mode;
use super::spread::Spread;
use super::stopwatch::Times;
use crate::meter::work::Work;

/// Everything counted about one pool. Counters only grow while the process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSnapshot {
    pub database: String,
    pub user: String,
    pub mode: Mode,
    /// The limit in force: below the configured size while PostgreSQL has no more connections to give.
    pub size: u32,
    pub configured_size: u32,
    pub reserve_size: u32,
    pub min_size: u32,
    pub queue_limit: u32,
    pub queue_timeout: Duration,
    /// Backends that may be pinned beyond `size`.
    pub pinned_limit: u32,
    // -- gauges: servers by state, clients
    pub servers_connecting: u32,
    pub servers_idle: u32,
    /// Lent, also those whose transaction pauses.
    pub servers_active: u32,
    /// Of the active ones, those whose transaction waits for its client.
    pub servers_pausing: u32,
    pub servers_pinned: u32,
    /// Of these, the ones that don't count against `size`.
    pub servers_exempt: u32,
    /// Being closed; their backends may still exist, so they still count against the limits.
    pub servers_closing: u32,
    /// Logged-in clients of this pool.
    pub clients: u32,
    /// Clients that have asked for something within a minute or two.
    pub clients_seen: u32,
    pub waiting: u32,
    /// The most that waited at once since the watch looked last.
    pub waiting_peak: u32,
    pub oldest_wait: Duration,
    /// Why no server can be opened, if that is so.
    pub trouble: Option<Trouble>,
    pub pins: Vec<PinSnapshot>,
    pub applications: Vec<ApplicationSnapshot>,
    // -- counters
    pub checkouts: u64,
    /// Checkouts that had to wait.
    pub waits: u64,
    /// Waits that are over, however they ended.
    pub wait: Spread,
    /// Durations of queries and the like.
    pub times: Times,
    /// From a client's return of its server to its next request.
    pub think: Spread,
    pub queue_timeouts: u64,
    pub queue_refusals: u64,
    pub work: Work,
    /// Servers opened, by how long that took, login and all.
    pub connect: Spread,
    /// By SQLSTATE, or `none` if PostgreSQL didn't say a word.
    pub connect_failures: Vec<(String, u64)>,
    pub servers_closed: u64,
    pub own: OwnTimes,
    /// What clients heard from pgweir, by SQLSTATE, and from PostgreSQL, by class.
    pub errors: Vec<(String, u64)>,
    pub server_errors: Vec<(String, u64)>,
    /// Time that servers spent idle, summed over servers.
    pub idle_time: Duration,
    /// Time that servers spent lent out, pinned ones apart; summed over servers.
    pub active_time: Duration,
    /// The same for pinned ones.
    pub pinned_time: Duration,
    /// Time during which every server that the pool may have was busy.
    pub full_time: Duration,
    /// Time during which at least one client waited.
    pub waiting_time: Duration,
    /// Waits of all clients, those under way included.
    pub waiting_sum: Duration,
}

impl PoolSnapshot {
    pub fn open_servers(&self) -> u32 {
        self.servers_idle + self.servers_active + self.servers_pinned
    }

    pub fn failures(&self) -> u64 {
        self.connect_failures.iter().map(|(_, count)| count).sum()
    }
}

/// pgweir's own questions, by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnTimes {
    /// To make a session as its client left the last one.
    pub replay: Spread,
    /// To learn what a session has become.
    pub probe: Spread,
    /// To take away what the next client must not have.
    pub reset: Spread,
}

/// One reason to pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinSnapshot {
    pub reason: &'static str,
    pub now: u64,
    pub begun: u64,
    /// Server time, pins under way included.
    pub held: Duration,
}

/// Why servers can't be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// PostgreSQL doesn't answer.
    Unreachable(Arc<str>),
    /// It has no more connections to give.
    Full,
    /// A limit over all pools is reached.
    Ceiling,
}

/// One server as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSnapshot {
    pub pid: i32,
    pub state: &'static str,
    pub for_time: Duration,
    pub age: Duration,
    pub pin: Option<&'static str>,
    pub application: Option<Arc<str>>,
}
