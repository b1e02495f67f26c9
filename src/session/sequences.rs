//! `currval` and `lastval`: what a session's sequences gave it before, which can't be moved nor asked for.
//!
//! A server whose sequences were used bears the mark of the client that did it last. Whoever may read on a server with
//! another mark has `DISCARD SEQUENCES` in front, so that it hears PostgreSQL's "not yet defined" and never a value of
//! another client. A client that uses a sequence where another did takes the server over in the same way if it may read
//! later: in the same transaction, or beyond while the pool's clients may rely on that ([`Sequences`]). Else the values are
//! nobody's.
//!
//! Depends on `exchange` for the messages. Invariant: a server with a client's mark has no value of another client.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::exchange::Exchange;
use super::replies::{Awaits, Fate, Undo};
use super::server::Tx;
use crate::sql::Effects;
use crate::wire::write;

/// Whether the clients of a pool rely on values from an earlier transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliance {
    /// As long as little is known, and once one of them was seen to read some (the default).
    #[default]
    Observed,
    Always,
    Never,
}

/// Whether it is worth while to keep a server for a client that has used a sequence.
#[derive(Debug, Default)]
pub struct Sequences {
    reliance: Reliance,
    /// The last mark given.
    marks: AtomicU64,
    read: AtomicBool,
}

/// One use of a sequence by one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(NonZeroU64);

impl Mark {
    /// Of a server whose values are no client's, or of several; no client has it.
    pub const NOBODYS: Self = Self(NonZeroU64::MAX);
}

/// How much a server with a client's values is worth to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    #[default]
    No,
    /// While nobody else needs it; a few clients of the pool may keep one all the same.
    IfIdle,
    /// The pool has rather another one for others.
    Yes,
}

/// Uses after which clients that never read any are taken to be of the kind that doesn't.
const LEARNING: u64 = 100;
/// What may use a sequence: any INSERT, for its columns may have defaults.
const USES: Effects = Effects::SEQ_WRITE;
/// What may use or read one; a text that isn't read to its end may do either.
const CONCERNED: Effects = USES.or(Effects::SEQ_READ).or(Effects::OPAQUE);

impl Sequences {
    pub fn new(reliance: Reliance) -> Self {
        Self { reliance, ..Self::default() }
    }

    /// What a server is worth to its client after a transaction with these effects.
    pub fn keep(&self, effects: Effects) -> Keep {
        match self.reliance {
            _ if !effects.intersects(USES) => Keep::No,
            Reliance::Never => Keep::No,
            Reliance::Always => Keep::Yes,
            Reliance::Observed if self.read.load(Ordering::Relaxed) => Keep::Yes,
            Reliance::Observed if self.marks.load(Ordering::Relaxed) <= LEARNING => Keep::IfIdle,
            Reliance::Observed => Keep::No,
        }
    }

    /// A client asks for what it was given in an earlier transaction.
    fn note_reader(&self) {
        if !self.read.load(Ordering::Relaxed) {
            self.read.store(true, Ordering::Relaxed);
        }
    }

    fn mark(&self) -> Mark {
        let last = self.marks.fetch_add(1, Ordering::Relaxed);
        Mark(NonZeroU64::MIN.saturating_add(last))
    }
}

/// Names of ours on servers, for the statement and its portal.
const NAME: &[u8] = b"_pgweir_sequences";
const DEFINITION: &[u8] = b"DISCARD SEQUENCES\0\0\0";

impl Exchange<'_> {
    /// To be called before a text with these effects is written for the server, and before they are noted. `fate` is that of
    /// messages of ours in front of the text.
    pub(super) fn mind_sequences(&mut self, effects: Effects, fate: &Fate) {
        if !effects.intersects(CONCERNED) || !self.shared.limits.track_state {
            return;
        }
        let (uses, reads) = (effects.intersects(USES), effects.contains(Effects::SEQ_READ));
        if reads && !(effects | self.client.touch.effects).intersects(USES) {
            self.shared.sequences.note_reader();
        }
        let may_read = reads || effects.contains(Effects::OPAQUE);
        let may_be_read = uses && (self.goes_on(effects) || self.shared.sequences.keep(USES) != Keep::No);
        if self.is_of_others() && (may_read || may_be_read) {
            self.discard_sequences(fate);
        }
        if may_be_read {
            let mark = self.shared.sequences.mark();
            (self.server.sequences, self.client.sequences) = (Some(mark), Some(mark));
        } else if uses {
            (self.server.sequences, self.client.sequences) = (Some(Mark::NOBODYS), None);
        }
    }

    /// Whether more may come of the transaction to which a text with these effects belongs.
    fn goes_on(&self, effects: Effects) -> bool {
        self.server.tx != Tx::Idle
            || self.server.unsynced
            || self.server.replies.slots().any(|slot| !slot.is_replay())
            || effects.contains(Effects::MULTI)
    }

    /// Whether the server may have values of other clients.
    fn is_of_others(&self) -> bool {
        self.server.sequences.is_some() && self.server.sequences != self.client.sequences
    }

    /// Whether a Query with these effects could read values of others: what a failed transaction doesn't run can't be
    /// put in front of a text that ends it.
    pub(super) fn is_exposed(&self, effects: Effects) -> bool {
        self.server.tx == Tx::Failed
            && effects.contains(Effects::SEQ_READ)
            && self.shared.limits.track_state
            && self.is_of_others()
    }

    fn discard_sequences(&mut self, fate: &Fate) {
        let out = self.up.out();
        write::close_statement(out, NAME);
        write::parse(out, NAME, DEFINITION);
        write::close_portal(out, NAME);
        write::bind_nothing(out, NAME, NAME);
        write::execute(out, NAME);
        for awaits in [Awaits::Close, Awaits::Parse, Awaits::Close, Awaits::Bind] {
            self.sent(awaits, fate.clone(), Undo::Nothing);
        }
        self.sent(Awaits::Execute, fate.clone(), Undo::SequencesDiscarded);
        self.server.sequences = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_kept_while_little_is_known_and_for_those_who_read() {
        let sequences = Sequences::new(Reliance::Observed);
        assert_eq!(sequences.keep(Effects::SEQ_READ), Keep::No);
        assert_eq!(sequences.keep(Effects::SEQ_WRITE), Keep::IfIdle);
        for _ in 0..LEARNING {
            sequences.mark();
        }
        assert_eq!(sequences.keep(Effects::SEQ_WRITE), Keep::IfIdle);
        sequences.mark();
        assert_eq!(sequences.keep(Effects::SEQ_WRITE), Keep::No);
        sequences.note_reader();
        assert_eq!(sequences.keep(Effects::SEQ_WRITE | Effects::DDL), Keep::Yes);
    }

    #[test]
    fn what_is_said_counts_more_than_what_is_seen() {
        assert_eq!(Sequences::new(Reliance::Always).keep(Effects::SEQ_WRITE), Keep::Yes);
        let never = Sequences::new(Reliance::Never);
        never.note_reader();
        assert_eq!(never.keep(Effects::SEQ_WRITE), Keep::No);
    }

    #[test]
    fn marks_are_unique() {
        let sequences = Sequences::default();
        assert_ne!(sequences.mark(), sequences.mark());
    }
}
