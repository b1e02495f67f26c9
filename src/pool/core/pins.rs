//! Servers that are pinned to a client: how they count, why, and which are asked back.

use std::collections::VecDeque;
use std::time::Instant;

use slab::Slab;

use super::slot::Slot;
use super::{Asked, AskedFor, Core, Held, Order, PATIENCE, Pin};
use crate::pool::accounts::State;

/// Exempt servers up to which a pin needs no reason to be replaced.
const FEW: u32 = 4;

impl<S, W: Clone> Core<S, W> {
    /// Its session holds something of its client's. While there are no more than `pinned_servers` of these, the
    /// pool may have another server instead. A further pin takes the place of the one before.
    pub fn pin(&mut self, now: Instant, held: &Held<S>, pin: Pin<W>) {
        self.pin_ends(now, held.id());
        self.enter(now, held.id(), State::Pinned);
        let slot = self.slot(held.id());
        slot.asked_back = slot.asked_back.filter(|_| pin.yields.is_some());
        slot.book.set_pinned(true);
        let (reason, before) = (pin.reason, slot.pin.replace(pin));
        if before.is_none_or(|before| before.reason != reason) {
            self.books.pins.entry(reason).or_default().begun += 1;
        }
        self.exempt_pinned(now);
        self.plan(now);
    }

    /// Whether somebody waits who could use a server whose pin [yields](Pin::yields).
    pub fn is_asked_back(&self, held: &Held<S>) -> bool {
        self.slots[held.id().slot as usize].asked_back.is_some()
    }

    pub fn unpin(&mut self, now: Instant, held: &Held<S>) {
        self.pin_ends(now, held.id());
        self.enter(now, held.id(), State::Active);
        let slot = self.slot(held.id());
        slot.book.set_pinned(false);
        slot.pin = None;
        slot.asked_back = None;
        if std::mem::take(&mut slot.exempt) {
            self.count_again(1);
            self.exempt_pinned(now);
        }
    }

    /// So many exempt servers count against `size` again, or are gone.
    pub(super) fn count_again(&mut self, servers: u32) {
        for _ in 0..servers {
            self.exempt -= 1;
            if self.seat.count_again() {
                self.orders.push_back(Order::Share);
            }
        }
    }

    /// Wakes clients who keep a server that they can do without, one for each who waits without a prospect: whether
    /// the pool is full, or the ceilings are, or connecting doesn't work. Called whenever one of these may have changed.
    pub(super) fn ask_back(&mut self, now: Instant) {
        if self.accounts.count(State::Pinned) == 0 {
            return;
        }
        let full = self.hungry || !self.has_room(now);
        let mut closing = self.accounts.count(State::Closing);
        let Self { queue, health, connecting, slots, wakes, .. } = self;
        for (profile, waiting) in queue.lines() {
            let coming = connecting.iter().filter(|connecting| **connecting == profile).count() as u32;
            let mut lacking = waiting.saturating_sub(coming);
            let may_open = health.is_well() && !health.bars(now, profile, connecting);
            if may_open && !full {
                continue;
            }
            if may_open {
                let covered = closing.min(lacking);
                (closing, lacking) = (closing - covered, lacking - covered);
            }
            let of_profile = |slot: &Slot<W>| slot.profile == profile;
            let asked = Asked { behalf: AskedFor::Line(profile), at: now };
            ask(slots, wakes, asked, lacking, of_profile);
            // One of another profile makes room, which is of use only if then one of this can be opened.
            ask(slots, wakes, asked, lacking, |_| may_open);
        }
        ask(slots, wakes, Asked { behalf: AskedFor::Neighbour, at: now }, self.seat.owes(), |_| true);
    }

    /// When a client that was asked turns out to be at work.
    pub(super) fn patience_ends(&self, now: Instant) -> Option<Instant> {
        if self.accounts.count(State::Pinned) == 0 {
            return None;
        }
        let asked = self.slots.iter().filter_map(|(_, slot)| slot.asked_back);
        asked.map(|asked| asked.at + PATIENCE).filter(|at| *at > now).min()
    }

    /// Lets as many pinned servers as allowed not count against `size`.
    pub(super) fn exempt_pinned(&mut self, now: Instant) {
        for (_, slot) in self.slots.iter_mut().filter(|(_, slot)| !slot.exempt) {
            let Some(pin) = &slot.pin else { continue };
            let limit = if pin.is_replaced { u32::MAX } else { FEW };
            if self.exempt < self.settings.pinned_servers.min(limit) && self.seat.exempt() {
                slot.exempt = true;
                self.exempt += 1;
            }
        }
        self.recount(now);
    }

    /// Why lent servers are pinned, each by one reason.
    pub fn pins(&self) -> impl Iterator<Item = &'static str> {
        self.slots.iter().filter_map(|(_, slot)| slot.pin.as_ref().map(|pin| pin.reason))
    }
}

/// Asks for servers that fit until `wanted` are asked for on this behalf.
fn ask<W: Clone>(
    slots: &mut Slab<Slot<W>>,
    wakes: &mut VecDeque<W>,
    asked: Asked,
    wanted: u32,
    fits: impl Fn(&Slot<W>) -> bool,
) {
    let pinned = |slot: &Slot<W>| slot.state == State::Pinned;
    let answers_soon = |before: Asked| before.behalf == asked.behalf && asked.at < before.at + PATIENCE;
    let coming = slots.iter().filter(|(_, slot)| pinned(slot) && slot.asked_back.is_some_and(answers_soon));
    let coming = coming.count();
    let keepers = slots.iter_mut().filter(|(_, slot)| pinned(slot)).filter_map(|(_, slot)| {
        let waker = slot.pin.as_ref()?.yields.clone()?;
        (slot.asked_back.is_none() && fits(slot)).then_some((slot, waker))
    });
    for (slot, waker) in keepers.take((wanted as usize).saturating_sub(coming)) {
        slot.asked_back = Some(asked);
        wakes.push_back(waker);
    }
}
