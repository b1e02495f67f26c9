//! How long a login waits for what a database says of its user, so that the wait says nothing about the user.
//!
//! PostgreSQL takes a little longer for some names than for others. So an answer is not used before the end of a
//! [`STEP`]; and who isn't looked up, because they are configured, waits as long as the last login that was. Depends on
//! nothing but the clock's type.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Much longer than what names differ by, and short beside a login.
pub(super) const STEP: Duration = Duration::from_millis(2);

/// There is nothing to compare with: nobody was looked up on this connection.
const UNKNOWN: u32 = u32::MAX;

/// How many steps the last answer took.
#[derive(Debug)]
pub(super) struct Pace(AtomicU32);

impl Default for Pace {
    fn default() -> Self {
        Self(UNKNOWN.into())
    }
}

impl Pace {
    /// Until when an answer waits that came at `now` for a login that came at `arrived`.
    pub(super) fn answered(&self, arrived: Instant, now: Instant) -> Instant {
        let steps = now.saturating_duration_since(arrived).as_micros().div_ceil(STEP.as_micros()).max(1);
        let steps = u32::try_from(steps).unwrap_or(UNKNOWN).min(UNKNOWN - 1);
        self.0.store(steps, Ordering::Relaxed);
        arrived + STEP * steps
    }

    /// Nobody is looked up for now, so nobody waits.
    pub(super) fn stands_still(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The next answer will take longer, since a connection has to be made for it.
    pub(super) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Until when a login waits that came at `arrived` and isn't looked up; `None`: only a look-up can tell.
    pub(super) fn keep(&self, arrived: Instant) -> Option<Instant> {
        let steps = self.0.load(Ordering::Relaxed);
        (steps != UNKNOWN).then(|| arrived + STEP * steps)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_at_the_end_of_a_step() {
        let (pace, start) = (Pace::default(), Instant::now());
        for (took, waits) in [(0, 2_000), (180, 2_000), (205, 2_000), (2_000, 2_000), (2_001, 4_000)] {
            let until = pace.answered(start, start + Duration::from_micros(took));
            assert_eq!(until - start, Duration::from_micros(waits), "{took} µs");
        }
    }

    #[test]
    fn who_is_not_looked_up_waits_like_the_last_who_was() {
        let (pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.keep(start), None);
        pace.answered(start, start + STEP * 3 / 2);
        assert_eq!(pace.keep(start), Some(start + STEP * 2));
        pace.stands_still();
        assert_eq!(pace.keep(start), Some(start));
        pace.forget();
        assert_eq!(pace.keep(start), None);
    }
}
