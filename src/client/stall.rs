//! Whether a client takes its answer, or makes a server wait for it.
//!
//! While an answer waits for its client, what the client took is looked at twice in each `timeouts.write_stall`. A
//! client keeps up if it took [`FLOOR`] since the last look: one that reads slowly may take as long as it needs, one
//! that takes a byte now and then may not. Bytes that still lie in our kernel were not taken.

use std::time::Duration;

use tokio::time::Instant;

/// The least that a reader takes, in bytes a second.
const FLOOR: u64 = 1024;

#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Bytes given to the client's socket since the answer began to wait.
    written: u64,
    span: Option<Span>,
}

#[derive(Debug)]
struct Span {
    next_look: Instant,
    /// At the last look; what lay in the kernel before counts, so it may be below zero.
    taken: Option<i64>,
}

impl Stall {
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// The limit, while an answer waits.
    pub(super) fn follow(&mut self, limit: Option<Duration>) {
        match (limit, &self.span) {
            (Some(limit), None) => {
                *self = Self {
                    written: 0,
                    span: Some(Span { next_look: Instant::now() + limit / 2, taken: None }),
                };
            }
            (None, Some(_)) => self.span = None,
            _ => {}
        }
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.span.as_ref().map(|span| span.next_look)
    }

    /// The look that is due: `unsent` bytes of those written lie in the kernel.
    pub(super) fn keeps_up(&mut self, limit: Duration, unsent: u64) -> bool {
        let Some(span) = &mut self.span else { return true };
        let taken = self.written.cast_signed() - unsent.cast_signed();
        let floor = (limit / 2).as_millis() as u64 * FLOOR / 1000;
        let keeps_up = span.taken.is_none_or(|before| taken - before >= floor.max(1).cast_signed());
        span.taken = Some(taken);
        span.next_look += limit / 2;
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn waiting() -> Stall {
        let mut stall = Stall::default();
        stall.follow(Some(LIMIT));
        stall
    }

    #[test]
    fn one_that_takes_nothing_has_the_limit() {
        let mut stall = waiting();
        let first = stall.next_look().unwrap();
        assert!(first <= Instant::now() + LIMIT / 2);
        assert!(stall.keeps_up(LIMIT, 1 << 20));
        assert_eq!(stall.next_look(), Some(first + LIMIT / 2));
        assert!(!stall.keeps_up(LIMIT, 1 << 20));
    }

    #[test]
    fn one_that_reads_slowly_out_of_the_kernel_keeps_up() {
        let mut stall = waiting();
        for look in 0..100 {
            assert!(stall.keeps_up(LIMIT, (100 - look) * 30 * FLOOR));
        }
    }

    #[test]
    fn what_the_kernel_took_alone_is_no_progress() {
        let mut stall = waiting();
        assert!(stall.keeps_up(LIMIT, 0));
        stall.wrote(1 << 20);
        assert!(!stall.keeps_up(LIMIT, (1 << 20) - 1000));
    }

    #[test]
    fn an_answer_that_went_out_ends_the_span() {
        let mut stall = waiting();
        assert!(stall.keeps_up(LIMIT, 500));
        stall.follow(None);
        assert_eq!(stall.next_look(), None);
        stall.follow(Some(LIMIT));
        assert!(stall.keeps_up(LIMIT, 500), "the first look only looks");
    }
}
