//! What one server has prepared, by statement, with the least recently used closed beyond a bound.

use foldhash::fast::RandomState;
use hashlink::LruCache;

use super::shared::{Shape, Stamp, StatementId};

/// A statement on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    pub stamp: Stamp,
    /// The last pipeline that used it.
    pub pipeline: u64,
    pub rows: Rows,
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

#[derive(Debug)]
pub struct ServerStatements {
    copies: LruCache<StatementId, Copy, RandomState>,
    limit: usize,
    /// What the unnamed statement is, if it is one that we know.
    pub unnamed: Unnamed,
}

/// The unnamed statement of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// There is none, for certain.
    #[default]
    Absent,
    Is(StatementId),
}

impl ServerStatements {
    pub fn new(limit: usize) -> Self {
        let copies = LruCache::with_hasher(usize::MAX >> 1, RandomState::default());
        Self { copies, limit: limit.max(1), unnamed: Unnamed::Absent }
    }

    pub fn contains(&self, id: StatementId) -> bool {
        self.copies.peek(&id).is_some()
    }

    /// Whether the server has a copy at least as new as `wanted`; marks it as used by `pipeline`.
    pub fn has(&mut self, id: StatementId, wanted: Stamp, pipeline: u64) -> bool {
        let Some(copy) = self.copies.get_mut(&id) else { return false };
        copy.pipeline = pipeline;
        copy.stamp >= wanted
    }

    pub fn rows(&self, id: StatementId) -> Rows {
        self.copies.peek(&id).map_or(Rows::Unknown, |copy| copy.rows)
    }

    pub fn set_rows(&mut self, id: StatementId, rows: Rows) {
        if let Some(copy) = self.copies.peek_mut(&id) {
            copy.rows = rows;
        }
    }

    pub fn insert(&mut self, id: StatementId, copy: Copy) {
        self.copies.insert(id, copy);
    }

    pub fn remove(&mut self, id: StatementId) -> Option<Copy> {
        self.copies.remove(&id)
    }

    /// The plan is known to be wrong by now: whoever uses the statement next gets it parsed anew.
    pub fn mark_stale(&mut self, id: StatementId) {
        if let Some(copy) = self.copies.peek_mut(&id) {
            copy.stamp = Stamp::STALE;
        }
    }

    /// A statement to close, when there are too many: the least recently used that `pipeline` doesn't need.
    pub fn evict(&mut self, pipeline: u64) -> Option<(StatementId, Copy)> {
        if self.copies.len() <= self.limit {
            return None;
        }
        let (&id, &copy) = self.copies.iter().find(|(_, copy)| copy.pipeline != pipeline)?;
        self.copies.remove(&id);
        Some((id, copy))
    }

    /// All statements were deallocated; what `survives` says was parsed behind that is left.
    pub fn retain(&mut self, mut survives: impl FnMut(StatementId) -> bool) {
        self.copies.retain(|&id, _| survives(id));
    }

    pub fn len(&self) -> usize {
        self.copies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(pipeline: u64) -> Copy {
        Copy { stamp: Stamp(1), pipeline, rows: Rows::Unknown }
    }

    #[test]
    fn eviction_spares_what_the_pipeline_uses() {
        let mut statements = ServerStatements::new(2);
        for id in 1..=3 {
            statements.insert(StatementId(id), copy(7));
        }
        assert_eq!(statements.evict(7), None, "all three are in use");
        assert!(statements.has(StatementId(1), Stamp(1), 8));
        assert_eq!(statements.evict(8).map(|(id, _)| id), Some(StatementId(2)));
        assert_eq!(statements.evict(8), None);
    }

    #[test]
    fn an_older_copy_does_not_serve() {
        let mut statements = ServerStatements::new(2);
        statements.insert(StatementId(1), copy(1));
        assert!(!statements.has(StatementId(1), Stamp(2), 1));
        statements.mark_stale(StatementId(1));
        assert!(!statements.has(StatementId(1), Stamp(1), 1));
    }
}
