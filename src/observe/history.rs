//! Fifteen minutes of a pool in memory, in points of five seconds.
//!
//! Depends on `advice`. A point costs 20 bytes, so a pool's history 3.6 KB. Points are numbered from the start of the
//! process, the same for all pools.

use std::collections::VecDeque;
use std::time::Duration;

use super::status;
use crate::advice::load::Load;

pub(super) const STEP: Duration = Duration::from_secs(5);
const POINTS: usize = 180;

#[derive(Debug)]
pub(super) struct History {
    /// The number of the first point.
    first: u64,
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    utilisation: f32,
    waiting: u32,
    wait_p50: f32,
    wait_p99: f32,
    transactions: f32,
}

impl History {
    /// The next point will have this number.
    pub(super) fn new(next: u64) -> Self {
        Self { first: next, points: VecDeque::new() }
    }

    /// `waiting`: the most at once.
    pub(super) fn add(&mut self, load: &Load, waiting: u32) {
        if self.points.len() == POINTS {
            self.points.pop_front();
            self.first += 1;
        }
        let wait = |q| load.wait_quantile(q).unwrap_or(0.0) as f32;
        self.points.push_back(Point {
            utilisation: load.utilisation() as f32,
            waiting,
            wait_p50: wait(0.5),
            wait_p99: wait(0.99),
            transactions: load.transactions as f32,
        });
    }

    /// The points from number `since` on.
    pub(super) fn read(&self, since: u64) -> status::History {
        let skipped =
            usize::try_from(since.saturating_sub(self.first)).unwrap_or(POINTS).min(self.points.len());
        let points = || self.points.iter().skip(skipped);
        status::History {
            first: self.first + skipped as u64,
            utilisation: points().map(|point| point.utilisation).collect(),
            waiting: points().map(|point| point.waiting).collect(),
            wait_p50_s: points().map(|point| point.wait_p50).collect(),
            wait_p99_s: points().map(|point| point.wait_p99).collect(),
            transactions_per_s: points().map(|point| point.transactions).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_points_go_and_numbers_stay() {
        let mut history = History::new(7);
        for waiting in 0..POINTS as u32 + 3 {
            history.add(&Load::default(), waiting);
        }
        let all = history.read(0);
        assert_eq!((all.first, all.waiting.len(), all.waiting[0]), (10, POINTS, 3));
        let late = history.read(188);
        assert_eq!((late.first, late.waiting), (188, vec![181, 182]));
        assert_eq!(history.read(10_000).waiting, [0; 0]);
    }
}
