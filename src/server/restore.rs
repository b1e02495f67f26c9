//! Makes a server's session as a client left its own: its settings, and statements that can't be parsed at any later time.
//!
//! Depends on `ask`, `lease`. Invariant: the label in the pool and the settings in the ledger are changed together,
//! and say nothing known while a replay is under way.

use std::sync::Arc;

use super::ask::AskError;
use super::lease::Lease;
use crate::pool::key::Label;
use crate::session::settings::{Settings, replay};
use crate::session::statements::client::Held;
use crate::wire::tag::frontend;
use crate::wire::write;

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

    /// Parses those of these statements that the server lacks, each under the settings under which its client did: a date
    /// in a text, say, is read once, when the text is parsed. One that can't be parsed any more is left out; its client
    /// hears why when it uses it.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub async fn bring(&mut self, statements: Vec<Held>) -> Result<(), AskError> {
        for Held { statement, stamp, .. } in statements {
            let now = self.ledger.replies.segments();
            if self.ledger.statements.serves(statement.id, stamp, now) {
                continue;
            }
            self.restore(&statement.origin).await?;
            let mut messages = Vec::new();
            write::close_statement(&mut messages, &statement.id.server_name());
            write::parse(&mut messages, &statement.id.server_name(), &statement.definition);
            write::bare(&mut messages, frontend::SYNC);
            match self.ask_raw(&messages).await {
                Ok(_) => self.ledger.statements.parsed(statement.id, stamp, now),
                Err(error) if error.is_harmless() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
