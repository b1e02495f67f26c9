//! By the clock: what a client and its server do while they are together.
//!
//! ```text
//!  lent ──▶ Answering ──answered──▶ Pausing (a transaction is open) ──asked──▶ Answering
//!               │ └────answered───▶ Resting (none is: the client keeps the server) ──asked──▶ Answering
//!               ▼ returned
//! ```
//! Depends on `spread`. Whoever holds the server writes; the pool reads while that goes on, and when the server is gone.
//! The moment of the loan and of the return are the pool's own, so that a transaction that is one query costs no look
//! at the clock. Invariant: time in a pause counts while it lasts, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::spread::{SharedSpread, Spread};

/// What all servers of a pool came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the first thing that is asked for until nothing is owed any more: a query, a batch, or a pipeline of them.
    pub query: Spread,
    pub transaction: Spread,
    /// In a transaction, until its client asks for more.
    pub pause: Spread,
    /// Time in such pauses, those under way included; pinned servers apart, whose time is counted as such.
    pub paused: Duration,
}

impl Times {
    pub(super) fn add(&mut self, book: &Book, now: Instant) {
        book.query.add_to(&mut self.query);
        book.transaction.add_to(&mut self.transaction);
        book.pause.add_to(&mut self.pause);
        self.paused += book.paused(now);
    }
}

/// What one server came to.
#[derive(Debug)]
pub struct Book {
    epoch: Instant,
    query: SharedSpread,
    transaction: SharedSpread,
    pause: SharedSpread,
    /// The nanoseconds of all pauses. While one goes on: those of the others, less the moment at which it began, counted
    /// from `epoch`. That is negative, since pauses can't be longer than the time in which they were.
    paused: AtomicI64,
    /// When the pause that goes on began; 0 if none does.
    pausing_since: AtomicU64,
    pinned: AtomicBool,
}

impl Book {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            query: SharedSpread::default(),
            transaction: SharedSpread::default(),
            pause: SharedSpread::default(),
            paused: AtomicI64::new(0),
            pausing_since: AtomicU64::new(0),
            pinned: AtomicBool::new(false),
        }
    }

    pub(super) fn set_pinned(&self, pinned: bool) {
        self.pinned.store(pinned, Relaxed);
    }

    /// Since when its transaction has waited for its client.
    pub(super) fn pausing_since(&self) -> Option<Instant> {
        let since = self.pausing_since.load(Relaxed);
        (since > 0).then(|| self.epoch + Duration::from_nanos(since))
    }

    fn paused(&self, now: Instant) -> Duration {
        let paused = self.paused.load(Relaxed);
        let running = if paused < 0 { self.ns(now) as i64 } else { 0 };
        Duration::from_nanos(u64::try_from(paused + running).unwrap_or(0))
    }

    fn begin_pause(&self, now: Instant) {
        if !self.pinned.load(Relaxed) {
            let now = self.ns(now);
            self.pausing_since.store(now, Relaxed);
            self.paused.store(self.paused.load(Relaxed) - now as i64, Relaxed);
        }
    }

    fn end_pause(&self, since: Instant, now: Instant) {
        self.pause.record(now.saturating_duration_since(since));
        if self.pausing_since.swap(0, Relaxed) > 0 {
            self.paused.store(self.paused.load(Relaxed) + self.ns(now) as i64, Relaxed);
        }
    }

    /// From the epoch, never 0.
    fn ns(&self, now: Instant) -> u64 {
        const LONGEST: u64 = i64::MAX as u64 / 2;
        let ns = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(ns).unwrap_or(LONGEST).clamp(1, LONGEST)
    }
}

/// The hand on the watch of one server.
#[derive(Debug)]
pub struct Stopwatch {
    pub(super) book: Arc<Book>,
    doing: Doing,
    /// Begin of the transaction under way.
    transaction: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// In nobody's hand, or kept by a client between transactions.
    Resting,
    Answering(Instant),
    Pausing(Instant),
}

