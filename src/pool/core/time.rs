//! What happens because time passes, or because a person says so: deadlines, ages, drain, new settings.

use std::time::Instant;

use super::{Core, Ended, IDLE_WATCH, Phase, Refusal};
use crate::pool::accounts::State;
use crate::pool::settings::PoolSettings;

impl<S, W: Clone> Core<S, W> {
    /// Does what is due.
    pub fn expire(&mut self, now: Instant) {
        if let Phase::Draining(until) = self.phase
            && until <= now
        {
            self.shutdown(now);
        }
        while self.queue_deadline().is_some_and(|at| at <= now) {
            self.accounts.events.queue_timeouts += 1;
            self.refuse_first(now);
        }
        self.close_long_idle(now);
        self.upkeep(now);
    }

    /// When to call [`Self::expire`] next; always later than `now` if that was just done.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        self.stir = false;
        self.armed = self.deadline(now);
        self.armed
    }

    pub(in crate::pool) fn deadline(&self, now: Instant) -> Option<Instant> {
        let drained = match self.phase {
            Phase::Draining(until) => Some(until),
            _ => None,
        };
        let waited_for = self.queue.len() > 0;
        let wanting = waited_for || self.lacks_minimum();
        let under_way = self.connecting.len();
        let retry = if wanting { self.health.retry_at(now, under_way, waited_for) } else { None };
        // Ages need no deadline of their own: idle servers are looked at often enough.
        let (idle, asked) = (self.idle_watch(now), self.patience_ends(now));
        let all = [drained, self.queue_deadline(), self.reserve_at(), retry, idle, asked];
        all.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Nobody new gets a server; those who wait are served until `until`, then refused. Idle servers end now.
    pub fn drain(&mut self, now: Instant, until: Instant) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining(until);
            self.arm_by(until);
        }
        self.close_idle(now, Ended::Drained);
    }

    /// Everybody who waits is refused; idle servers end. Lent ones end when they come back.
    pub fn shutdown(&mut self, now: Instant) {
        self.phase = Phase::Shut;
        while self.queue.len() > 0 {
            self.refuse_first(now);
        }
        self.close_idle(now, Ended::Drained);
        self.plan(now);
    }

    /// Nothing exists and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.queue.len() == 0
    }

    /// New limits and timeouts. Servers beyond them end as they come back.
    pub fn configure(&mut self, now: Instant, settings: PoolSettings) {
        self.settings = settings;
        self.exempt_pinned(now);
        while self.ordinary().saturating_sub(self.accounts.count(State::Closing)) > self.settings.size
            && let Some(held) = self.idle.pop_oldest()
        {
            self.close(now, held, Ended::Excess);
        }
        self.stir = true;
        self.upkeep(now);
    }

    /// Replaces all servers, one after the other, as if they had become too old.
    pub fn renew(&mut self, now: Instant) {
        for (_, slot) in &mut self.slots {
            slot.expires = Some(now);
        }
        self.upkeep(now);
    }

    /// Nobody uses the pool: its idle servers end, and it opens none before it is asked again.
    pub fn vacate(&mut self, now: Instant) {
        self.habit = None;
        self.close_idle(now, Ended::Vacated);
    }

    /// Ages and needs, after something has ended or begun.
    pub(super) fn upkeep(&mut self, now: Instant) {
        if self.may_retire() {
            let Self { idle, slots, .. } = self;
            let old = idle.find(|resting| slots[resting.held.id().slot as usize].is_old(now));
            if let Some(held) = old.map(|at| self.idle.remove(at)) {
                self.retiring = Some(held.id());
                self.close(now, held, Ended::Age);
            }
        }
        self.plan(now);
    }

    /// Stirs the shell if it would come too late.
    pub(super) fn arm(&mut self, now: Instant) {
        if let Some(at) = self.deadline(now) {
            self.arm_by(at);
        }
    }

    /// One server is replaced at a time, and none while it isn't sure that another can be had.
    pub(super) fn may_retire(&self) -> bool {
        self.retiring.is_none() && self.connecting.is_empty() && self.health.is_well()
    }

    /// When the reserve is opened for those who wait.
    pub(super) fn reserve_at(&self) -> Option<Instant> {
        let since = self.queue.oldest_since().filter(|_| self.settings.reserve_size > 0)?;
        since.checked_add(self.settings.reserve_after)
    }

    /// Deadlines come in the queue's order, since all wait equally long.
    pub(super) fn queue_deadline(&self) -> Option<Instant> {
        self.queue.oldest_since()?.checked_add(self.settings.queue_timeout)
    }

    fn idle_watch(&self, now: Instant) -> Option<Instant> {
        (self.accounts.count(State::Idle) > 0).then(|| now + IDLE_WATCH)
    }

    fn refuse_first(&mut self, now: Instant) {
        let why = match self.phase {
            Phase::Shut => Refusal::Draining,
            _ => self.health.unreachable(self.accounts.live()).unwrap_or_else(|| Refusal::QueueTimeout {
                waited: self.settings.queue_timeout,
                size: self.target(),
                pins: self.pins().collect(),
            }),
        };
        let first = self.queue.first_line(|_, _| true);
        if let Some(left) = first.and_then(|profile| self.queue.refuse(profile, why)) {
            self.dismiss(now, left);
        }
    }

    fn close_long_idle(&mut self, now: Instant) {
        while self.accounts.live() > self.settings.min_size {
            let Self { idle, slots, .. } = self;
            let over = idle.find(|resting| {
                let idle_for = slots[resting.held.id().slot as usize].idle_for;
                idle_for.is_some_and(|idle_for| now.saturating_duration_since(resting.since) >= idle_for)
            });
            let Some(at) = over else { break };
            let held = self.idle.remove(at);
            self.close(now, held, Ended::Idle);
        }
    }

    fn close_idle(&mut self, now: Instant, why: Ended) {
        while let Some(held) = self.idle.pop_oldest() {
            self.close(now, held, why);
        }
    }
}
