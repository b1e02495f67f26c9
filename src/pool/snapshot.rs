//! A pool's accounts at one moment, as `/metrics` and the console read them.

use std::time::Duration;

/// Upper bounds of the wait histogram, in microseconds; a last bucket beyond them is implied.
pub const WAIT_BOUNDS_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 15_000_000, 60_000_000,
];

/// Everything counted about one pool. Counters only grow while the process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSnapshot {
    pub database: String,
    pub user: String,
    /// The limit in force: below the configured size while PostgreSQL has no more connections to give.
    pub size: u32,
    pub reserve_size: u32,
    pub queue_limit: u32,
    // -- gauges: servers by state, clients
    pub servers_connecting: u32,
    pub servers_idle: u32,
    pub servers_active: u32,
    pub servers_pinned: u32,
    /// Being closed; their backends may still exist, so they still count against the limits.
    pub servers_closing: u32,
    /// Logged-in clients of this pool.
    pub clients: u32,
    pub waiting: u32,
    pub oldest_wait: Duration,
    /// Pinned servers by reason.
    pub pins: Vec<(&'static str, u64)>,
    // -- counters
    pub checkouts: u64,
    /// Checkouts that had to wait.
    pub waits: u64,
    /// Waits by duration: one count per bound of [`WAIT_BOUNDS_US`] and one beyond. Not cumulative.
    pub wait_buckets: [u64; 19],
    pub wait_total: Duration,
    pub queue_timeouts: u64,
    pub queue_refusals: u64,
    pub transactions: u64,
    pub queries: u64,
    /// Bytes from clients to servers, and back.
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub servers_closed: u64,
    /// Pins by reason.
    pub pins_begun: Vec<(&'static str, u64)>,
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
}
