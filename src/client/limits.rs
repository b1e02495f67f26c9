//! What one client, and all of them, may use.

/// Bounds on clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Logged-in clients, over all databases.
    pub max_clients: u32,
    /// Connections that have not logged in yet.
    pub max_logins: u32,
    /// Those of one source; see [`ClientLimits::max_logins_per_source`].
    pub max_logins_per_source: Option<u32>,
    /// Failed logins a second from one source that are answered at once; `None`: all of them.
    pub failed_logins_per_source: Option<u32>,
    /// Bytes of one message that must be read whole (Parse, a rewritten Query, FunctionCall names).
    pub statement_size: u32,
    /// Bytes of all prepared statements that one client keeps.
    pub client_statements: u64,
    /// Bytes of notifications that wait for one client.
    pub client_notifications: u32,
    /// Bytes of statement texts shared by the clients of one pool.
    pub shared_statements: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_logins: 2_000,
            max_logins_per_source: None,
            failed_logins_per_source: Some(10),
            statement_size: 1 << 20,
            client_statements: 16 << 20,
            client_notifications: 4 << 20,
            shared_statements: 64 << 20,
        }
    }
}

impl ClientLimits {
    /// Without a word, a quarter of [`max_logins`](Self::max_logins) is left to others: a NAT or a sidecar is one source, and
    /// all of its clients come at once when they restart.
    pub fn max_logins_per_source(&self) -> u32 {
        self.max_logins_per_source.unwrap_or_else(|| self.max_logins - self.max_logins / 4)
    }
}