impl Stopwatch {
    pub(super) fn new(now: Instant, book: Arc<Book>) -> Self {
        Self { book, doing: Doing::Resting, transaction: now }
    }

    /// Its client is about to ask.
    pub(super) fn lent(&mut self, now: Instant) {
        self.doing = Doing::Answering(now);
        self.transaction = now;
    }

    /// Whether the clock need not be read.
    pub fn is_answering(&self) -> bool {
        matches!(self.doing, Doing::Answering(_))
    }

    /// The client has asked for something.
    pub fn asked(&mut self, now: Instant) {
        match self.doing {
            Doing::Resting => self.transaction = now,
            Doing::Pausing(since) => self.book.end_pause(since, now),
            Doing::Answering(_) => return,
        }
        self.doing = Doing::Answering(now);
    }

    /// Nothing is owed to the client, and its transaction goes on.
    pub fn pauses(&mut self, now: Instant) {
        if let Doing::Answering(since) = self.doing {
            self.book.query.record(now.saturating_duration_since(since));
            self.book.begin_pause(now);
            self.doing = Doing::Pausing(now);
        }
    }

    /// A transaction is over; how long it took, if one was under way.
    pub fn ended(&mut self, now: Instant) -> Option<Duration> {
        match std::mem::replace(&mut self.doing, Doing::Resting) {
            Doing::Resting => return None,
            Doing::Answering(since) => self.book.query.record(now.saturating_duration_since(since)),
            Doing::Pausing(since) => self.book.end_pause(since, now),
        }
        let took = now.saturating_duration_since(self.transaction);
        self.book.transaction.record(took);
        Some(took)
    }

    /// Nobody worked with it, or what was done isn't to be counted.
    pub(super) fn dropped(&mut self, now: Instant) {
        if let Doing::Pausing(since) = self.doing {
            self.book.end_pause(since, now);
        }
        self.doing = Doing::Resting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn times(book: &Book, now: Instant) -> Times {
        let mut times = Times::default();
        times.add(book, now);
        times
    }

    #[test]
    fn a_transaction_of_two_queries_with_a_pause_between_them() {
        let t0 = crate::pool::tests::epoch();
        let at = |s: u32| t0 + SECOND * s;
        let book = Arc::new(Book::new(t0));
        let mut watch = Stopwatch::new(t0, book.clone());
        watch.lent(at(10));
        watch.asked(at(11));
        watch.pauses(at(12));
        assert_eq!(times(&book, at(15)).paused, SECOND * 3, "while it lasts");
        assert_eq!(book.pausing_since(), Some(at(12)));
        watch.asked(at(20));
        assert_eq!(times(&book, at(25)).paused, SECOND * 8);
        assert_eq!(watch.ended(at(21)), Some(SECOND * 11));
        let times = times(&book, at(30));
        assert_eq!((times.query.count(), times.query.sum), (2, SECOND * 3));
        assert_eq!((times.transaction.count(), times.transaction.sum), (1, SECOND * 11));
        assert_eq!((times.pause.count(), times.pause.sum, times.paused), (1, SECOND * 8, SECOND * 8));
        assert_eq!(watch.ended(at(40)), None, "it rests");
    }

    #[test]
    fn a_pause_of_a_pinned_server_is_no_other_time_than_that_of_its_pin() {
        let t0 = crate::pool::tests::epoch();
        let book = Arc::new(Book::new(t0));
        book.set_pinned(true);
        let mut watch = Stopwatch::new(t0, book.clone());
        watch.lent(t0);
        watch.pauses(t0 + SECOND);
        watch.dropped(t0 + SECOND * 3);
        let times = times(&book, t0 + SECOND * 5);
        assert_eq!((times.paused, times.pause.sum), (Duration::ZERO, SECOND * 2));
        assert_eq!(times.transaction.count(), 0);
    }
}
