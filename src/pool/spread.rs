//! Durations by size: how long things took, in buckets that are the same everywhere.
//!
//! A [`Spread`] belongs to one owner; a [`SharedSpread`] has one writer and any number of readers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Inclusive upper bounds in microseconds, 50 µs to 60 s; a last bucket beyond them is implied.
pub const BOUNDS_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 15_000_000, 60_000_000,
];

const BUCKETS: usize = BOUNDS_US.len() + 1;

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// One count a bound and one beyond; not cumulative.
    pub counts: [u64; BUCKETS],
    pub sum: Duration,
}

impl Spread {
    pub fn record(&mut self, took: Duration) {
        self.counts[bucket(took)] += 1;
        self.sum += took;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// `None`: nothing was recorded.
    pub fn mean(&self) -> Option<Duration> {
        let count = self.count();
        (count > 0).then(|| Duration::from_secs_f64(self.sum.as_secs_f64() / count as f64))
    }

    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// What came since an earlier reading of the same.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = *self;
        later.counts.iter_mut().zip(earlier.counts).for_each(|(count, less)| *count -= less.min(*count));
        later.sum = later.sum.saturating_sub(earlier.sum);
        later
    }

    /// What the part `q` (0 to 1) of all didn't exceed, as if durations lay evenly within their bucket. `none`: further
    /// ones that took no time. What lies beyond the last bound is said to be twice as long.
    pub fn quantile(&self, q: f64, none: u64) -> Option<Duration> {
        let all = self.count() + none;
        if all == 0 {
            return None;
        }
        let mut rank = q * all as f64 - none as f64;
        if rank <= 0.0 {
            return Some(Duration::ZERO);
        }
        for (at, &count) in self.counts.iter().enumerate() {
            if rank <= count as f64 {
                let (low, high) = bucket_bounds_us(at);
                let us = low as f64 + (high - low) as f64 * rank / count as f64;
                return Some(Duration::from_secs_f64(us / 1e6));
            }
            rank -= count as f64;
        }
        // Rounding may leave a rest.
        self.counts
            .iter()
            .rposition(|&count| count > 0)
            .map(|at| Duration::from_micros(bucket_bounds_us(at).1))
    }

    /// How many took longer than about `limit`, and the time that those took at least, by the lower bounds of their
    /// buckets.
    pub fn beyond(&self, limit: Duration) -> (u64, Duration) {
        let long = (0..BUCKETS).filter(|&at| Duration::from_micros(bucket_bounds_us(at).0) >= limit);
        long.fold((0, Duration::ZERO), |(count, time), at| {
            let each = Duration::from_micros(bucket_bounds_us(at).0);
            let here = self.counts[at];
            (count + here, time + each.saturating_mul(u32::try_from(here).unwrap_or(u32::MAX)))
        })
    }
}

/// The lower and the upper bound of a bucket.
fn bucket_bounds_us(at: usize) -> (u64, u64) {
    let low = if at == 0 { 0 } else { BOUNDS_US[at - 1] };
    (low, BOUNDS_US.get(at).copied().unwrap_or(2 * low))
}

fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    BOUNDS_US.partition_point(|bound| *bound < us)
}

/// As [`Spread`], read while one other writes.
#[derive(Debug, Default)]
pub(super) struct SharedSpread {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl SharedSpread {
    /// There is one writer, so nothing is locked.
    pub(super) fn record(&self, took: Duration) {
        let plus = |cell: &AtomicU64, more: u64| cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
        plus(&self.counts[bucket(took)], 1);
        plus(&self.sum_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn add_to(&self, spread: &mut Spread) {
        spread.counts.iter_mut().zip(&self.counts).for_each(|(count, more)| *count += more.load(Relaxed));
        spread.sum += Duration::from_nanos(self.sum_ns.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(durations_us: &[u64]) -> Spread {
        let mut spread = Spread::default();
        durations_us.iter().for_each(|us| spread.record(Duration::from_micros(*us)));
        spread
    }

    #[test]
    fn a_duration_of_exactly_a_bound_belongs_to_it() {
        let counts = spread(&[0, 50, 51, 60_000_000, 60_000_001]).counts;
        assert_eq!((counts[0], counts[1], counts[17], counts[18]), (2, 1, 1, 1));
    }

    #[test]
    fn quantiles_lie_where_they_should() {
        let even: Vec<u64> = (1..=1000).map(|n| n * 100).collect();
        let even = spread(&even);
        let near = |q, us: f64| {
            let found = even.quantile(q, 0).expect("some").as_secs_f64() * 1e6;
            assert!((found / us - 1.0).abs() < 0.05, "{q}: {found} and not {us}");
        };
        near(0.5, 50_000.0);
        near(0.99, 99_000.0);
        assert_eq!(even.quantile(0.5, 1001), Some(Duration::ZERO), "more than half took no time");
        assert_eq!(Spread::default().quantile(0.5, 0), None);
    }

    #[test]
    fn what_lies_beyond_is_counted_from_below() {
        assert_eq!(
            spread(&[10, 700, 2_000_000, 3_000_000]).beyond(Duration::from_secs(1)),
            (2, Duration::from_micros(3_500_000))
        );
    }

    #[test]
    fn a_shared_one_says_the_same() {
        let (shared, mut read) = (SharedSpread::default(), Spread::default());
        [0, 70, 5_000].map(Duration::from_micros).iter().for_each(|took| shared.record(*took));
        shared.add_to(&mut read);
        assert_eq!(read, spread(&[0, 70, 5_000]));
        assert_eq!(read.since(&spread(&[70])), spread(&[0, 5_000]));
    }
}
