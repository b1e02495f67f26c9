//! `currval` and `lastval`: what a session's sequences gave it before, which can't be moved nor asked for.
//!
//! A server whose sequences were used bears the mark of the client that did it last. A client that reads finds its own
//! values, or PostgreSQL's "not yet defined": if the mark isn't its own, `DISCARD SEQUENCES` goes in front. So the values
//! of another client are never seen; that its own aren't lost is up to a pin, where it matters ([`Sequences`]).
//!
//! Depends on `exchange` for the messages. Invariant: no mark is given twice.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::exchange::Exchange;
use super::replies::{Awaits, Fate, Undo};
use crate::sql::Effects;
use crate::wire::tag::frontend as f;
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
const USES: Effects = Effects::SEQ_WRITE.or(Effects::COPY);

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

    fn mark(&self) -> Mark {
        let last = self.marks.fetch_add(1, Ordering::Relaxed);
        Mark(NonZeroU64::MIN.saturating_add(last))
    }
}

/// Names of ours on servers, for the statement and its portal.
const NAME: &[u8] = b"_pgweir_sequences";
const DEFINITION: &[u8] = b"DISCARD SEQUENCES\0\0\0";

/// By which protocol the text comes that is about to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Query,
    Bind,
}

impl Exchange<'_> {
    /// To be called before a text with these effects is written for the server.
    pub(super) fn mind_sequences(&mut self, effects: Effects, by: By) {
        if !effects.intersects(USES.or(Effects::SEQ_READ)) || !self.shared.limits.track_state {
            return;
        }
        if effects.contains(Effects::SEQ_READ) {
            self.shared.sequences.read.store(true, Ordering::Relaxed);
            if self.server.sequences.is_some() && self.server.sequences != self.client.sequences {
                self.discard_sequences(by);
            }
        }
        if effects.intersects(USES) {
            let mark = self.shared.sequences.mark();
            (self.server.sequences, self.client.sequences) = (Some(mark), Some(mark));
        }
    }

    /// In front of a Query it must not fail, so that it has a Sync of its own; within a batch, or a failed transaction,
    /// what fails here would fail in any case.
    fn discard_sequences(&mut self, by: By) {
        let alone = by == By::Query && !self.server.unsynced;
        let fate = if alone { Fate::Hide } else { Fate::Swallow };
        let out = self.up.out();
        write::close_statement(out, NAME);
        write::parse(out, NAME, DEFINITION);
        write::close_portal(out, NAME);
        write::bind_nothing(out, NAME, NAME);
        write::execute(out, NAME);
        for awaits in [Awaits::Close, Awaits::Parse, Awaits::Close, Awaits::Bind, Awaits::Execute] {
            self.sent(awaits, fate.clone(), Undo::Nothing);
        }
        if alone {
            write::bare(self.up.out(), f::SYNC);
            self.sent(Awaits::Sync, Fate::Hide, Undo::Nothing);
        }
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
        sequences.read.store(true, Ordering::Relaxed);
        assert_eq!(sequences.keep(Effects::COPY), Keep::Yes);
    }

    #[test]
    fn what_is_said_counts_more_than_what_is_seen() {
        assert_eq!(Sequences::new(Reliance::Always).keep(Effects::SEQ_WRITE), Keep::Yes);
        let never = Sequences::new(Reliance::Never);
        never.read.store(true, Ordering::Relaxed);
        assert_eq!(never.keep(Effects::SEQ_WRITE), Keep::No);
    }

    #[test]
    fn marks_are_unique() {
        let sequences = Sequences::default();
        assert_ne!(sequences.mark(), sequences.mark());
    }
}
