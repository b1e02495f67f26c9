//! Takes everything from a server that its last client may have left.
//!
//! Depends on `ask`, `lease`, `restore`. Invariant: what PostgreSQL forgets at `DISCARD ALL`, the ledger forgets with it.

use std::sync::Arc;

use super::ask::AskError;
use super::lease::Lease;
use crate::session::server::NOBODY;
use crate::session::settings::Settings;

impl Lease {
    /// Runs `DISCARD ALL`. `plain` is what a session has behind it: what it began with.
    ///
    /// # Errors
    /// The server can't be used any more; nor can one that knows what `DISCARD ALL` doesn't make it forget.
    pub async fn discard_all(&mut self, plain: &Arc<Settings>) -> Result<(), AskError> {
        if !self.can_become(plain, NOBODY) {
            return Err(AskError::Unforgettable);
        }
        self.ledger.settings = None;
        self.ask("DISCARD ALL").await?;
        self.ledger.statements.retain(|_| false);
        self.ledger.questions = 0;
        self.ledger.sequences = None;
        self.ledger.nameless = None;
        // Whoever listened has gone.
        self.notifications.clear();
        self.wear(plain.clone());
        Ok(())
    }
}
