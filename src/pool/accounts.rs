//! The only door for a change of a server's state, and the accounts that hang at it: counts by state, their
//! integrals over time, waits. `/metrics`, SHOW POOLS and the simulation read the same numbers.
//!
//! Depends on `snapshot` for the shape in which they are shown. Invariants: the counts sum to the backends that
//! may exist; `waits` equals the ended waits in the buckets plus the clients that wait now.

use std::time::{Duration, Instant};

use super::snapshot::{PoolSnapshot, WAIT_BOUNDS_US};

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Connecting,
    Idle,
    /// Lent, until the end of the transaction.
    Active,
    /// Lent for as long as its session holds something of its client's.
    Pinned,
    /// Its backend may still exist.
    Closing,
}

const STATES: usize = 5;

/// What a client did with a server since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub queries: u64,
    pub transactions: u64,
    /// Bytes from the client to the server.
    pub bytes_up: u64,
    /// Bytes from the server to the client.
    pub bytes_down: u64,
}

/// The accounts of one pool.
#[derive(Debug)]
pub struct Accounts {
    count: [u32; STATES],
    /// Server-nanoseconds spent in each state.
    spent: [u128; STATES],
    /// The moment up to which time is accounted for.
    since: Instant,
    waiting: u32,
    waiting_ns: u128,
    full_ns: u128,
    wait_ns: u128,
    capacity: Capacity,
    pub(super) events: Events,
    tally: Tally,
}

/// What "full" is measured against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Servers that the pool may have, pinned ones apart.
    pub target: u32,
    /// Servers that don't count against `target`.
    pub exempt: u32,
}

/// Counters of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Events {
    pub(super) checkouts: u64,
    waits: u64,
    buckets: [u64; WAIT_BOUNDS_US.len() + 1],
    pub(super) queue_timeouts: u64,
    pub(super) queue_refusals: u64,
    pub(super) connects: u64,
    pub(super) connect_failures: u64,
    pub(super) servers_closed: u64,
}

impl Accounts {
    pub(super) fn new(now: Instant, target: u32) -> Self {
        Self {
            count: [0; STATES],
            spent: [0; STATES],
            since: now,
            waiting: 0,
            waiting_ns: 0,
            full_ns: 0,
            wait_ns: 0,
            capacity: Capacity { target, exempt: 0 },
            events: Events::default(),
            tally: Tally::default(),
        }
    }

    /// A server begins (`from` is `None`), changes its state, or is gone (`to` is `None`).
    pub(super) fn transition(&mut self, now: Instant, from: Option<State>, to: Option<State>) {
        self.advance(now);
        if let Some(from) = from {
            self.count[from as usize] -= 1;
        }
        if let Some(to) = to {
            self.count[to as usize] += 1;
        }
    }

    pub(super) fn set_capacity(&mut self, now: Instant, capacity: Capacity) {
        if capacity != self.capacity {
            self.advance(now);
            self.capacity = capacity;
        }
    }

    pub(super) fn wait_begins(&mut self, now: Instant) {
        self.advance(now);
        self.waiting += 1;
        self.events.waits += 1;
    }

    /// However it ended: served, refused, or given up.
    pub(super) fn wait_ends(&mut self, now: Instant, since: Instant) {
        self.advance(now);
        self.waiting -= 1;
        let waited = now.saturating_duration_since(since);
        let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.events.buckets[WAIT_BOUNDS_US.partition_point(|bound| *bound < us)] += 1;
        self.wait_ns += waited.as_nanos();
    }

    pub(super) fn add(&mut self, tally: Tally) {
        self.tally.queries += tally.queries;
        self.tally.transactions += tally.transactions;
        self.tally.bytes_up += tally.bytes_up;
        self.tally.bytes_down += tally.bytes_down;
    }

    pub fn count(&self, state: State) -> u32 {
        self.count[state as usize]
    }

