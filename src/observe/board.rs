//! Everything that is shown, in one place: handed to the HTTP server, filled by the rooms that know.

use std::fmt;
use std::sync::Arc;

use super::log::DroppedLines;
use super::process::About;
use super::readiness::Readiness;
use super::watch::Watch;
use crate::client::pinned::PinnedClient;
use crate::meter::counters::Counters;
use crate::pool::snapshot::{PoolSnapshot, ServerSnapshot};

/// Reads all pools' accounts. No two snapshots may share both database and user. It runs on the HTTP server's
/// thread at each scrape, so it takes each pool's lock once, shortly.
pub type ReadPools = Box<dyn Fn() -> Vec<PoolSnapshot> + Send + Sync>;

/// Lists all pools' servers, by database and user. As above.
pub type ReadServers = Box<dyn Fn() -> Vec<(String, String, Vec<ServerSnapshot>)> + Send + Sync>;

/// Lists the clients that keep a server. It runs on the HTTP server's thread, too.
pub type ReadPinned = Box<dyn Fn() -> Vec<PinnedClient> + Send + Sync>;

/// What `/metrics`, `/status.json`, `/healthz` and `/readyz` speak of.
pub struct Board {
    pub about: About,
    pub counters: Arc<Counters>,
    pub readiness: Arc<Readiness>,
    pub pools: ReadPools,
    pub servers: ReadServers,
    pub watch: Arc<Watch>,
    pub pinned: ReadPinned,
    /// `None` if the log isn't ours, as in tests.
    pub dropped_lines: Option<DroppedLines>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("about", &self.about)
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
