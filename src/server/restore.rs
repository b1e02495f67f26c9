//! Makes a server's session as a client left its own: its settings, and statements that can't be parsed at any later time.
//!
//! Depends on `ask`, `lease`. Invariant: the label in the pool and the settings in the ledger are changed together,
//! and say nothing known while a replay is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::ask::AskError;
use super::lease::Lease;
use crate::meter::work::Work;
use crate::pool::core::Purpose;
use crate::pool::key::Label;
use crate::session::clean;
use crate::session::params::Params;
use crate::session::replay::{replay, replay_ahead};
use crate::session::replies::Slot;
use crate::session::settings::{Interner, Overrides, Settings};
use crate::session::statements::client::Held;
use crate::session::statements::server::Unnamed;
use crate::wire::tag::frontend;
use crate::wire::write;

impl Lease {
    /// Notes what the session has been found to have.
    pub fn wear(&mut self, settings: Arc<Settings>) {
        self.set_label(Label { settings: settings.id, names: settings.names_for_good(&self.baseline) });
        self.ledger.settings = Some(settings);
    }

    /// Gives back a server that was asked nothing but questions of ours; one that isn't clean ends.
    pub fn hand_back(self) {
        if let Ok(clean) = clean::prove(&self.ledger, true) {
            self.release(clean, Work::default());
        }
    }

    /// Whether the session may have settings of others than the client `pid` that nobody knows by name.
    pub fn hides_names_from(&self, pid: i32) -> bool {
        self.ledger.nameless.is_some_and(|owner| owner != pid)
    }

    /// Resets every setting, so that those are gone, too.
    ///
    /// # Errors
    /// The server can't be used any more.
    pub async fn reset_all(&mut self, interner: &Interner) -> Result<(), AskError> {
        let there = self.ledger.settings.take().ok_or(AskError::Protocol)?;
        self.ask("RESET ALL").await?;
        self.ledger.nameless = None;
        let identity = Overrides { values: BTreeMap::new(), ..there.overrides.clone() };
        self.wear(interner.intern(identity));
        Ok(())
    }

    /// Whether nothing in the session is for good that `wanted`, the settings of the client `pid`, is without.
    pub fn can_become(&self, wanted: &Settings, pid: i32) -> bool {
        if self.baseline.is_exact() && self.hides_names_from(pid) {
            return false;
        }
        let there = self.ledger.settings.as_ref();
        there.is_none_or(|there| there.overrides.can_become(&wanted.overrides, &self.baseline))
    }

    /// Sets and resets what is otherwise than `wanted`, in one round trip; nothing is sent if nothing is.
    ///
    /// # Errors
    /// After a harmless one nothing has changed. After any other the server can't be used any more.
    pub async fn restore(&mut self, wanted: &Arc<Settings>) -> Result<(), AskError> {
        self.set(wanted, Purpose::Replay).await
    }

    /// The same, to take away what the next client must not have.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub async fn reset_to(&mut self, wanted: &Arc<Settings>) -> Result<(), AskError> {
        self.set(wanted, Purpose::Reset).await
    }

    async fn set(&mut self, wanted: &Arc<Settings>, purpose: Purpose) -> Result<(), AskError> {
        let there = self.ledger.settings.take().ok_or(AskError::Protocol)?;
        if !there.overrides.can_become(&wanted.overrides, &self.baseline) {
            return Err(AskError::Unforgettable);
        }
        if let Some(sql) = replay(&there.overrides, &wanted.overrides)
            && let Err(error) = self.ask_for(purpose, sql).await
        {
            // One Query is one transaction.
            self.ledger.settings = Some(there).filter(|_| error.is_harmless());
            return Err(error);
        }
        self.wear(wanted.clone());
        Ok(())
    }

    async fn ask_for(&mut self, purpose: Purpose, sql: String) -> Result<(), AskError> {
        let began = Instant::now();
        let asked = self.ask(&sql).await;
        self.asked_for(purpose, began);
        asked.map(drop)
    }

    /// As [`Self::restore`], but only appends the message to `out`, for a request to follow at once. `told`: what the client
    /// believes that the server reports. False if the answer has to be awaited; then nothing is done.
    pub fn restore_ahead(&mut self, wanted: &Arc<Settings>, told: &Params, out: &mut Vec<u8>) -> bool {
        let Some(there) = self.ledger.settings.as_ref() else { return false };
        let Some(sql) = replay_ahead(&there.overrides, &wanted.overrides) else { return false };
        // What else it reports otherwise has to be told.
        let replayed = |name: &str| {
            let name = name.to_ascii_lowercase();
            [&there, &wanted].iter().any(|settings| settings.overrides.values.contains_key(&*name))
        };
        if !self.ledger.params.difference(told).all(|(name, _)| replayed(name)) {
            return false;
        }
        write::query(out, sql.as_bytes());
        self.ledger.statements.unnamed = Unnamed::Absent;
        self.ledger.sent(Slot::replay());
        self.ledger.params = told.clone();
        self.wear(wanted.clone());
        true
    }

    /// Whether the server has all of these statements.
    pub fn has<'a>(&mut self, mut statements: impl Iterator<Item = &'a Held>) -> bool {
        let now = self.ledger.replies.segments();
        statements.all(|held| self.ledger.statements.serves(held.statement.id, held.stamp, now))
    }

    /// Parses those of these statements that the server lacks, each under the settings that changed the meaning of texts
    /// when its client did: a date in a text, say, is read once, when the text is parsed. One that can't be parsed so any
    /// more is left out; its client hears why when it uses it. `own`: the other settings of the client.
    ///
    /// # Errors
    /// As [`Self::restore`], none of them harmless.
    pub async fn bring(
        &mut self,
        statements: Vec<Held>,
        own: &Settings,
        interner: &Interner,
    ) -> Result<(), AskError> {
        let lacking: Vec<Held> =
            statements.into_iter().filter(|held| !self.has([held].into_iter())).collect();
        for same in lacking.chunk_by(|a, b| a.dialect() == b.dialect()) {
            let Some(origin) = same.first().and_then(|held| held.statement.origin.as_ref()) else { continue };
            let meaning = interner.intern(own.overrides.speaking_as(&origin.overrides));
            match self.restore(&meaning).await {
                Ok(()) => self.parse_all(same).await?,
                Err(error) if error.is_harmless() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// In one round trip; if one of them can't be parsed, each in its own.
    async fn parse_all(&mut self, statements: &[Held]) -> Result<(), AskError> {
        let now = self.ledger.replies.segments();
        match self.ask_raw(&parses(statements)).await {
            Ok(_) => {
                statements
                    .iter()
                    .for_each(|held| self.ledger.statements.parsed(held.statement.id, held.stamp, now));
            }
            Err(error) if error.is_harmless() && statements.len() > 1 => {
                for held in statements {
                    Box::pin(self.parse_all(std::slice::from_ref(held))).await?;
                }
            }
            Err(error) if error.is_harmless() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn parses(statements: &[Held]) -> Vec<u8> {
    let mut messages = Vec::new();
    for Held { statement, .. } in statements {
        write::close_statement(&mut messages, &statement.id.server_name());
        write::parse(&mut messages, &statement.id.server_name(), &statement.definition);
    }
    write::bare(&mut messages, frontend::SYNC);
    messages
}
