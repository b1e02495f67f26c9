//! The part of the contract that is about one pool.

use serde::{Deserialize, Serialize};

use crate::advice::verdict::{Advice, Cause, Verdict};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub database: String,
    pub user: String,
    /// `session`, `transaction` or `statement`.
    pub mode: String,
    /// Servers that the pool may open for ordinary work now…
    pub size: u32,
    /// …and by its settings; more than `size` while PostgreSQL gives no more.
    pub configured_size: u32,
    pub reserve_size: u32,
    pub servers: Servers,
    pub clients: Clients,
    pub queue: Queue,
    /// The last seconds.
    pub now: Figures,
    pub standing: Standing,
    /// The largest causes of how busy it is, three at most, largest first.
    pub causes: Vec<Cause>,
    pub advice: Option<Advice>,
    /// By reason; reasons that occurred once stay.
    pub pins: Vec<Pin>,
    /// By the servers' time that they took, largest first; the last one may be `other`, for all that aren't listed.
    pub applications: Vec<Application>,
    /// Those in use first, then as long as they have been in their state; fifty at most.
    pub server_list: Vec<Server>,
    /// PostgreSQL's own limit, once it is known.
    pub connections: Option<Connections>,
    pub history: History,
}

/// Server connections now, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    pub connecting: u32,
    pub idle: u32,
    /// Lent and at work.
    pub active: u32,
    /// Lent, in a transaction whose client asks for nothing.
    pub idle_in_transaction: u32,
    /// Lent for as long as the session holds something of its client's.
    pub pinned: u32,
    /// On their way out; they still count.
    pub closing: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Logged in. Those that neither work nor wait rest.
    pub connected: u32,
    /// Those that have a server.
    pub working: u32,
    pub waiting: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    pub limit: u32,
    /// How long the client at its head has waited.
    pub oldest_wait_s: f64,
    /// The most that waited at once in the last minute.
    pub high_water: u32,
    /// How long a client may wait.
    pub timeout_s: f64,
}

/// What happened in the last `span_s` seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub span_s: f64,
    /// The mean number of servers in use, by `size`. Pinned servers beyond the size let it pass 1.
    pub utilisation: f64,
    /// Of that: those whose transaction paused, and those that were pinned.
    pub idle_in_transaction: f64,
    pub pinned: f64,
    /// The share of the time in which no server was free.
    pub full_share: f64,
    /// The share of the time in which somebody waited.
    pub waiting_share: f64,
    /// The share of checkouts that had to wait.
    pub waited_share: f64,
    pub transactions_per_s: f64,
    pub queries_per_s: f64,
    pub to_server_bytes_per_s: f64,
    pub to_client_bytes_per_s: f64,
    /// Of all checkouts: those that need not wait have waited 0.
    pub wait: Quantiles,
    pub query: Quantiles,
    pub transaction: Quantiles,
    /// Waits that ended in an error, and clients that were refused.
    pub timeouts: u64,
    pub refusals: u64,
}

/// From a histogram, so they are right to within its bounds. `None`: nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
}

/// The verdict, which stands until another has held for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub verdict: Verdict,
    pub since: f64,
    /// The one before.
    pub before: Option<Verdict>,
    /// Why, for people.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    pub reason: String,
    pub now: u64,
    pub total: u64,
    /// Server seconds, ever.
    pub held_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    pub name: String,
    pub clients: u32,
    pub transactions: u64,
    /// Server seconds, ever, and as a mean number of servers in the last seconds.
    pub held_s: f64,
    pub servers: f64,
    pub waits: u64,
    pub waited_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The backend's process id; 0 if it told none.
    pub pid: i32,
    /// As the fields of [`Servers`].
    pub state: String,
    /// How long it has been in that state.
    pub for_s: f64,
    pub age_s: f64,
    /// Why it is pinned.
    pub pin: Option<String>,
    /// Whose client has it.
    pub application: Option<String>,
}

/// PostgreSQL's connections, asked for now and then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    pub max: u32,
    /// Kept for superusers and reserved roles.
    pub reserved: u32,
    /// In use by anyone, this pgweir included.
    pub used: u32,
    /// When this was asked.
    pub at: f64,
}

/// Fifteen minutes, oldest first; all series are equally long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The number of the first point; numbers are the same for all pools.
    pub first: u64,
    pub utilisation: Vec<f32>,
    /// The most that waited at once.
    pub waiting: Vec<u32>,
    pub wait_p50_s: Vec<f32>,
    pub wait_p99_s: Vec<f32>,
    pub transactions_per_s: Vec<f32>,
}
