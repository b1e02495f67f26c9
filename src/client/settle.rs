//! After an exchange: ask PostgreSQL what the session has become, if anything says that it may have changed, and
//! hand the server back or keep it.

use super::duplex::{End, Loss};
use super::relay::Client;
use crate::pool::accounts::Tally;
use crate::pool::settings::Mode;
use crate::server::ask::AskError;
use crate::server::lease::Lease;
use crate::session::clean::{self, Unclean};
use crate::session::client::APPLICATION_NAME;
use crate::session::notifications::append_readdressed;
use crate::session::pins::Reason;
use crate::session::settle::{Answers, Questions};

impl Client {
    /// Releases the server if nothing speaks against it: the way of most transactions. Else it comes back.
    pub(super) fn release(&mut self, lease: Lease) -> Option<Lease> {
        let track = self.home.shared.limits.track_state;
        let stays = self.home.mode == Mode::Session || (track && self.state.touch.needs_settling());
        if stays || !self.state.pins.is_empty() {
            return Some(lease);
        }
        match clean::prove(&lease.ledger, self.is_quiet()) {
            Ok(clean) => {
                self.after_exchange(&lease);
                self.state.touch.clear();
                lease.release(clean, self.tally());
                None
            }
            Err(_) => Some(lease),
        }
    }

    /// Asks what has to be asked, then releases the server, or returns it because the client must keep it.
    /// `lingered`: the client has paused since.
    pub(super) async fn settle(&mut self, mut lease: Lease, lingered: bool) -> Result<Option<Lease>, End> {
        self.after_exchange(&lease);
        if self.home.shared.limits.track_state {
            self.ask_what_changed(&mut lease).await?;
            self.settle_channels(&mut lease, lingered).await?;
        } else {
            self.state.touch.clear();
        }
        let notifications = std::mem::take(&mut lease.notifications);
        if self.home.mode == Mode::Session || !self.state.pins.is_empty() {
            let pid = lease.ledger.pid;
            let told = self.card.pid;
            append_readdressed(self.working().down.out(), &notifications, pid, told);
            lease.tally(self.tally());
            return Ok(Some(lease));
        }
        match clean::prove(&lease.ledger, self.is_quiet()) {
            Ok(clean) => lease.release(clean, self.tally()),
            Err(Unclean::Doubtful) => self.resolve_doubt(lease).await?,
            // Dropping the lease ends the server.
            Err(unclean) => tracing::warn!(%unclean, "a server was not clean and is closed"),
        }
        Ok(None)
    }

    fn after_exchange(&mut self, lease: &Lease) {
        self.clock.released();
        self.state.cancel_reason = None;
        self.state.told.adopt(&lease.ledger.params);
    }

    /// No byte for the server or from it is held.
    fn is_quiet(&self) -> bool {
        self.lanes.as_ref().is_none_or(|lanes| {
            !lanes.up.has_output() && !lanes.up.is_passing() && lanes.down.is_between_messages()
        })
    }

    fn tally(&mut self) -> Tally {
        let work = self.lanes.as_mut().map(|lanes| std::mem::take(&mut lanes.work)).unwrap_or_default();
        work.errors.iter().for_each(|code| self.home.counters.server_error(*code));
        Tally {
            queries: work.queries,
            transactions: work.transactions,
            bytes_up: work.bytes_up,
            bytes_down: work.bytes_down,
        }
    }

    async fn ask_what_changed(&mut self, lease: &mut Lease) -> Result<(), End> {
        let touch = &self.state.touch;
        let pinned = !self.state.pins.is_empty();
        if !touch.needs_settling() && !pinned {
            self.state.touch.clear();
            return Ok(());
        }
        let before = &self.state.settings.overrides;
        let mut questions = Questions::of(touch, before, pinned);
        if self.state.pins.unknown {
            questions = Questions::everything(before);
        }
        self.state.pins.stick(touch.effects);
        if !questions.is_empty() {
            match self.ask_and_learn(lease, &questions).await {
                Ok(()) => {}
                // The client's own statement_timeout, perhaps; the next settling asks again.
                Err(error) if error.is_harmless() => self.state.pins.unknown = true,
                Err(_) => return Err(End::ServerGone(Loss::Silent)),
            }
        }
        self.state.touch.clear();
        self.pin_or_unpin(lease, pinned);
        Ok(())
    }

    async fn ask_and_learn(&mut self, lease: &mut Lease, questions: &Questions) -> Result<(), AskError> {
        let answers = ask(lease, questions).await?;
        self.take_answers(lease, questions, &answers);
        self.keep_application_name(lease).await
    }

    fn take_answers(&mut self, lease: &mut Lease, questions: &Questions, answers: &Answers) {
        let before = &self.state.settings.overrides;
        let after = answers.overrides(questions, before, &lease.baseline, &lease.login_user);
        let settings = self.home.shared.settings.intern(after);
        lease.wear(settings.clone());
        self.state.settings = settings;
        self.state.pins = answers.pins(self.state.pins);
        self.state.told = lease.ledger.params.clone();
    }

    /// RESET gave `application_name` the value that the server started with, not the client's own; that is set again.
    async fn keep_application_name(&mut self, lease: &mut Lease) -> Result<(), AskError> {
        let now = &self.state.settings.overrides;
        let Some(own) = &self.state.application_name else { return Ok(()) };
        if now.values.contains_key(APPLICATION_NAME) || lease.ledger.params.get(APPLICATION_NAME) == Some(own)
        {
            return Ok(());
        }
        let mut wanted = now.clone();
        wanted.values.insert(APPLICATION_NAME.into(), own.clone());
        self.state.settings = self.home.shared.settings.intern(wanted);
        lease.restore(&self.state.settings).await?;
        self.state.told = lease.ledger.params.clone();
        Ok(())
    }

    fn pin_or_unpin(&mut self, lease: &Lease, was_pinned: bool) {
        match self.state.pins.reasons().next() {
            Some(reason) if !was_pinned => {
                if reason != Reason::Listen {
                    tracing::info!(%reason, pool = %self.home.name(), "a client keeps its server");
                }
                lease.pin(reason.as_str());
            }
            None if was_pinned => lease.unpin(),
            _ => {}
        }
    }

    /// A copy failed with Syncs on the way: the server may have taken each for a Sync or for a part of the copy,
    /// so more ReadyForQuery may come. An empty query's answer shows where they end.
    async fn resolve_doubt(&mut self, mut lease: Lease) -> Result<(), End> {
        let late = lease.count_late_ready().await.map_err(|_| End::ServerGone(Loss::Silent))?;
        let out = self.working().down.out();
        for _ in 0..late {
            crate::wire::write::ready_for_query(out, b'I');
        }
        lease.ledger.replies.resolved();
        if let Ok(clean) = clean::prove(&lease.ledger, true) {
            lease.release(clean, self.tally());
        }
        Ok(())
    }
}

async fn ask(lease: &mut Lease, questions: &Questions) -> Result<Answers, AskError> {
    let mut messages = Vec::new();
    let mut prepared = lease.ledger.questions;
    questions.write(&mut messages, &mut prepared);
    let rows = lease.ask_raw(&messages).await;
    // After an error nothing says which of them were prepared.
    lease.ledger.questions = if rows.is_ok() { prepared } else { 0 };
    Answers::read(rows?).ok_or(AskError::Protocol)
}
