//! "…, suppressed 41": keeps an event that strangers can cause from filling the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets through a few lines of each event per window and counts the rest. Events are named in the code, never
/// by a peer, so the map stays small.
#[derive(Debug)]
pub struct Limiter {
    lines: u32,
    window: Duration,
    events: Mutex<HashMap<&'static str, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    passed: u32,
    suppressed: u64,
}

impl Limiter {
    /// At most `lines` (one at least) of each event in each `window`.
    pub fn new(lines: u32, window: Duration) -> Self {
        Self { lines: lines.max(1), window, events: Mutex::default() }
    }

    /// `Some(suppressed)`: log it, and say how many such events were kept back since the last line.
    /// `None`: keep it back.
    pub fn pass(&self, event: &'static str, now: Instant) -> Option<u64> {
        let mut events = self.events.lock();
        let fresh = |suppressed| Window { began: now, passed: 0, suppressed };
        let window = events.entry(event).or_insert_with(|| fresh(0));
        if now.saturating_duration_since(window.began) >= self.window {
            *window = fresh(window.suppressed);
        }
        if window.passed == self.lines {
            window.suppressed += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // some instant to start from
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_line_of_a_new_window_tells_what_was_suppressed() {
        let limiter = Limiter::new(2, WINDOW);
        let begin = Instant::now();
        let passes: Vec<_> = (0..5).map(|_| limiter.pass("login failed", begin)).collect();
        assert_eq!(passes, [Some(0), Some(0), None, None, None]);
        assert_eq!(limiter.pass("login failed", begin + WINDOW), Some(3));
        assert_eq!(limiter.pass("login failed", begin + WINDOW), Some(0));
        assert_eq!(limiter.pass("login failed", begin + WINDOW), None);
    }

    #[test]
    fn events_do_not_suppress_one_another() {
        let limiter = Limiter::new(1, WINDOW);
        let now = Instant::now();
        assert_eq!(limiter.pass("a", now), Some(0));
        assert_eq!(limiter.pass("a", now), None);
        assert_eq!(limiter.pass("b", now), Some(0));
    }
}
