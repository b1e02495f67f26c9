//! After an exchange: ask PostgreSQL what the session has become, if anything says that it may have changed, and
//! hand the server back or keep it.

use std::time::Instant;

use super::duplex::End;
use super::pinned::Pinned;
use super::relay::Client;
use crate::meter::work::Work;
use crate::pool::core::{Pin, Purpose, Returned};
use crate::pool::settings::Mode;
use crate::server::ask::AskError;
use crate::server::lease::Lease;
use crate::session::clean::{self, Unclean};
use crate::session::client::{APPLICATION_NAME, ClientState};
use crate::session::exchange::Shared;
use crate::session::notifications::append_readdressed;
use crate::session::pins::{Hold, Reason};
use crate::session::sequences::Keep;
use crate::session::settle::{Answers, Questions};
use crate::sql::Effects;
use crate::wire::fault::Fault;

impl Client {
    /// Releases the server if nothing speaks against it: the way of most transactions. Else it comes back.
    pub(super) fn release(&mut self, lease: Lease) -> Option<Lease> {
        let shared = &self.home.shared;
        let stays = self.home.mode == Mode::Session
            || self.is_touched()
            || (shared.limits.track_state && shared.lexicon.is_due())
            || shared.sequences.keep(self.state.touch.effects) != Keep::No;
        if stays || !self.state.pins.is_empty() || self.state.settings.idle_timeout.is_some() {
            return Some(lease);
        }
        match clean::prove(&lease.ledger, self.is_quiet()) {
            Ok(clean) => {
                self.after_exchange(&lease);
                self.state.touch.clear();
                let returned = lease.release(clean, self.tally());
                self.returned(returned);
                None
            }
            Err(_) => Some(lease),
        }
    }

