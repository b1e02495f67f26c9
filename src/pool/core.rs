//! The pool: lends servers, keeps the queue, decides what to open and to close.
//!
//! Depends on the rest of `pool/`. It does nothing itself: what is to be done stands in [`Core::next_order`], who is
//! to be woken in [`Core::next_wake`]; the shell asks for both after each call, and calls [`Core::expire`] at
//! [`Core::next_deadline`].
//!
//! ```text
//!            Open                  opened                    give_back
//!  (permit) ──────▶ Connecting ───────────▶ Active ◀───────────────────────▶ Idle
//!                       │ failed           ▲  │ │          checkout           │
//!                       ▼            unpin │  │ │ end                         │ too old, too many, drained
//!                     (gone)               │  ▼ ▼                             ▼
//!                                       Pinned ─────────▶ Closing ◀───────────┘
//!                                                            │ gone: its backend has really ended
//!                                                            ▼
//!                                                          (room for another)
//! ```
//! Invariants:
//! - backends, those of `Closing` servers included, never exceed `size + reserve_size + pinned_servers`, nor the
//!   [ceilings](super::limits) over all pools;
//! - no server rests while a client of its profile waits;
//! - a client is passed by at most [`Core::bypass_limit`] times before a server is made for it (a client of
//!   another profile can take a server that it can't use);
//! - every ticket is answered by its deadline.

mod answer;
mod books;
mod pins;
mod slot;
mod supply;
mod time;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use slab::Slab;

use self::books::Books;
use self::slot::Slot;
use super::accounts::{Accounts, Capacity, State};
use super::health::Health;
use super::idle::IdleServers;
use super::key::{Moment, ProfileId, ServerId, Wish};
use super::lifetime::Dice;
use super::limits::{Seat, Spare};
use super::queue::{Cancelled, Collected, Left, Queue};
use super::settings::PoolSettings;
use crate::meter::work::Work;

pub use self::books::{Purpose, Returned};
pub use super::queue::Ticket;
pub use answer::{Checkout, Ended, Held, Order, Permit, Pin, Refusal};

/// One pool of servers `S`, whose waiting clients are woken by `W`.
#[derive(Debug)]
pub struct Core<S, W> {
    epoch: Instant,
    settings: PoolSettings,
    seat: Seat,
    health: Health,
    accounts: Accounts,
    phase: Phase,
    slots: Slab<Slot<W>>,
    /// Drawn by the next server.
    serial: NonZeroU32,
    /// Profiles of the servers being opened.
    connecting: Vec<ProfileId>,
    idle: IdleServers<S>,
    queue: Queue<Held<S>, W>,
    /// Pinned servers that don't count against `size`.
    exempt: u32,
    books: Books,
    /// The server that is being closed for its age: one at a time.
    retiring: Option<ServerId>,
    /// A place under the ceilings was asked for and not given.
    hungry: bool,
    /// What a client asked for last: the profile of servers opened ahead.
    habit: Option<ProfileId>,
    dice: Dice,
    orders: VecDeque<Order<S>>,
    wakes: VecDeque<W>,
    /// When the shell will call [`Self::expire`] next.
    armed: Option<Instant>,
    /// That is too late.
    stir: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nobody new; the queue is served until then.
    Draining(Instant),
    /// Nobody.
    Shut,
}

/// A client was asked for its server.
#[derive(Clone, Copy, Debug)]
struct Asked {
    behalf: AskedFor,
    at: Instant,
}

/// Who lacks a server that a client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedFor {
    /// A client of this profile.
    Line(ProfileId),
    /// Another pool, under the same ceilings.
    Neighbour,
}

/// What happens to a clean server.
enum Next {
    Serve,
    Rest,
    End(Ended),
}

/// Idle servers are looked at this often.
pub const IDLE_WATCH: Duration = Duration::from_secs(1);
/// See [`Core::bypass_limit`].
const LEAST_BYPASS_LIMIT: u64 = 8;
/// A client that was asked for its server and hasn't given it by then is at work: another one is asked, too.
const PATIENCE: Duration = Duration::from_millis(20);
/// A server works this long before it is closed for a pool that has none.
const TENURE: Duration = Duration::from_secs(1);

impl<S, W: Clone> Core<S, W> {
    /// `seed`: for jitter.
    pub fn new(now: Instant, settings: PoolSettings, seat: Seat, seed: u64) -> Self {
        Self {
            epoch: now,
            accounts: Accounts::new(now, settings.size),
            settings,
            seat,
            health: Health::default(),
            phase: Phase::Open,
            slots: Slab::new(),
            serial: NonZeroU32::MIN,
            connecting: Vec::new(),
            idle: IdleServers::new(),
            queue: Queue::new(),
            exempt: 0,
            books: Books::default(),
            retiring: None,
            hungry: false,
            habit: None,
            dice: Dice::seeded(seed),
            orders: VecDeque::new(),
            wakes: VecDeque::new(),
            armed: None,
            stir: false,
        }
    }

