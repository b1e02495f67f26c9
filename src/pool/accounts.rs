//! The only door for a change of a server's state, and the accounts that hang at it: counts by state, their
//! integrals over time, waits. `/metrics`, SHOW POOLS and the simulation read the same numbers.
//!
//! Depends on `snapshot` for the shape in which they are shown. Invariants: the counts sum to the backends that
//! may exist; `waits` equals the ended waits in the buckets plus the clients that wait now; integrals over time count
//! what is under way, so they grow evenly.

use std::time::{Duration, Instant};

use super::snapshot::PoolSnapshot;
use super::spread::Spread;
use crate::meter::work::Work;

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

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Pinned => "pinned",
            Self::Closing => "closing",
        }
    }
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
    waiting_peak: u32,
    waiting_ns: u128,
    /// Client-nanoseconds spent waiting.
    waiting_sum: u128,
    full_ns: u128,
    capacity: Capacity,
    pub(super) events: Events,
    tally: Work,
    census: Census,
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
    wait: Spread,
    think: Spread,
    pub(super) queue_timeouts: u64,
    pub(super) queue_refusals: u64,
    pub(super) connect: Spread,
    pub(super) servers_closed: u64,
}

impl Accounts {
    pub(super) fn new(now: Instant, target: u32) -> Self {
        Self {
            count: [0; STATES],
            spent: [0; STATES],
            since: now,
            waiting: 0,
            waiting_peak: 0,
            waiting_ns: 0,
            waiting_sum: 0,
            full_ns: 0,
            capacity: Capacity { target, exempt: 0 },
            events: Events::default(),
            tally: Work::default(),
            census: Census::new(now),
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
        self.waiting_peak = self.waiting_peak.max(self.waiting);
        self.events.waits += 1;
    }

    /// However it ended: served, refused, or given up.
    pub(super) fn wait_ends(&mut self, now: Instant, since: Instant) {
        self.advance(now);
        self.waiting -= 1;
        self.events.wait.record(now.saturating_duration_since(since));
    }

    /// A client asks for a server; `rested`: how long it has had none, if it ever had one.
    pub(super) fn asked(&mut self, now: Instant, rested: Option<Duration>) {
        if let Some(rested) = rested {
            self.events.think.record(rested);
        }
        let present = self.count(State::Active) + self.count(State::Pinned) + self.waiting;
        self.census.asked(now, rested, present);
    }

    pub(super) fn add(&mut self, tally: &Work) {
        self.tally.add(tally);
    }

    /// From now on the peak is that of now.
    pub(super) fn forget_peak(&mut self) {
        self.waiting_peak = self.waiting;
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
            self.waiting_sum += elapsed * u128::from(self.waiting);
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
            waiting_peak: self.waiting_peak,
            clients_seen: self.census.count(now),
            checkouts: self.events.checkouts,
            waits: self.events.waits,
            wait: self.events.wait,
            think: self.events.think,
            queue_timeouts: self.events.queue_timeouts,
            queue_refusals: self.events.queue_refusals,
            work: self.tally,
            connect: self.events.connect,
            servers_closed: self.events.servers_closed,
            idle_time: span(self.spent[State::Idle as usize]),
            active_time: span(self.spent[State::Active as usize]),
            pinned_time: span(self.spent[State::Pinned as usize]),
            full_time: span(self.full_ns),
            waiting_time: span(self.waiting_ns),
            waiting_sum: span(self.waiting_sum),
            ..PoolSnapshot::default()
        }
    }
}

/// How many different clients asked lately, without a list of them: each knows when it was served last.
#[derive(Debug)]
struct Census {
    began: Instant,
    seen: u32,
    /// In the minute before.
    before: u32,
}

impl Census {
    const MINUTE: Duration = Duration::from_secs(60);

    fn new(now: Instant) -> Self {
        Self { began: now, seen: 0, before: 0 }
    }

    /// `present`: clients that have a server or wait for one.
    fn asked(&mut self, now: Instant, rested: Option<Duration>, present: u32) {
        let age = now.saturating_duration_since(self.began);
        if age >= Self::MINUTE {
            self.before = if age < 2 * Self::MINUTE { self.seen } else { 0 };
            (self.began, self.seen) = (now, present);
        }
        let age = now.saturating_duration_since(self.began);
        self.seen += u32::from(rested.is_none_or(|rested| rested > age));
    }

    fn count(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.began);
        if age < 2 * Self::MINUTE { self.seen.max(self.before) } else { 0 }
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
        assert_eq!((s.waits, s.waiting, s.wait.sum), (1, 0, Duration::from_secs(6)));
        assert_eq!((s.waiting_peak, s.waiting_sum), (1, Duration::from_secs(6)));
    }

    #[test]
    fn each_client_is_seen_once_a_minute() {
        let t0 = crate::pool::tests::epoch();
        let at = |s| t0 + Duration::from_secs(s);
        let mut a = Accounts::new(t0, 1);
        a.asked(at(1), None);
        a.asked(at(2), Some(Duration::from_secs(1)));
        a.asked(at(3), None);
        assert_eq!(a.snapshot(at(4)).clients_seen, 2);
        a.asked(at(70), Some(Duration::from_secs(67)));
        assert_eq!(a.snapshot(at(71)).clients_seen, 2, "as in the minute before");
        assert_eq!(a.snapshot(at(71)).think.count(), 2);
        assert_eq!(a.snapshot(at(300)).clients_seen, 0);
    }
}
