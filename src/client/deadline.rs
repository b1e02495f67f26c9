//! The timers of a client.

use std::time::Duration;

/// What bounds a client's time; `None` is "off".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the first ReadyForQuery's authentication; absolute.
    pub login: Duration,
    /// One statement or batch, from its first byte to its ReadyForQuery; then it is cancelled (57014).
    pub query: Option<Duration>,
    /// One transaction; then the client is closed (25P03).
    pub transaction: Option<Duration>,
    /// A pause inside a transaction; then the client is closed (25P03).
    pub idle_in_transaction: Option<Duration>,
    /// A pause between transactions; then the client is closed (57P05).
    pub client_idle: Option<Duration>,
    /// How long a client may take less than 1 KiB/s of an answer that waits for it; then it is closed (08006).
    pub write_stall: Option<Duration>,
    /// Transactions that take longer are told in the log; nothing else happens to them.
    pub slow_transaction: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(10),
            query: None,
            transaction: None,
            idle_in_transaction: None,
            client_idle: None,
            write_stall: Some(Duration::from_secs(60)),
            slow_transaction: None,
        }
    }
}
