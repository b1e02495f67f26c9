//! One message between a client and its server: what is forwarded as is, what is put in front, renamed or
//! dropped, and what it changes in the maps of both.
//!
//! Borrows the two sides for one message and owns nothing. Messages towards the server are judged in
//! [`requests`](super::requests) (`extended`, `names`), those towards the client in
//! [`answers`](super::answers) (`undo`).
//!
//! Invariant: every byte that goes to the server has its slot in the reply queue before the next message is
//! judged, and every change of a map can be undone by its slot.

use std::sync::Arc;

use super::client::ClientState;
use super::replies::{About, Awaits, Fate, Mismatch, Slot, Undo};
use super::segments::Segments;
use super::sequences::Sequences;
use super::server::{Ledger, Tx};
use super::settings::Interner;
use super::statements::shared::{Reading, Registry, Statement};
use crate::catalog::{Epochs, Lexicon, Moment};
use crate::meter::work::Work;
use crate::sql::{Analysis, Effects, Extent, analyse, custom_setting_name};
use crate::wire::lane::Lane;
use crate::wire::read;
use crate::wire::sqlstate::SqlState;
use crate::wire::tag::frontend as f;
use crate::wire::write;

/// What all exchanges of a pool share.
#[derive(Debug)]
pub struct Shared {
    pub statements: Registry,
    pub settings: Interner,
    pub sequences: Sequences,
    /// Of the process: what one client changes may concern every pool.
    pub epochs: Arc<Epochs>,
    /// Shared with the other pools of the database.
    pub lexicon: Arc<Lexicon>,
    pub limits: Limits,
}

/// Budgets of one client, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One message that must be read whole.
    pub statement_size: usize,
    /// All that a client has prepared by name.
    pub client_statements: u64,
    /// Whether the session's state is tracked at all.
    pub track_state: bool,
    /// Whether a custom setting that was reset is another state than one that was never set.
    pub exact_names: bool,
}

pub struct Exchange<'a> {
    /// The process id that the client was told to have.
    pub pid: i32,
    pub client: &'a mut ClientState,
    pub server: &'a mut Ledger,
    pub shared: &'a Shared,
    /// Client to server.
    pub up: &'a mut Lane,
    /// Server to client.
    pub down: &'a mut Lane,
    pub work: &'a mut Work,
    /// The codes of errors that PostgreSQL sent to the client.
    pub errors: &'a mut Vec<SqlState>,
}

/// What came of looking at the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There is none, or not enough of it.
    NeedsMore,
    /// It went its way.
    Moved,
    /// It can't be judged before more answers of the server are; they are on their way. No need to read more
    /// from the client meanwhile.
    Waits,
    /// The client said goodbye.
    Goodbye,
    /// The server ends the connection with an error, which is still at the front of the lane.
    ServerEnds,
}

