//! What clients did with servers: counted by an exchange, handed over with its server, summed by the pool.
//!
//! Depends on nothing. Invariant: each count is counted where the thing is done, once.

/// What was done between two releases of a server, or by all of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub queries: u64,
    pub transactions: u64,
    /// Bytes from the client to the server.
    pub bytes_up: u64,
    /// Bytes from the server to the client.
    pub bytes_down: u64,
    /// Messages, the same ways.
    pub messages_up: u64,
    pub messages_down: u64,
    /// Prepared statements that a server had when they were needed; that were parsed for that; that were closed for want
    /// of room.
    pub statements_found: u64,
    pub statements_parsed: u64,
    pub statements_evicted: u64,
}

impl Work {
    pub fn add(&mut self, more: &Self) {
        self.queries += more.queries;
        self.transactions += more.transactions;
        self.bytes_up += more.bytes_up;
        self.bytes_down += more.bytes_down;
        self.messages_up += more.messages_up;
        self.messages_down += more.messages_down;
        self.statements_found += more.statements_found;
        self.statements_parsed += more.statements_parsed;
        self.statements_evicted += more.statements_evicted;
    }
}
