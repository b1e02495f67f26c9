//! Spreading things over time: jitter, and the back-off between failed attempts. Depends on nothing.
//!
//! Invariant: a spread duration is never longer than the one that was set.

use std::time::Duration;

/// A small generator (SplitMix64) for jitter; its seed is given, so a run can be repeated. Not for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 80 to 100 % of `whole`: servers born together don't end together.
    pub fn ahead_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(0.8 + 0.2 * self.fraction())
    }

    /// The pause after the `tries`th failure in a row (from 1): doubling, 50 to 100 % of the step.
    pub fn back_off(&mut self, tries: u32) -> Duration {
        let step = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
        step.mul_f64(0.5 + 0.5 * self.fraction())
    }
}

/// After the first failed connect.
pub const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Between connects while PostgreSQL is away.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The same while clients wait: they are to be served within a second of its return.
pub const LONGEST_PAUSE_WAITED_FOR: Duration = Duration::from_millis(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_below_what_was_set_and_spreads() {
        let mut dice = Dice::seeded(1);
        let hour = Duration::from_secs(3600);
        let all: Vec<_> = (0..1000).map(|_| dice.ahead_of(hour)).collect();
        assert!(all.iter().all(|d| *d <= hour && *d >= hour.mul_f64(0.8)));
        assert!(all.iter().max().unwrap().abs_diff(*all.iter().min().unwrap()) > hour.mul_f64(0.15));
    }

    #[test]
    fn back_off_doubles_to_its_bound() {
        let mut dice = Dice::seeded(2);
        assert!((25..=50).contains(&dice.back_off(1).as_millis()));
        assert!((100..=200).contains(&dice.back_off(3).as_millis()));
        assert!((1000..=2000).contains(&dice.back_off(40).as_millis()));
    }
}
