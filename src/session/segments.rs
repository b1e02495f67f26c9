//! Parts of a pipeline, as far as an error can reach.
//!
//! ```text
//!   sent      P B E S │ P B E S │ Q │ B E            a Sync, a Query, a FunctionCall ends a segment
//!   answered  ─────────────►
//!             settled │  closed │   │ open
//! ```
//!
//! A request takes effect in our maps when it is sent, but the server may skip it. Within the open segment
//! that does no harm: what is sent next would be skipped as well. In a settled segment everything is known.
//! In between, what was changed is not certain: it must not be relied on before the answers are here, and
//! they are on their way, since the end of a segment makes the server flush them.
//!
//! Depends on nothing. Invariant: a segment that was certain stays so.

/// When something was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment(u64);

/// The segments of one server connection. [`Segment::default`] is long settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    open: u64,
    /// The first segment that isn't settled.
    settled: u64,
}

impl Default for Segments {
    fn default() -> Self {
        Self { open: 1, settled: 1 }
    }
}

impl Segments {
    /// The segment of what is sent now.
    pub fn open(&self) -> Segment {
        Segment(self.open)
    }

    /// Whether what was changed in `segment` may be relied on by what is sent now.
    pub fn is_certain(&self, segment: Segment) -> bool {
        segment.0 == self.open || segment.0 < self.settled
    }

    /// Whether all that was sent in `segment` was answered.
    pub fn is_settled(&self, segment: Segment) -> bool {
        segment.0 < self.settled
    }

    pub(super) fn close(&mut self) {
        self.open += 1;
    }

    pub(super) fn settle(&mut self) {
        self.settled += 1;
        debug_assert!(self.settled <= self.open);
    }

    pub(super) fn settle_all(&mut self) {
        self.open += 1;
        self.settled = self.open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_segments_are_uncertain() {
        let mut segments = Segments::default();
        let first = segments.open();
        assert!(segments.is_certain(Segment::default()) && segments.is_certain(first));
        segments.close();
        assert!(!segments.is_certain(first) && segments.is_certain(segments.open()));
        let second = segments.open();
        segments.close();
        segments.settle();
        assert!(segments.is_settled(first) && segments.is_certain(first) && !segments.is_certain(second));
    }
}