    /// Servers that are connected and not on their way out.
    pub fn live(&self) -> u32 {
        self.count(State::Idle) + self.count(State::Active) + self.count(State::Pinned)
    }

    /// Backends that may exist.
    pub fn backends(&self) -> u32 {
        self.count.iter().sum()
    }

    /// Every server that the pool may have is taken.
    fn is_full(&self) -> bool {
        self.count(State::Idle) == 0
            && self.count(State::Connecting) == 0
            && self.backends() >= self.capacity.target + self.capacity.exempt
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        if elapsed == 0 {
            return;
        }
        self.since = now;
        for (spent, count) in self.spent.iter_mut().zip(self.count) {
            *spent += elapsed * u128::from(count);
        }
        if self.waiting > 0 {
            self.waiting_ns += elapsed;
        }
        if self.is_full() {
            self.full_ns += elapsed;
        }
    }

    /// The accounts as of `now`; names, limits and clients are the caller's to fill in.
    pub(super) fn snapshot(&mut self, now: Instant) -> PoolSnapshot {
        self.advance(now);
        PoolSnapshot {
            servers_connecting: self.count(State::Connecting),
            servers_idle: self.count(State::Idle),
            servers_active: self.count(State::Active),
            servers_pinned: self.count(State::Pinned),
            servers_closing: self.count(State::Closing),
            waiting: self.waiting,
            checkouts: self.events.checkouts,
            waits: self.events.waits,
            wait_buckets: self.events.buckets,
            wait_total: span(self.wait_ns),
            queue_timeouts: self.events.queue_timeouts,
            queue_refusals: self.events.queue_refusals,
            transactions: self.tally.transactions,
            queries: self.tally.queries,
            bytes_up: self.tally.bytes_up,
            bytes_down: self.tally.bytes_down,
            connects: self.events.connects,
            connect_failures: self.events.connect_failures,
            servers_closed: self.events.servers_closed,
            idle_time: span(self.spent[State::Idle as usize]),
            active_time: span(self.spent[State::Active as usize]),
            pinned_time: span(self.spent[State::Pinned as usize]),
            full_time: span(self.full_ns),
            waiting_time: span(self.waiting_ns),
            ..PoolSnapshot::default()
        }
    }
}

fn span(ns: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    Duration::new(u64::try_from(ns / SECOND).unwrap_or(u64::MAX), (ns % SECOND) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_booked_to_the_state_in_which_it_was_spent() {
        let t0 = crate::pool::tests::epoch();
        let at = |s| t0 + Duration::from_secs(s);
        let mut a = Accounts::new(t0, 1);
        a.transition(at(1), None, Some(State::Connecting));
        a.transition(at(3), Some(State::Connecting), Some(State::Active));
        a.wait_begins(at(4));
        a.transition(at(10), Some(State::Active), Some(State::Idle));
        a.wait_ends(at(10), at(4));
        let s = a.snapshot(at(12));
        assert_eq!((s.active_time, s.idle_time), (Duration::from_secs(7), Duration::from_secs(2)));
        assert_eq!((s.full_time, s.waiting_time), (Duration::from_secs(7), Duration::from_secs(6)));
        assert_eq!((s.waits, s.waiting, s.wait_total), (1, 0, Duration::from_secs(6)));
        assert_eq!(s.wait_buckets[16], 1, "6 s lies between 5 s and 15 s");
    }

    #[test]
    fn a_wait_of_exactly_a_bound_belongs_to_it() {
        let t0 = crate::pool::tests::epoch();
        let mut a = Accounts::new(t0, 1);
        for us in [0, 50, 51, 60_000_000, 60_000_001] {
            a.wait_begins(t0);
            a.wait_ends(t0 + Duration::from_micros(us), t0);
        }
        let buckets = a.snapshot(t0).wait_buckets;
        assert_eq!((buckets[0], buckets[1], buckets[17], buckets[18]), (2, 1, 1, 1));
    }
}