    /// Asks what has to be asked, then releases the server, or returns it because the client must keep it.
    /// `lingered`: the client has paused since.
    pub(super) async fn settle(&mut self, mut lease: Lease, lingered: bool) -> Result<Option<Lease>, End> {
        self.after_exchange(&lease);
        // What is asked now is not the client's work.
        if let Some(took) = lease.stopwatch().ended(Instant::now()) {
            self.mind_length(took);
        }
        if self.home.shared.limits.track_state {
            // Signs, not the mere doubt whether a text has some.
            let touched = self.state.touch.needs_settling();
            if self.ask_what_changed(&mut lease).await.is_err() {
                lease.close();
                return self.session_lost(touched).map(|()| None);
            }
            self.settle_channels(&mut lease, lingered).await?;
            self.show_pins(&lease);
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
        if let Some(resting) = self.home.shared.settings.to_rest(&self.state.settings)
            && lease.reset_to(&resting).await.is_err()
        {
            lease.close();
            return Ok(None);
        }
        match clean::prove(&lease.ledger, self.is_quiet()) {
            Ok(clean) => {
                let returned = lease.release(clean, self.tally());
                self.returned(returned);
            }
            Err(Unclean::Doubtful) => self.resolve_doubt(lease).await?,
            // Dropping the lease ends the server.
            Err(unclean) => tracing::warn!(%unclean, "a server was not clean and is closed"),
        }
        Ok(None)
    }

    /// Whether the session may have become another since it was last asked.
    pub(super) fn is_touched(&self) -> bool {
        let (shared, touch) = (&self.home.shared, &self.state.touch);
        shared.limits.track_state && (touch.needs_settling() || touch.is_doubtful(shared.lexicon.moment()))
    }

    /// The server was lost before it said what the session has become. The client has its answer, and stays if nothing
    /// says that more than the server was lost.
    pub(super) fn session_lost(&mut self, touched: bool) -> Result<(), End> {
        if self.keeps_session() || touched {
            return Err(End::Fault(Fault::SessionLost { held: self.held() }));
        }
        self.state.touch.clear();
        Ok(())
    }

    fn after_exchange(&mut self, lease: &Lease) {
        self.clock.released();
        self.state.cancel_reason = None;
        self.state.told.adopt(&lease.ledger.params);
    }

    fn rename(&mut self) {
        let name = self.state.told.get(APPLICATION_NAME).unwrap_or_default();
        self.card.set_application(self.home.pool.rename(self.card.application(), name));
    }

    fn returned(&mut self, returned: Returned) {
        self.rested = Some(returned.at);
        if let Some(took) = returned.transaction {
            self.mind_length(took);
        }
    }

    /// No byte for the server or from it is held.
    fn is_quiet(&self) -> bool {
        self.lanes.as_ref().is_none_or(|lanes| {
            !lanes.up.has_output() && !lanes.up.is_passing() && lanes.down.is_between_messages()
        })
    }

    /// What was done since it was last told, which is told with it.
    fn tally(&mut self) -> Work {
        let Some(lanes) = &mut self.lanes else { return Work::default() };
        lanes.errors.drain(..).for_each(|code| self.home.server_error(code));
        std::mem::take(&mut lanes.work)
    }

    /// An error means that the server can't be used any more.
    async fn ask_what_changed(&mut self, lease: &mut Lease) -> Result<(), AskError> {
        let held = self.state.pins.hold();
        self.keep_sequences(lease, held);
        self.renew_catalog(lease).await?;
        let lexicon = &self.home.shared.lexicon;
        let (touch, pins) = (&self.state.touch, self.state.pins);
        let before = &self.state.settings.overrides;
        let questions = match pins.unknown {
            true => Questions::everything(before, pins, lexicon),
            false => Questions::of(touch, before, pins, lexicon),
        };
        self.state.pins.stick(touch.effects, lexicon);
        if touch.effects.intersects(Effects::HIDES_NAMES) {
            lease.ledger.nameless = Some(self.card.pid);
        }
        if !questions.is_empty() {
            self.ask_and_learn(lease, &questions).await?;
        }
        self.state.touch.clear();
        // A configuration that was read again meanwhile was reported in between our questions.
        self.tell_params(lease);
        self.pin_or_unpin(lease, held);
        Ok(())
    }

    /// Values of sequences can't be asked for, so what was done says whether they are worth a server.
    fn keep_sequences(&mut self, lease: &Lease, held: Option<Hold>) {
        let effects = self.state.touch.effects;
        let given_up = effects.contains(Effects::DISCARD_ALL)
            || matches!(held, Some(Hold::Channels | Hold::Convenient(_))) && lease.is_asked_back();
        match self.home.shared.sequences.keep(effects) {
            _ if given_up => self.state.pins.sequences = Keep::No,
            Keep::No => {}
            keep => self.state.pins.sequences = keep,
        }
    }

    /// If the texts were judged by what may be out of date, anything may have happened; what the catalogue says now is
    /// read first, since it knows names that have to be asked for.
    async fn renew_catalog(&mut self, lease: &mut Lease) -> Result<(), AskError> {
        // Whatever it changed is committed by now.
        lease.ledger.change = None;
        let catalog = &self.home.catalog;
        let mut renewed = Ok(());
        if self.state.touch.is_doubtful(catalog.lexicon.moment()) {
            self.state.touch.effects |= Effects::OPAQUE;
            renewed = catalog.renew(lease).await;
        } else if catalog.lexicon.take_due() {
            renewed = catalog.compare(lease).await;
        }
        match renewed {
            Err(error) if !error.is_harmless() => Err(error),
            _ => Ok(()),
        }
    }

    async fn ask_and_learn(&mut self, lease: &mut Lease, questions: &Questions) -> Result<(), AskError> {
        let began = Instant::now();
        let mut answers = ask(lease, questions).await;
        if answers.as_ref().is_err_and(AskError::is_harmless) {
            // A hidden DEALLOCATE ALL took our statements, perhaps, or the client's own statement_timeout struck.
            answers = ask(lease, questions).await;
        }
        lease.asked_for(Purpose::Probe, began);
        match answers {
            Ok(answers) => {
                self.take_answers(lease, questions, &answers);
                self.keep_application_name(lease).await
            }
            Err(error) if error.is_harmless() => {
                // The next settling asks again.
                self.state.pins.unknown = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn take_answers(&mut self, lease: &mut Lease, questions: &Questions, answers: &Answers) {
        let before = self.state.settings.dialect;
        learn(lease, &mut self.state, &self.home.shared, questions, answers);
        let now = self.state.settings.dialect;
        if now != before {
            self.speaks_otherwise = self.state.statements.in_other_dialects(now).next().is_some();
        }
        self.rename();
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
        // It was told so at the RESET already.
        self.state.told.set(APPLICATION_NAME, own, &lease.ledger.hasher);
        Ok(())
    }

    fn pin_or_unpin(&mut self, lease: &Lease, before: Option<Hold>) {
        let hold = self.state.pins.hold();
        if hold == before {
            return;
        }
        match hold {
            Some(Hold::Channels) => self.pin_for_channels(lease),
            Some(Hold::Needed(reason)) => {
                self.log_pin(reason);
                lease.pin(Pin::needed(reason.as_str()));
            }
            Some(Hold::Convenient(keep)) => lease.pin(Pin {
                reason: Reason::Sequence.as_str(),
                is_replaced: keep == Keep::Yes,
                yields: self.card.waker(),
            }),
            None => lease.unpin(),
        }
    }

    fn show_pins(&self, lease: &Lease) {
        let pins = self.state.pins;
        if pins.is_empty() {
            return self.card.unpinned();
        }
        let (home, told) = (self.home.clone(), self.state.told.clone());
        let (server, since) = (lease.ledger.pid, Instant::now());
        self.card.pinned(Pinned { home, told, pins, server, since });
    }

    /// Once for each reason and application.
    fn log_pin(&self, reason: Reason) {
        let application = self.state.told.get(APPLICATION_NAME).unwrap_or_default();
        if self.home.pins_told.is_news(reason, application) {
            let (pool, hint) = (self.home.name(), reason.hint());
            tracing::info!(%reason, application, %pool, hint, "a client keeps its server beyond its transaction");
        }
    }

    /// A copy failed with Syncs on the way: the server may have taken each for a Sync or for a part of the copy,
    /// so more ReadyForQuery may come. An empty query's answer shows where they end.
    async fn resolve_doubt(&mut self, mut lease: Lease) -> Result<(), End> {
        let Ok(late) = lease.count_late_ready().await else {
            lease.close();
            return Err(End::Fault(Fault::SessionLost { held: "answers behind a copy".to_owned() }));
        };
        let out = self.working().down.out();
        for _ in 0..late {
            crate::wire::write::ready_for_query(out, b'I');
        }
        lease.ledger.replies.resolved();
        if let Ok(clean) = clean::prove(&lease.ledger, true) {
            let returned = lease.release(clean, self.tally());
            self.returned(returned);
        }
        Ok(())
    }
}

/// The session is as PostgreSQL says, for its client and for its server.
pub(super) fn learn(
    lease: &mut Lease,
    state: &mut ClientState,
    shared: &Shared,
    questions: &Questions,
    answers: &Answers,
) {
    let before = &state.settings.overrides;
    let after = answers.overrides(questions, before, &lease.baseline, &lease.login_user);
    let set = state.touch.names.iter().chain(after.values.keys());
    shared.lexicon.learn_settings(set.map(|name| &**name));
    state.settings = shared.settings.intern(after);
    lease.wear(state.settings.clone());
    state.pins = answers.pins(state.pins);
    // SQL that isn't seen, in a function perhaps, has deallocated what others rely on.
    if answers.statements().is_some_and(|count| (count as usize) < lease.ledger.statements.certain()) {
        lease.ledger.statements.retain(|_| false);
    }
}

pub(super) async fn ask(lease: &mut Lease, questions: &Questions) -> Result<Answers, AskError> {
    let mut messages = Vec::new();
    let mut prepared = lease.ledger.questions;
    questions.write(&mut messages, &mut prepared);
    let rows = lease.ask_raw(&messages).await;
    // After an error nothing says which of them were prepared.
    lease.ledger.questions = if rows.is_ok() { prepared } else { 0 };
    Answers::read(rows?).ok_or(AskError::Protocol)
}
