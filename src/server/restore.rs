//! Makes a server's session as a client left its own.
//!
//! Depends on `ask`, `lease`. Invariant: the label in the pool and the settings in the ledger are changed together,
//! and say nothing known while a replay is under way.

use std::sync::Arc;

use super::ask::AskError;
use super::lease::Lease;
use crate::pool::key::Label;
use crate::session::settings::{Settings, replay};

impl Lease {
    /// Notes what the session has been found to have.
    pub fn wear(&mut self, settings: Arc<Settings>) {
        self.set_label(Label(settings.id));
        self.ledger.settings = Some(settings);
    }

    /// Sets and resets what is otherwise than `wanted`, in one round trip; nothing is sent if nothing is.
    ///
    /// # Errors
    /// The session's settings are not known then, so the server can't be given back as it is.
    pub async fn restore(&mut self, wanted: &Arc<Settings>) -> Result<(), AskError> {
        let there = self.ledger.settings.take();
        let difference = there.and_then(|there| replay(&there.overrides, &wanted.overrides));
        if let Some(sql) = difference {
            self.ask(&sql).await?;
        }
        self.wear(wanted.clone());
        Ok(())
    }
}
