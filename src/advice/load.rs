//! What happened in a pool between two readings of its accounts, as rates and means.
//!
//! Depends on `pool::snapshot`. All of it comes from counters and integrals, so nothing between the two readings is
//! missed.

use std::time::Duration;

use super::model::Model;
use crate::pool::snapshot::{PinSnapshot, PoolSnapshot};
use crate::pool::spread::Spread;

/// Means are numbers of servers or clients over the whole time; shares are of the time unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Seconds.
    pub span: f64,
    pub size: u32,
    /// Servers that the pool may use: the size, and those that pins have beyond it.
    pub capacity: f64,
    /// Servers in use.
    pub busy: f64,
    /// Of these, in transactions that pause.
    pub paused: f64,
    pub pinned: f64,
    /// Pinned servers that take a place within the size.
    pub crowding: f64,
    /// Clients in the queue.
    pub waiting: f64,
    pub full_share: f64,
    pub waiting_share: f64,
    /// Checkouts in a second, and the part of them that had to wait.
    pub checkouts: f64,
    pub waited_share: f64,
    pub transactions: f64,
    pub queries: f64,
    pub bytes_up: f64,
    pub bytes_down: f64,
    /// Counts.
    pub timeouts: u64,
    pub refusals: u64,
    pub failures: u64,
    /// Checkouts that didn't wait.
    pub unwaited: u64,
    pub wait: Spread,
    pub query: Spread,
    pub transaction: Spread,
    /// Clients that asked for something lately.
    pub clients: u32,
}

impl Load {
    /// `from` is the earlier reading, by `span`.
    pub fn between(from: &PoolSnapshot, to: &PoolSnapshot, span: Duration) -> Self {
        let span = span.as_secs_f64().max(1e-3);
        let time =
            |read: fn(&PoolSnapshot) -> Duration| read(to).saturating_sub(read(from)).as_secs_f64() / span;
        let count = |read: fn(&PoolSnapshot) -> u64| read(to).saturating_sub(read(from));
        let rate = |read| count(read) as f64 / span;
        let pinned = time(|s| s.pinned_time);
        let wait = to.wait.since(&from.wait);
        let (waited, checkouts) = (wait.count(), count(|s| s.checkouts));
        let exempt = f64::from(to.servers_exempt).min(pinned);
        Self {
            span,
            size: to.size,
            capacity: f64::from(to.size) + exempt,
            busy: time(|s| s.active_time) + pinned,
            paused: time(|s| s.times.paused),
            pinned,
            crowding: pinned - exempt,
            waiting: time(|s| s.waiting_sum),
            full_share: time(|s| s.full_time).min(1.0),
            waiting_share: time(|s| s.waiting_time).min(1.0),
            checkouts: checkouts as f64 / span,
            waited_share: if checkouts > 0 { (waited as f64 / checkouts as f64).min(1.0) } else { 0.0 },
            transactions: rate(|s| s.work.transactions),
            queries: rate(|s| s.work.queries),
            bytes_up: rate(|s| s.work.bytes_up),
            bytes_down: rate(|s| s.work.bytes_down),
            timeouts: count(|s| s.queue_timeouts),
            refusals: count(|s| s.queue_refusals),
            failures: count(PoolSnapshot::failures),
            unwaited: checkouts.saturating_sub(waited),
            wait,
            query: to.times.query.since(&from.times.query),
            transaction: to.times.transaction.since(&from.times.transaction),
            clients: to.clients_seen.min(to.clients.max(to.waiting + to.servers_active + to.servers_pinned)),
        }
    }

    /// The part of the servers that were in use, by the size.
    pub fn utilisation(&self) -> f64 {
        self.busy / f64::from(self.size.max(1))
    }

    /// Seconds for which a checkout holds its server, by the utilisation law. `None`: there was no checkout.
    pub fn hold(&self) -> Option<f64> {
        (self.checkouts > 0.0 && self.busy > 0.0).then(|| self.busy / self.checkouts)
    }

    /// The part of that in which PostgreSQL works, or so it seems: no pause, no pin.
    pub fn work(&self) -> Option<f64> {
        let working = (self.busy - self.pinned - self.paused).max(0.0);
        (self.transactions > 0.0).then(|| working / self.transactions)
    }

    pub fn wait_quantile(&self, q: f64) -> Option<f64> {
        self.wait.quantile(q, self.unwaited).map(|wait| wait.as_secs_f64())
    }

    /// These clients, as the arithmetic sees them. By Little's law, those that neither wait nor have a server are as
    /// many as come in a second, times the seconds that each of them thinks.
    pub fn model(&self) -> Option<Model> {
        let hold = self.hold()?;
        let present = self.busy + self.waiting;
        let clients = self.clients.max(present.ceil() as u32).max(1);
        let think = (f64::from(clients) - present).max(0.0) / self.checkouts;
        Some(Model { clients, think, hold })
    }
}

/// Server seconds of each pin reason between two readings.
pub(super) fn pins(from: &PoolSnapshot, to: &PoolSnapshot) -> Vec<(&'static str, f64)> {
    let before =
        |reason| from.pins.iter().find(|pin| pin.reason == reason).map_or(Duration::ZERO, |pin| pin.held);
    let held = |pin: &PinSnapshot| pin.held.saturating_sub(before(pin.reason)).as_secs_f64();
    to.pins.iter().map(|pin| (pin.reason, held(pin))).collect()
}

/// Server seconds of each application between two readings.
pub fn applications(from: &PoolSnapshot, to: &PoolSnapshot) -> Vec<(String, f64)> {
    let before = |name: &str| {
        from.applications.iter().find(|row| &*row.name == name).map_or(Duration::ZERO, |row| row.held)
    };
    let rows = to.applications.iter();
    rows.map(|row| (row.name.to_string(), row.held.saturating_sub(before(&row.name)).as_secs_f64())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn the_laws_hold_between_two_readings() {
        let from = PoolSnapshot { checkouts: 100, active_time: seconds(50.0), ..PoolSnapshot::default() };
        let to = PoolSnapshot {
            size: 10,
            clients: 90,
            clients_seen: 40,
            checkouts: 1_100,
            active_time: seconds(130.0),
            waiting_sum: seconds(20.0),
            ..PoolSnapshot::default()
        };
        let load = Load::between(&from, &to, seconds(10.0));
        assert!((load.utilisation() - 0.8).abs() < 1e-9);
        assert!((load.hold().expect("checkouts") - 0.08).abs() < 1e-9);
        let model = load.model().expect("checkouts");
        // 40 clients: 8 served, 2 in line, 30 think; 100 come in a second.
        assert_eq!(model.clients, 40);
        assert!((model.think - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_pool_without_work_has_no_model() {
        let quiet = PoolSnapshot::default();
        assert_eq!(Load::between(&quiet, &quiet, seconds(1.0)).model(), None);
    }
}
