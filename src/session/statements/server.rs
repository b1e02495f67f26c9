//! What one server has prepared, by statement, with the least recently used closed beyond a bound.
//!
//! Invariant: what is listed and not stale is there, by the time the server reads what is sent next, as far
//! as that is certain ([`Segments`]). What isn't listed may be there: whoever parses a copy closes it first.

use foldhash::fast::RandomState;
use hashlink::LruCache;

use super::shared::{Shape, Stamp, StatementId};
use crate::session::segments::{Segment, Segments};

/// A statement on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    stamp: Stamp,
    parsed: Segment,
    used: Segment,
    rows: Rows,
}

/// What is known of a copy's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    #[default]
    Unknown,
    /// The server is being asked.
    Asked,
    Are(Shape),
}

impl Copy {
    fn doubtful() -> Self {
        Self {
            stamp: Stamp::STALE,
            parsed: Segment::default(),
            used: Segment::default(),
            rows: Rows::Unknown,
        }
    }
}

#[derive(Debug)]
pub struct ServerStatements {
    copies: LruCache<StatementId, Copy, RandomState>,
    limit: usize,
    pub unnamed: Unnamed,
}

/// The unnamed statement of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// There is none, for certain.
    #[default]
    Absent,
    Is(StatementId, Stamp, Rows),
    /// The server skipped what would have changed it.
    Unknown,
}

impl ServerStatements {
    pub fn new(limit: usize) -> Self {
        let copies = LruCache::with_hasher(usize::MAX >> 1, RandomState::default());
        Self { copies, limit: limit.max(1), unnamed: Unnamed::Absent }
    }

    /// Whether the server has a copy at least as new as `wanted` when it reads what is sent next; marks it as
    /// used.
    pub fn serves(&mut self, id: StatementId, wanted: Stamp, now: Segments) -> bool {
        let Some(copy) = self.copies.get_mut(&id) else { return false };
        copy.used = now.open();
        copy.stamp >= wanted && now.is_certain(copy.parsed)
    }

    /// A Parse of the statement is sent.
    pub fn parsed(&mut self, id: StatementId, stamp: Stamp, now: Segments) {
        self.copies.insert(id, Copy { stamp, parsed: now.open(), used: now.open(), rows: Rows::Unknown });
    }

    /// What is known of the rows of `id`; of the unnamed statement's, if that is meant.
    pub fn rows(&self, id: StatementId, unnamed: bool) -> Rows {
        match (unnamed, self.unnamed) {
            (true, Unnamed::Is(there, _, rows)) if there == id => rows,
            (true, _) => Rows::Unknown,
            (false, _) => self.copies.peek(&id).map_or(Rows::Unknown, |copy| copy.rows),
        }
    }

    pub fn set_rows(&mut self, id: StatementId, unnamed: bool, known: Rows) {
        let rows = match (unnamed, &mut self.unnamed) {
            (true, Unnamed::Is(there, _, rows)) => (*there == id).then_some(rows),
            (true, _) => None,
            (false, _) => self.copies.peek_mut(&id).map(|copy| &mut copy.rows),
        };
        if let Some(rows) = rows {
            *rows = known;
        }
    }

    /// Whether the copy is there, and what it is, isn't known any more: it serves nobody, but counts until it
    /// is closed.
    pub fn doubt(&mut self, id: StatementId) {
        self.copies.entry(id).or_insert(Copy::doubtful()).stamp = Stamp::STALE;
    }

    /// SQL is about to deallocate everything.
    pub fn doubt_all(&mut self) {
        self.copies.iter_mut().for_each(|(_, copy)| copy.stamp = Stamp::STALE);
    }

    /// SQL has deallocated everything: what was in doubt is gone.
    pub fn forget_doubtful(&mut self) {
        self.copies.retain(|_, copy| copy.stamp != Stamp::STALE);
    }

    /// Keeps what `survives`; the others are gone.
    pub fn retain(&mut self, mut survives: impl FnMut(StatementId) -> bool) {
        self.copies.retain(|&id, _| survives(id));
    }

    /// A statement to close, when there are too many: the least recently used that no answer is awaited for.
    pub fn evict(&mut self, now: Segments) -> Option<StatementId> {
        if self.copies.len() <= self.limit {
            return None;
        }
        let (&id, _) = self.copies.iter().find(|(_, copy)| now.is_settled(copy.used))?;
        self.copies.remove(&id);
        Some(id)
    }

    pub fn len(&self) -> usize {
        self.copies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// How many are there for certain, once nothing is owed.
    pub fn certain(&self) -> usize {
        self.copies.iter().filter(|(_, copy)| copy.stamp != Stamp::STALE).count()
    }

    /// What is there for certain, once nothing is owed.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = StatementId> + '_ {
        self.copies.iter().filter(|(_, copy)| copy.stamp != Stamp::STALE).map(|(&id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(times: u32) -> Segments {
        let mut segments = Segments::default();
        (0..times).for_each(|_| segments.close());
        segments
    }

    fn settled(times: u32) -> Segments {
        let mut segments = closed(times);
        (0..times).for_each(|_| segments.settle());
        segments
    }

    #[test]
    fn f84_eviction_spares_what_awaits_an_answer() {
        let mut statements = ServerStatements::new(2);
        (1..=3).for_each(|id| statements.parsed(StatementId(id), Stamp(1), closed(0)));
        assert_eq!(statements.evict(closed(0)), None, "all three are in use");
        assert_eq!(statements.evict(closed(1)), None, "and not answered yet");
        assert!(statements.serves(StatementId(1), Stamp(1), settled(1)));
        assert_eq!(statements.evict(settled(1)), Some(StatementId(2)));
        assert_eq!(statements.evict(settled(1)), None);
    }

    #[test]
    fn an_older_copy_does_not_serve() {
        let mut statements = ServerStatements::new(2);
        statements.parsed(StatementId(1), Stamp(1), closed(0));
        assert!(statements.serves(StatementId(1), Stamp(1), closed(0)));
        assert!(!statements.serves(StatementId(1), Stamp(2), closed(0)));
        statements.doubt(StatementId(1));
        assert!(!statements.serves(StatementId(1), Stamp(1), closed(0)));
        statements.parsed(StatementId(1), Stamp(1), closed(0));
        assert!(statements.serves(StatementId(1), Stamp(1), closed(0)));
    }

    #[test]
    fn what_is_in_doubt_is_closed_in_its_turn() {
        let mut statements = ServerStatements::new(1);
        statements.doubt(StatementId(1));
        statements.parsed(StatementId(2), Stamp(1), settled(0));
        assert_eq!(statements.evict(settled(1)), Some(StatementId(1)));
        statements.doubt_all();
        statements.forget_doubtful();
        assert!(statements.is_empty());
    }

    #[test]
    fn a_copy_that_may_be_skipped_does_not_serve_the_next_segment() {
        let mut statements = ServerStatements::new(2);
        statements.parsed(StatementId(1), Stamp(1), closed(0));
        assert!(!statements.serves(StatementId(1), Stamp(1), closed(1)));
        assert!(statements.serves(StatementId(1), Stamp(1), settled(1)));
    }
}
