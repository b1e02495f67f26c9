//! Servers that are pinned to a client: how they count, why, and which are asked back.

use std::time::Instant;

use super::{Core, Held, Pin};
use crate::pool::accounts::State;
use crate::pool::key::ProfileId;

/// Exempt servers up to which a pin needs no reason to be replaced.
const FEW: u32 = 4;

impl<S, W: Clone> Core<S, W> {
    /// Its session holds something of its client's. While there are no more than `pinned_servers` of these, the
    /// pool may have another server instead. A further pin takes the place of the one before.
    pub fn pin(&mut self, now: Instant, held: &Held<S>, pin: Pin<W>) {
        self.enter(now, held.id(), State::Pinned);
        let before = self.slot(held.id()).pin.as_ref().map(|pin| pin.reason);
        if before != Some(pin.reason) {
            *self.pins.entry(pin.reason).or_default() += 1;
        }
        self.slot(held.id()).pin = Some(pin);
        self.exempt_pinned(now);
        self.plan(now);
    }

    /// Whether somebody waits who could use a server whose pin [yields](Pin::yields).
    pub fn is_asked_back(&self, held: &Held<S>) -> bool {
        self.slots[held.id().slot as usize].asked_back
    }

    pub fn unpin(&mut self, now: Instant, held: &Held<S>) {
        self.enter(now, held.id(), State::Active);
        let slot = self.slot(held.id());
        slot.pin = None;
        slot.asked_back = false;
        if std::mem::take(&mut slot.exempt) {
            self.exempt -= 1;
            self.exempt_pinned(now);
        }
    }

    /// Wakes clients who keep a server that they can do without, as many as others wait without a prospect.
    pub(super) fn ask_back(&mut self, profile: ProfileId) {
        let line = self.queue.lines().find(|(line, _)| *line == profile);
        let waiting = line.map_or(0, |(_, waiting)| waiting);
        let Self { slots, wakes, .. } = self;
        let asked = slots.iter().filter(|(_, slot)| slot.asked_back).count();
        let wanted = (waiting as usize).saturating_sub(asked);
        let yielding = slots.iter_mut().filter_map(|(_, slot)| {
            let waker = slot.pin.as_ref()?.yields.clone()?;
            (!std::mem::replace(&mut slot.asked_back, true)).then_some(waker)
        });
        wakes.extend(yielding.take(wanted));
    }

    /// Lets as many pinned servers as allowed not count against `size`.
    pub(super) fn exempt_pinned(&mut self, now: Instant) {
        for (_, slot) in self.slots.iter_mut().filter(|(_, slot)| !slot.exempt) {
            let Some(pin) = &slot.pin else { continue };
            let limit = if pin.is_replaced { u32::MAX } else { FEW };
            if self.exempt < self.settings.pinned_servers.min(limit) {
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

    /// How many are pinned now, by reason.
    pub(super) fn pins_by_reason(&self) -> Vec<(&'static str, u64)> {
        // Reasons that are over are shown as 0.
        let mut counts: Vec<_> = self.pins.keys().map(|reason| (*reason, 0)).collect();
        for pinned in self.pins() {
            if let Some((_, count)) = counts.iter_mut().find(|(reason, _)| *reason == pinned) {
                *count += 1;
            }
        }
        counts
    }
}
