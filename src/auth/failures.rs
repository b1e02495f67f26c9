//! How long the answer to a failed login is held back, by where it came from.
//!
//! Guessing is slowed, nobody is locked out: a login that succeeds never waits, from whatever source, and each failure
//! of a source waits alike, whether its user exists or not. Depends on nothing but the time that it is told.
//!
//! Invariant: at most [`MOST_SOURCES`] are remembered; the one that failed longest ago is forgotten first.

use std::time::{Duration, Instant};

use hashlink::LruCache;

use super::source::Source;

/// Sources remembered.
pub const MOST_SOURCES: usize = 4_096;
/// What a source may save up: failures of so much time are answered at once.
const SAVED: Duration = Duration::from_secs(10);
/// The longest that an answer is held back.
pub const LONGEST: Duration = Duration::from_secs(5);

/// The failures of all sources.
#[derive(Debug)]
pub struct Failures {
    /// The time that one failure takes up.
    each: Duration,
    /// Until when each source's time is taken up (a virtual schedule, as in GCRA).
    taken_until: LruCache<Source, Instant>,
}

impl Failures {
    /// For `per_second` failures of each source.
    pub fn new(per_second: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(per_second).unwrap_or(Duration::ZERO);
        Self { each, taken_until: LruCache::new(MOST_SOURCES) }
    }

    /// A login of this source failed: how long to hold its answer back.
    pub fn failed(&mut self, source: Source, now: Instant) -> Duration {
        let most = now.checked_add(SAVED.saturating_add(LONGEST));
        let begins = self.taken_until.get(&source).map_or(now, |until| now.max(*until));
        let ends = begins.checked_add(self.each).min(most).unwrap_or(now);
        self.taken_until.insert(source, ends);
        ends.saturating_duration_since(now).saturating_sub(SAVED)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // some instant to start from
mod tests {
    use super::*;

    const A: Source = Source::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn waits(failures: &mut Failures, source: Source, now: Instant, count: usize) -> Vec<Duration> {
        (0..count).map(|_| failures.failed(source, now)).collect()
    }

    #[test]
    fn a_burst_is_free_and_then_each_waits_its_turn_up_to_a_bound() {
        let (mut failures, now) = (Failures::new(10), Instant::now());
        assert_eq!(waits(&mut failures, A, now, 100), [Duration::ZERO; 100]);
        let tenths = [100, 200, 300].map(Duration::from_millis);
        assert_eq!(waits(&mut failures, A, now, 3), tenths);
        assert_eq!(waits(&mut failures, A, now, 1_000).last(), Some(&LONGEST));
    }

    #[test]
    fn a_storm_of_hours_is_forgiven_as_soon_as_one_of_seconds() {
        let (mut failures, now) = (Failures::new(10), Instant::now());
        waits(&mut failures, A, now, 100_000);
        let later = now + LONGEST;
        assert_eq!(failures.failed(A, later), Duration::from_millis(100));
        assert_eq!(failures.failed(A, later + SAVED), Duration::ZERO);
    }

    #[test]
    fn sources_do_not_wait_for_one_another() {
        let (mut failures, now) = (Failures::new(1), Instant::now());
        waits(&mut failures, A, now, 100);
        assert_eq!(failures.failed(Source::Unix, now), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_remembered() {
        let (mut failures, now) = (Failures::new(1), Instant::now());
        waits(&mut failures, A, now, 20);
        for number in 0..2 * MOST_SOURCES as u32 {
            failures.failed(Source::V4(number.into()), now);
            if number % 1_000 == 0 {
                assert!(failures.failed(A, now) > Duration::ZERO);
            }
        }
        assert_eq!(failures.taken_until.len(), MOST_SOURCES);
    }
}