    /// Lends the server that fits best, or queues. `waker` is kept only in the queue.
    pub fn checkout(&mut self, now: Instant, wish: &Wish, waker: &W) -> Checkout<S> {
        if self.phase != Phase::Open {
            return Checkout::Refused(Refusal::Draining);
        }
        self.habit = Some(wish.profile);
        let rested = wish.rested.map(|since| since.elapsed(self.epoch, now));
        self.accounts.asked(now, rested);
        let Some(mut held) = self.idle.take(wish) else { return self.enqueue(now, wish, waker) };
        self.enter(now, held.id(), State::Active);
        held.stopwatch.lent(now);
        self.lend_to(now, held.id(), wish.application);
        self.accounts.events.checkouts += 1;
        self.queue.bypassed();
        Checkout::Lent(held)
    }

    fn enqueue(&mut self, now: Instant, wish: &Wish, waker: &W) -> Checkout<S> {
        let Wish { profile, application, .. } = *wish;
        if let Some(refusal) = self.health.rejection(now, profile)
            && !self.serves(profile)
        {
            return Checkout::Refused(refusal);
        }
        // Those who wait only for a server to be opened don't make the queue long.
        let lent = self.accounts.count(State::Active) + self.accounts.count(State::Pinned);
        let coming = self.settings.size.saturating_sub(lent.saturating_sub(self.exempt));
        let limit = self.settings.queue_limit;
        if self.queue.len() >= limit.saturating_add(coming) {
            self.accounts.events.queue_refusals += 1;
            return Checkout::Refused(Refusal::QueueFull { size: self.settings.size, limit });
        }
        let ticket = self.queue.push(now, profile, application, waker.clone());
        self.accounts.wait_begins(now);
        self.plan(now);
        Checkout::Queued(ticket)
    }

    /// What has become of a ticket. Still queued: `waker` replaces the one given before.
    pub fn collect(&mut self, ticket: Ticket, waker: &W) -> Checkout<S> {
        match self.queue.collect(ticket, waker) {
            Collected::Granted(held) => Checkout::Lent(held),
            Collected::Refused(why) => Checkout::Refused(why),
            Collected::Waiting(ticket) => Checkout::Queued(ticket),
        }
    }

    /// The client doesn't want it any more. A server that was granted meanwhile goes to the next in line.
    pub fn cancel(&mut self, now: Instant, ticket: Ticket) {
        match self.queue.cancel(ticket) {
            Cancelled::Waited(left) => self.wait_ends(now, &left),
            Cancelled::Held(held) => self.place(now, held),
            Cancelled::Refused => {}
        }
    }

    /// Takes back a server that is clean.
    pub fn give_back(&mut self, now: Instant, mut held: Held<S>, tally: Work) -> Returned {
        self.tally(&held, tally);
        let transaction = match tally.transactions {
            0 => {
                held.stopwatch.dropped(now);
                None
            }
            _ => held.stopwatch.ended(now),
        };
        self.loan_ends(now, held.id());
        if self.slot(held.id()).state == State::Pinned {
            self.unpin(now, &held);
        }
        self.place(now, held);
        Returned { at: Moment::of(self.epoch, now), transaction }
    }

    /// Books what was done with a server that stays lent.
    pub fn tally(&mut self, held: &Held<S>, tally: Work) {
        self.accounts.add(&tally);
        self.worked(held, tally.transactions);
    }

    /// A lent server is not coming back: it is the caller's to close, and then [`Self::gone`].
    pub fn end(&mut self, now: Instant, mut held: Held<S>) -> (S, Permit) {
        held.stopwatch.dropped(now);
        self.loan_ends(now, held.id());
        self.pin_ends(now, held.id());
        self.enter(now, held.id(), State::Closing);
        (held.server, held.permit)
    }

    /// The next one to be woken; to be asked for after each call.
    pub fn next_wake(&mut self) -> Option<W> {
        self.wakes.pop_front()
    }

    /// The next thing to be done.
    pub fn next_order(&mut self) -> Option<Order<S>> {
        self.orders.pop_front()
    }

    /// Whether there is something to be done, someone to be woken, or an earlier deadline than was known.
    pub fn wants_attention(&self) -> bool {
        self.stir || !self.orders.is_empty() || !self.wakes.is_empty()
    }

