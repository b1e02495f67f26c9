//! Which servers to open and to close: room, who needs one most, and what becomes of an attempt.

use std::num::NonZeroU32;
use std::time::Instant;

use super::slot::Slot;
use super::{Capacity, Core, Ended, Held, Order, Permit, Phase};
use crate::pool::accounts::State;
use crate::pool::health::{OpenError, OpenErrorKind};
use crate::pool::key::{Label, ProfileId, ServerId};
use crate::pool::stopwatch::Stopwatch;

impl<S, W: Clone> Core<S, W> {
    /// A connect has succeeded.
    pub fn opened(&mut self, now: Instant, permit: Permit, server: S) {
        let id = permit.0;
        let profile = self.connect_ended(id);
        self.health.connected(profile);
        let held = self.begin(now, permit, server);
        self.recount(now);
        self.place(now, held);
        self.upkeep(now);
    }

    /// After [`end`](Self::end) another backend was opened in the place of the one that has really ended, for the same
    /// client.
    pub fn reopened(&mut self, now: Instant, permit: Permit, server: S) -> Held<S> {
        self.accounts.events.servers_closed += 1;
        let mut held = self.begin(now, permit, server);
        held.stopwatch.lent(now);
        let borrower = self.slot(held.id()).borrower;
        self.lend_to(now, held.id(), borrower);
        // Nobody gets the room that they may have been waiting for.
        self.plan(now);
        held
    }

    fn begin(&mut self, now: Instant, permit: Permit, server: S) -> Held<S> {
        let id = permit.0;
        let expires =
            self.settings.server_lifetime.and_then(|whole| now.checked_add(self.dice.ahead_of(whole)));
        let idle_for = self.settings.server_idle_timeout.map(|whole| self.dice.ahead_of(whole));
        let slot = self.slot(id);
        let (took, book) = (now.saturating_duration_since(slot.since), slot.book.clone());
        book.set_pinned(false);
        (slot.opened, slot.expires, slot.idle_for) = (now, expires, idle_for);
        let profile = slot.profile;
        self.accounts.events.connect.record(took);
        self.enter(now, id, State::Active);
        let stopwatch = Box::new(Stopwatch::new(now, book));
        Held { server, label: Label::BASELINE, stopwatch, profile, permit }
    }

    /// A connect has failed, and no backend of it exists.
    pub fn failed(&mut self, now: Instant, permit: Permit, error: &OpenError) {
        let profile = self.slot(permit.0).profile;
        self.note_failure(error);
        self.health.failed(now, profile, error, self.accounts.live(), &mut self.dice);
        let is_served = self.serves(profile);
        if let OpenErrorKind::Rejected(_) | OpenErrorKind::NotProven = error.kind
            && !is_served
        {
            self.reject_line(now, profile);
        }
        self.forget(now, permit);
        if error.kind == OpenErrorKind::TooMany && !is_served && self.queue.waits(profile) {
            // PostgreSQL has a place for it when one of ours is gone.
            self.make_room(now, Need::Client(profile));
        }
    }

    /// The backend of a closed server has really ended.
    pub fn gone(&mut self, now: Instant, permit: Permit) {
        self.forget(now, permit);
    }

    /// No connect was tried, since nobody has the profile any more.
    pub fn withdrawn(&mut self, now: Instant, permit: Permit) {
        let profile = self.slot(permit.0).profile;
        self.habit = self.habit.filter(|habit| *habit != profile);
        self.forget(now, permit);
    }

    /// The pool's user has logged in with something that servers may accept: what was rejected is tried again.
    pub fn forgive(&mut self, now: Instant) {
        self.health.forgive();
        self.plan(now);
    }

    /// A place under the ceilings may be free now, or one more server may be pinned beyond the size.
    pub fn retry(&mut self, now: Instant) {
        self.exempt_pinned(now);
        self.plan(now);
    }

    /// Closes idle servers for pools that are worse off, and asks for those that clients can do without.
    pub fn shed(&mut self, now: Instant) {
        while self.idle.iter().next().is_some() && self.seat.should_yield(super::Spare::Idle) {
            let held = self.idle.pop_oldest().expect("looked at above");
            self.slot(held.id()).yielded = true;
            self.close(now, held, Ended::Yielded);
        }
        self.ask_back(now);
    }

    /// Closes the idle servers that `keep` denies.
    pub fn sweep_idle(&mut self, now: Instant, mut keep: impl FnMut(ProfileId, &mut S) -> bool) {
        while let Some(at) = self.idle.find(|resting| !keep(resting.held.profile(), &mut resting.held.server))
        {
            let held = self.idle.remove(at);
            self.close(now, held, Ended::Dead);
        }
    }

    /// Opens what is needed and allowed. Called whenever one of both may have changed.
    pub(super) fn plan(&mut self, now: Instant) {
        self.open_what_is_needed(now);
        self.ask_back(now);
        self.arm(now);
    }

    fn open_what_is_needed(&mut self, now: Instant) {
        while self.may_connect(now)
            && let Some(need) = self.need(now)
        {
            let room = match need {
                Need::Client(_) => self.has_room(now),
                Need::Minimum(_) => self.ordinary() < self.settings.size,
            };
            if !room {
                self.make_room(now, need);
                break;
            }
            if let Need::Minimum(_) = need {
                if !self.seat.take_spare() {
                    break;
                }
            } else if !self.seat.take() {
                return self.go_hungry(now, need);
            }
            self.hungry = false;
            self.open(now, need.profile());
        }
        if std::mem::take(&mut self.hungry) && self.seat.decline() {
            self.orders.push_back(Order::Share);
        }
    }

