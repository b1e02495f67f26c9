//! How the process ends: what may be set of it.

use std::time::Duration;

/// SIGTERM's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// `/readyz` says 503 for this long before the listeners close.
    pub delay: Duration,
    /// Transactions and queued clients get this long; then they are ended.
    pub timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::ZERO, timeout: Duration::from_secs(30) }
    }
}
