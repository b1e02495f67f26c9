//! Guards that count a client's stay and a login from beginning to end, however they end.
//!
//! Invariant: what was counted in is counted out once, also by a panic or a dropped task.

use std::time::Instant;

use super::cell::Inside;
use super::counters::{Closed, Counters, LoginOutcome};

/// One client connection, from accept to close.
#[must_use]
#[derive(Debug)]
pub struct Visit<'a> {
    counters: &'a Counters,
    _inside: Inside<'a>,
    closed: Closed,
}

impl<'a> Visit<'a> {
    pub fn begin(counters: &'a Counters) -> Self {
        counters.clients_accepted.inc();
        Self { counters, _inside: counters.clients_connected.enter(), closed: Closed::Internal }
    }

    /// The end, with its reason. A visit that is just dropped counts as `internal`.
    pub fn end(mut self, why: Closed) {
        self.closed = why;
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.counters.clients_closed.inc(self.closed.text());
    }
}

/// One login, from accept to its outcome.
#[must_use]
#[derive(Debug)]
pub struct Login<'a> {
    counters: &'a Counters,
    _inside: Inside<'a>,
    began: Instant,
    outcome: LoginOutcome,
}

impl<'a> Login<'a> {
    pub fn begin(counters: &'a Counters, now: Instant) -> Self {
        let _inside = counters.logins_in_flight.enter();
        Self { counters, _inside, began: now, outcome: LoginOutcome::Cancelled }
    }

    /// The end, with its outcome. A login that is just dropped counts as `cancelled`.
    pub fn end(mut self, outcome: LoginOutcome, now: Instant) {
        self.outcome = outcome;
        if outcome == LoginOutcome::Ok {
            self.counters.login_duration.record(now.saturating_duration_since(self.began));
        }
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        self.counters.logins.inc(self.outcome.text());
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // some instant to start from
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::cell::Tally;
    use crate::meter::family::Value;

    fn nonzero(tally: &Tally) -> Vec<(&'static str, Value)> {
        tally.read().into_iter().filter(|(_, value)| *value != Value::Count(0)).collect()
    }

    #[test]
    fn a_dropped_visit_is_a_bug_and_an_ended_one_is_not() {
        let counters = Counters::default();
        drop(Visit::begin(&counters));
        Visit::begin(&counters).end(Closed::Terminate);
        let _still_there = Visit::begin(&counters);

        assert_eq!(counters.clients_accepted.get(), 3);
        assert_eq!(counters.clients_connected.get(), 1);
        let closed = [("terminate", Value::Count(1)), ("internal", Value::Count(1))];
        assert_eq!(nonzero(&counters.clients_closed), closed);
    }

    #[test]
    fn only_a_login_that_succeeded_has_a_duration() {
        let counters = Counters::default();
        let now = Instant::now();
        drop(Login::begin(&counters, now));
        Login::begin(&counters, now).end(LoginOutcome::Timeout, now + Duration::from_secs(10));
        Login::begin(&counters, now).end(LoginOutcome::Ok, now + Duration::from_millis(2));

        assert_eq!(counters.logins_in_flight.get(), 0);
        let one = Value::Count(1);
        assert_eq!(nonzero(&counters.logins), [("ok", one), ("timeout", one), ("cancelled", one)]);
        assert_eq!(counters.login_duration.read().sum, Duration::from_millis(2));
    }
}