    /// The ceilings leave no place. One of our own servers goes first; else the neighbours are asked, once, and
    /// then our turn comes by `retry`.
    fn go_hungry(&mut self, now: Instant, need: Need) {
        let again = std::mem::replace(&mut self.hungry, true);
        self.make_room(now, need);
        if self.accounts.count(State::Closing) == 0 && !again {
            self.orders.push_back(Order::Share);
        }
    }

    /// Whom to open a server for: the first in line for whom none is on its way, else the pool's own minimum.
    fn need(&self, now: Instant) -> Option<Need> {
        let waits = self.queue.first_line(|profile, waiting| {
            waiting > self.coming(profile) && !self.health.bars(now, profile, &self.connecting)
        });
        if let Some(profile) = waits {
            return Some(Need::Client(profile));
        }
        let lacks = self.lacks_minimum() && self.phase == Phase::Open;
        let habit = self.habit.filter(|habit| lacks && !self.health.bars(now, *habit, &self.connecting))?;
        Some(Need::Minimum(habit))
    }

    pub(super) fn lacks_minimum(&self) -> bool {
        // Those that are closing are replaced when they are gone.
        self.habit.is_some() && self.ordinary() < self.settings.min_size.min(self.settings.size)
    }

    pub(super) fn may_connect(&self, now: Instant) -> bool {
        let waited_for = self.queue.len() > 0;
        self.phase != Phase::Shut
            && self.health.may_connect(
                now,
                self.connecting.len(),
                self.settings.parallel_connects,
                waited_for,
            )
    }

    /// For one more server that somebody waits for.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let reserve = match self.reserve_at() {
            Some(at) if at <= now => self.settings.reserve_size,
            _ => 0,
        };
        self.ordinary() < self.settings.size + reserve
    }

    /// Closes idle servers of profiles that nobody waits for, as many as there are clients without a prospect.
    fn make_room(&mut self, now: Instant, need: Need) {
        if let Need::Minimum(_) = need {
            return;
        }
        let uncovered: u32 =
            self.queue.lines().map(|(p, waiting)| waiting.saturating_sub(self.coming(p))).sum();
        let bound = uncovered.min(self.settings.parallel_connects.max(1));
        while self.accounts.count(State::Closing) < bound
            && let Some(held) = self.idle.pop_oldest()
        {
            self.close(now, held, Ended::Room);
        }
    }

    fn open(&mut self, now: Instant, profile: ProfileId) {
        let serial = self.serial;
        self.serial = self.serial.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let slot = self.slots.insert(Slot::opening(now, serial, profile));
        self.accounts.transition(now, None, Some(State::Connecting));
        self.connecting.push(profile);
        let slot = u32::try_from(slot).expect("the limits are u32");
        self.orders.push_back(Order::Open { permit: Permit(ServerId { slot, serial }), profile });
    }

    pub(super) fn close(&mut self, now: Instant, held: Held<S>, why: Ended) {
        self.enter(now, held.id(), State::Closing);
        self.orders.push_back(Order::Close { server: held.server, permit: held.permit, why });
    }

    /// A permit ends.
    fn forget(&mut self, now: Instant, permit: Permit) {
        let id = permit.0;
        if self.slot(id).state == State::Connecting {
            self.connect_ended(id);
        } else {
            self.accounts.events.servers_closed += 1;
        }
        let slot = self.slots.remove(id.slot as usize);
        self.books.retired.add(&slot.book, now);
        self.accounts.transition(now, Some(slot.state), None);
        self.count_again(u32::from(slot.exempt));
        self.retiring = self.retiring.filter(|retiring| *retiring != id);
        if self.seat.leave(slot.yielded) {
            self.orders.push_back(Order::Share);
        }
        self.exempt_pinned(now);
        self.recount(now);
        self.upkeep(now);
    }

    fn connect_ended(&mut self, id: ServerId) -> ProfileId {
        let profile = self.slot(id).profile;
        let at = self.connecting.iter().position(|connecting| *connecting == profile);
        self.connecting.swap_remove(at.expect("`open` put it there"));
        profile
    }

    fn reject_line(&mut self, now: Instant, profile: ProfileId) {
        while let Some(why) = self.health.rejection(now, profile)
            && let Some(left) = self.queue.refuse(profile, why)
        {
            self.dismiss(now, left);
        }
    }

    /// Servers of this profile being opened.
    fn coming(&self, profile: ProfileId) -> u32 {
        self.connecting.iter().filter(|connecting| **connecting == profile).count() as u32
    }

    /// Tells the accounts what "full" means now.
    pub(super) fn recount(&mut self, now: Instant) {
        let capacity = Capacity { target: self.target(), exempt: self.exempt };
        self.accounts.set_capacity(now, capacity);
    }

    /// Servers that the pool may have, by its settings and by what PostgreSQL gives.
    pub(super) fn target(&self) -> u32 {
        self.health.got().map_or(self.settings.size, |got| got.min(self.settings.size))
    }
}

/// For whom a server is opened.
#[derive(Clone, Copy)]
enum Need {
    Client(ProfileId),
    Minimum(ProfileId),
}

impl Need {
    fn profile(self) -> ProfileId {
        match self {
            Self::Client(profile) | Self::Minimum(profile) => profile,
        }
    }
}
