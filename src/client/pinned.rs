//! Clients that keep their server beyond a transaction, as people see them listed.
//!
//! Depends on `house` for where a client belongs. Invariant: a client is listed from the settling that pins it to the one
//! that ends the pin, or to its own end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::house::Home;
use crate::session::client::APPLICATION_NAME;
use crate::session::params::Params;
use crate::session::pins::{Pins, Reason};

/// What a client's card says while the client is pinned. Texts are made when somebody reads them.
pub(super) struct Pinned {
    pub(super) home: Arc<Home>,
    pub(super) told: Params,
    pub(super) pins: Pins,
    /// The process id of its backend; 0 if that told none.
    pub(super) server: i32,
    pub(super) since: Instant,
}

/// One client that keeps its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedClient {
    /// The process id that the client was told.
    pub client: i32,
    /// That of PostgreSQL's process, as in `pg_stat_activity`.
    pub server: i32,
    pub database: String,
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// Each with a word of its own; the first one counts in the metrics.
    pub reasons: Vec<Reason>,
    pub held_for: Duration,
}

impl Pinned {
    pub(super) fn listed(&self, client: i32, now: Instant) -> PinnedClient {
        PinnedClient {
            client,
            server: self.server,
            database: self.home.pool.database().to_owned(),
            user: self.home.pool.user().to_owned(),
            application: self.told.get(APPLICATION_NAME).unwrap_or_default().to_owned(),
            reasons: self.pins.reasons().collect(),
            held_for: now.saturating_duration_since(self.since),
        }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.home.name(), self.pins)
    }
}
