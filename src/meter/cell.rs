//! The five things that can be counted in. Each may be used from any thread; none takes a lock.
//!
//! Orderings are relaxed: a reader wants each number, not an order between numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::family::{Distribution, Value};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// For a total that somebody else keeps: follows it and never steps back.
    pub fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Relaxed);
    }
}

/// How many are there now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more, until the guard is dropped.
    pub fn enter(&self) -> Inside<'_> {
        self.0.fetch_add(1, Relaxed);
        Inside(self)
    }

    /// The same for one that outlives the place where it was counted.
    pub fn join(self: &Arc<Self>) -> Member {
        self.0.fetch_add(1, Relaxed);
        Member(self.clone())
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// As [`Inside`].
#[must_use]
#[derive(Debug)]
pub struct Member(Arc<Gauge>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// One that is counted in a [`Gauge`]: whatever ends it, panics included, takes it out again.
#[must_use]
#[derive(Debug)]
pub struct Inside<'a>(&'a Gauge);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A number that somebody else knows; the last one counts.
#[derive(Debug, Default)]
pub struct Latest(AtomicU64);

impl Latest {
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters under a fixed set of label values.
#[derive(Debug)]
pub struct Tally {
    labels: &'static [&'static str],
    cells: Box<[Counter]>,
}

impl Tally {
    /// `labels` must not be empty. What isn't among them counts under the last.
    pub fn new(labels: &'static [&'static str]) -> Self {
        assert!(!labels.is_empty(), "a tally needs a label");
        Self { labels, cells: labels.iter().map(|_| Counter::default()).collect() }
    }

    pub fn inc(&self, label: &str) {
        let last = self.labels.len() - 1;
        let cell = self.labels.iter().position(|known| *known == label).unwrap_or(last);
        self.cells[cell].inc();
    }

    pub fn read(&self) -> Vec<(&'static str, Value)> {
        self.labels.iter().zip(&self.cells).map(|(label, cell)| (*label, Value::Count(cell.get()))).collect()
    }
}

/// Durations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds_us: &'static [u64],
    /// One cell a bound, and one beyond; not cumulative.
    cells: Box<[Counter]>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// `bounds_us`: inclusive upper bounds in microseconds, ascending.
    pub fn new(bounds_us: &'static [u64]) -> Self {
        debug_assert!(bounds_us.is_sorted(), "bounds ascend");
        let cells = (0..=bounds_us.len()).map(|_| Counter::default()).collect();
        Self { bounds_us, cells, sum_us: AtomicU64::new(0) }
    }

    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.cells[self.bounds_us.partition_point(|bound| *bound < us)].inc();
        self.sum_us.fetch_add(us, Relaxed);
    }

    pub fn read(&self) -> Distribution {
        Distribution {
            bounds_us: self.bounds_us,
            counts: self.cells.iter().map(Counter::get).collect(),
            sum: Duration::from_micros(self.sum_us.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_forgets_who_left_by_panic() {
        let gauge = Gauge::default();
        let _stays = gauge.enter();
        let left = std::panic::catch_unwind(|| {
            let _inside = gauge.enter();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(left.is_err());
        assert_eq!(gauge.get(), 1);
    }

    #[test]
    fn a_followed_total_never_steps_back() {
        let counter = Counter::default();
        counter.raise_to(7);
        counter.raise_to(5);
        assert_eq!(counter.get(), 7);
    }

    #[test]
    fn an_unknown_label_counts_under_the_last() {
        let tally = Tally::new(&["a", "other"]);
        tally.inc("a");
        tally.inc("never heard of");
        assert_eq!(tally.read(), [("a", Value::Count(1)), ("other", Value::Count(1))]);
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::new(&[10, 20]);
        for us in [0, 10, 11, 20, 21] {
            histogram.record(Duration::from_micros(us));
        }
        let read = histogram.read();
        assert_eq!(read.counts, [2, 2, 1]);
        assert_eq!(read.sum, Duration::from_micros(62));
    }
}