    /// How many clients of other profiles may be served before the first in line, if that one needs a server of
    /// its own: then a server is closed for it. Few would mean a login for nearly each transaction.
    pub fn bypass_limit(&self) -> u64 {
        LEAST_BYPASS_LIMIT.max(self.settings.size.into())
    }

    /// A clean server in nobody's hand: to the next in line, to rest, or to its end.
    fn place(&mut self, now: Instant, mut held: Held<S>) {
        // One that was granted and not collected.
        self.loan_ends(now, held.id());
        match self.next(now, &held) {
            Next::Rest => {
                self.enter(now, held.id(), State::Idle);
                self.idle.push(now, held);
                self.arm_by(now + IDLE_WATCH);
                if self.queue.len() > 0 {
                    self.plan(now);
                }
            }
            Next::Serve => {
                let (profile, id) = (held.profile, held.id());
                held.stopwatch.lent(now);
                let left = self.queue.grant(profile, held).ok().expect("`next` saw a client in this line");
                self.accounts.events.checkouts += 1;
                self.lend_to(now, id, left.application);
                self.dismiss(now, left);
            }
            Next::End(why) => self.close(now, held, why),
        }
    }

    fn next(&mut self, now: Instant, held: &Held<S>) -> Next {
        let slot = &self.slots[held.id().slot as usize];
        let (old, tenured) = (slot.is_old(now), slot.opened + TENURE <= now);
        let wanted = self.queue.len() > 0 && self.queue.waits(held.profile);
        let size = if wanted { self.settings.size + self.settings.reserve_size } else { self.settings.size };
        if self.ordinary() > size {
            return Next::End(Ended::Excess);
        }
        if old && self.may_retire() {
            self.retiring = Some(held.id());
            return Next::End(Ended::Age);
        }
        if !wanted && self.phase != Phase::Open {
            return Next::End(Ended::Drained);
        }
        let spare = match (wanted, tenured) {
            (false, _) => Spare::Idle,
            (true, false) => Spare::WantedNew,
            (true, true) => Spare::Wanted,
        };
        if self.seat.should_yield(spare) {
            self.slot(held.id()).yielded = true;
            return Next::End(Ended::Yielded);
        }
        match wanted {
            false => Next::Rest,
            true if self.owes_room(now, held.profile) => Next::End(Ended::Room),
            true => Next::Serve,
        }
    }

    /// The first in line can't use this profile's servers, was passed by often enough, and nothing is on its way.
    fn owes_room(&self, now: Instant, profile: ProfileId) -> bool {
        let first = self.queue.first_line(|_, _| true);
        first.is_some_and(|first| {
            first != profile
                && self.queue.bypasses(first) >= self.bypass_limit()
                && self.accounts.count(State::Closing) == 0
                && !self.connecting.contains(&first)
                && self.may_connect(now)
                && !self.health.bars(now, first, &self.connecting)
        })
    }

    /// Someone has left the queue for good.
    fn dismiss(&mut self, now: Instant, left: Left<W>) {
        self.wait_ends(now, &left);
        self.wakes.push_back(left.waker);
    }

    fn wait_ends(&mut self, now: Instant, left: &Left<W>) {
        self.accounts.wait_ends(now, left.since);
        self.books.applications.waited(left.application, now.saturating_duration_since(left.since));
        // Another one is the oldest now, perhaps, and the reserve opens by the oldest's wait.
        if let Some(at) = self.reserve_at().filter(|at| *at > now) {
            self.arm_by(at);
        }
        // Nobody is in a hurry any more, and no neighbour need go without for us.
        if self.queue.len() == 0 && (self.hungry || !self.health.is_well()) {
            self.plan(now);
        }
    }

    /// The one door for a state change of an existing server.
    fn enter(&mut self, now: Instant, server: ServerId, state: State) {
        let slot = self.slot(server);
        slot.since = now;
        let from = std::mem::replace(&mut slot.state, state);
        self.accounts.transition(now, Some(from), Some(state));
    }

    fn slot(&mut self, server: ServerId) -> &mut Slot<W> {
        let slot = &mut self.slots[server.slot as usize];
        debug_assert_eq!(slot.serial, server.serial, "a permit outlived its backend");
        slot
    }

    /// Backends that count against `size`.
    fn ordinary(&self) -> u32 {
        self.accounts.backends() - self.exempt
    }

    /// Whether a server of this profile may come back for those who wait. An idle one is none that they could use.
    fn serves(&self, profile: ProfileId) -> bool {
        let serves = |slot: &Slot<W>| slot.profile == profile && slot.state == State::Active;
        self.slots.iter().any(|(_, slot)| serves(slot))
    }

    fn arm_by(&mut self, at: Instant) {
        self.stir |= self.armed.is_none_or(|armed| at < armed);
    }
}
