//! Which verdict stands, and since when: one that changes its mind each second would be of no use.

use std::time::{Duration, Instant};

use super::verdict::Verdict;

/// A verdict gives way to another one only when that has been found for a while without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub verdict: Verdict,
    pub since: Instant,
    pub before: Option<Verdict>,
    candidate: Option<(Verdict, Instant)>,
}

impl Standing {
    pub fn new(now: Instant) -> Self {
        Self { verdict: Verdict::Idle, since: now, before: None, candidate: None }
    }

    /// `found` is what the facts say now. True: it stands from now on, and stood not before.
    pub fn find(&mut self, now: Instant, found: Verdict, patience: Duration) -> bool {
        if found == self.verdict {
            self.candidate = None;
            return false;
        }
        let since =
            self.candidate.filter(|(candidate, _)| *candidate == found).map_or(now, |(_, since)| since);
        if now.saturating_duration_since(since) < patience {
            self.candidate = Some((found, since));
            return false;
        }
        *self = Self { verdict: found, since, before: Some(self.verdict), candidate: None };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_once_doesnt_stand() {
        let t0 = crate::advice::tests::epoch();
        let at = |s| t0 + Duration::from_secs(s);
        let patience = Duration::from_secs(3);
        let mut standing = Standing::new(t0);
        for second in 1..=3 {
            assert!(!standing.find(at(second), Verdict::Saturated, patience));
        }
        assert!(!standing.find(at(4), Verdict::Idle, patience), "a break");
        for second in 5..=7 {
            assert!(!standing.find(at(second), Verdict::Saturated, patience));
        }
        assert!(standing.find(at(8), Verdict::Saturated, patience));
        assert_eq!(
            (standing.verdict, standing.since, standing.before),
            (Verdict::Saturated, at(5), Some(Verdict::Idle))
        );
    }
}