/// The server broke the protocol: nothing that comes from it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerViolation {
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    BadLength(#[from] crate::wire::frame::BadLength),
    #[error(transparent)]
    Malformed(#[from] read::Malformed),
    #[error("unknown transaction status {0:?}")]
    Status(u8),
}

/// Values of one Bind that are asked for as names of settings; more of them are hardly names.
const NAMES_IN_A_BIND: usize = 16;

/// Signs that count even if the session's state isn't tracked.
const UNTRACKED: Effects =
    Effects::STMT_REF.or(Effects::DEALLOCATE_ALL).or(Effects::DEFAULTS).or(Effects::DATABASE);

impl Exchange<'_> {
    /// Notes a message for the server that isn't about a statement of ours.
    pub(super) fn sent(&mut self, awaits: Awaits, fate: Fate, undo: Undo) {
        self.server.sent(Slot::new(awaits, fate, About::Nothing, undo));
    }

    pub(super) fn segments(&self) -> Segments {
        self.server.replies.segments()
    }

    /// The fate of messages of ours in front of a Query: they must not make the server skip it, so they end with a Sync
    /// of their own ([`Self::front_ends`]). In an unfinished batch a Sync would commit what the client has sent so far.
    pub(super) fn front_begins(&self) -> Fate {
        if self.server.unsynced { Fate::Swallow } else { Fate::Hide }
    }

    pub(super) fn front_ends(&mut self, fate: &Fate) {
        if *fate == Fate::Hide && self.server.unsynced {
            write::bare(self.up.out(), f::SYNC);
            self.sent(Awaits::Sync, Fate::Hide, Undo::Nothing);
        }
    }

    /// What a text may do to its session. While the way in which texts are read may just be changing, so may
    /// anything else.
    pub(super) fn read(&self, text: &[u8], extent: Extent) -> Reading {
        let edition = self.shared.lexicon.edition();
        let words = self.server.params.dialect();
        let mut analysis = analyse(text, words, extent, &*edition.routines);
        let mut dialect = Some(words);
        if !self.shared.limits.track_state {
            // What isn't the session's own state matters all the same.
            analysis.effects = analysis.effects & UNTRACKED;
            analysis.names.clear();
        } else if self.client.touch.changes_dialect() {
            analysis.effects |= Effects::OPAQUE;
            dialect = None;
        }
        Reading { analysis, dialect, moment: edition.moment }
    }

    /// Notes what a statement may do that is about to be run; `fate` is that of messages of ours in front.
    pub(super) fn touch_statement(&mut self, statement: &Statement, fate: &Fate) {
        let (effects, moment) = match self.shared.limits.track_state {
            true => statement.effects(&self.shared.lexicon),
            false => (statement.analysis.effects, Moment::NEVER),
        };
        self.touch_by_text(effects, &statement.analysis, moment, fate);
    }

    /// Notes what a text may do that is about to be sent.
    pub(super) fn touch_by_text(
        &mut self,
        effects: Effects,
        analysis: &Analysis,
        moment: Moment,
        fate: &Fate,
    ) {
        self.mind_sequences(effects, fate);
        self.client.touch.add(effects, &analysis.names, moment);
        self.client.touch.local_meaning |= analysis.local_meaning;
        let mut hides_names = effects.contains(Effects::NAMELESS);
        if self.shared.limits.exact_names {
            self.touch_local_names(&analysis.local_custom);
            if analysis.local_nameless {
                self.client.touch.effects |= Effects::GUC_ALL | Effects::NAMELESS;
                hides_names = true;
            }
        }
        if hides_names {
            self.touch_bound_names();
        }
        self.note_change();
    }

    /// The value goes with the transaction; that the session knows the name stays.
    fn touch_local_names(&mut self, names: &[Box<str>]) {
        let known = &self.client.settings.overrides.values;
        let new = names.iter().filter(|name| !known.contains_key(*name));
        new.for_each(|name| self.client.touch.add_name(name));
    }

    /// A setting whose name doesn't stand in a text may stand among its parameters.
    fn touch_bound_names(&mut self) {
        let Some(frame) = self.up.frame().ok().flatten().filter(|frame| frame.tag == f::BIND) else { return };
        let parameters = read::bind(frame.body).ok().and_then(|bind| frame.body.get(bind.names..));
        let values = read::bound_values(parameters.unwrap_or_default());
        let names = values.filter_map(custom_setting_name).take(NAMES_IN_A_BIND);
        names.for_each(|name| self.client.touch.add_name(&name));
    }

    pub(super) fn touch(&mut self, effects: Effects) {
        if self.shared.limits.track_state {
            self.client.touch.effects |= effects;
            self.note_change();
        }
    }

    /// Others learn of a change of the catalogue before it can be committed.
    fn note_change(&mut self) {
        const COMMITS: Effects = Effects::TX_EXIT.or(Effects::MULTI).or(Effects::OPAQUE);
        let effects = self.client.touch.effects;
        if effects.contains(Effects::CATALOG)
            && self.server.change.is_none()
            && (self.server.tx != Tx::Open || effects.intersects(COMMITS))
        {
            self.server.change = Some(self.shared.lexicon.change());
        }
    }
}
