//! What may be set in a pool; `config` builds these. All durations are exact, `None` is "off".

use std::time::Duration;

use crate::session::sequences::Reliance;

/// When a server goes back to the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When the client disconnects.
    Session,
    /// When no transaction is open and nothing pins the server (the default).
    #[default]
    Transaction,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

/// How faithfully the session state of a client (settings, what pins a server) follows it between servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionState {
    /// It follows (the default).
    #[default]
    Full,
    /// As `Full`, and a server that knows the name of a custom setting which its client never used isn't given to it.
    Strict,
    /// It doesn't: what a client sets stays on the server, even what PgBouncer would set again.
    Off,
}

/// The settings of one pool (one database and user).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    pub mode: Mode,
    pub session_state: SessionState,
    /// Whether clients rely on what sequences gave them in earlier transactions.
    pub sequences: Reliance,
    /// Servers that the pool may open for ordinary work.
    pub size: u32,
    /// Servers kept open even when idle; opened once the pool has been used.
    pub min_size: u32,
    /// Further servers for when the oldest waiter has waited for `reserve_after`.
    pub reserve_size: u32,
    pub reserve_after: Duration,
    /// Servers that may be pinned to clients, beyond `size`. [`Totals::pinned`] bounds them over all pools.
    pub pinned_servers: u32,
    /// Longest wait for a server; then 57P03.
    pub queue_timeout: Duration,
    /// Longest queue; the next client is refused with 53300.
    pub queue_limit: u32,
    /// A server older than this is replaced when idle (with jitter).
    pub server_lifetime: Option<Duration>,
    /// A server idle for longer than this is closed, down to `min_size` (with jitter).
    pub server_idle_timeout: Option<Duration>,
    /// For one attempt: DNS, TCP, TLS and login.
    pub connect_timeout: Duration,
    /// Connection attempts under way at once.
    pub parallel_connects: u32,
    /// Prepared statements kept on one server.
    pub server_statements: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Transaction,
            session_state: SessionState::Full,
            sequences: Reliance::Observed,
            size: 20,
            min_size: 0,
            reserve_size: 0,
            reserve_after: Duration::from_secs(5),
            pinned_servers: 40,
            queue_timeout: Duration::from_secs(120),
            queue_limit: 10_000,
            server_lifetime: Some(Duration::from_secs(3600)),
            server_idle_timeout: Some(Duration::from_secs(600)),
            connect_timeout: Duration::from_secs(5),
            parallel_connects: 4,
            server_statements: 500,
        }
    }
}

/// Bounds on servers across pools. `None` is "no bound but the pools' own".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Over all pools.
    pub servers: Option<u32>,
    /// Over the pools of one database.
    pub per_database: Option<u32>,
    /// Over the pools of one user.
    pub per_user: Option<u32>,
    /// Pinned servers beyond their pools' sizes, over all pools.
    pub pinned: Option<u32>,
}
