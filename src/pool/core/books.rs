//! The pool's books: who has a server since when, how long pins last, and what all this looks like from outside.
//!
//! Depends on `accounts`, `applications`, `stopwatch`. Invariant: a loan that begins in [`Core::lend_to`] ends once in
//! [`Core::loan_ends`], whatever becomes of its server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::slot::Slot;
use super::{Core, Held};
use crate::pool::accounts::State;
use crate::pool::applications::{ApplicationId, Applications};
use crate::pool::codes::Codes;
use crate::pool::health::OpenError;
use crate::pool::key::{Moment, ServerId};
use crate::pool::snapshot::{OwnTimes, PinSnapshot, PoolSnapshot, ServerSnapshot, Trouble};
use crate::pool::stopwatch::Times;
use crate::wire::sqlstate::SqlState;

/// What is only ever shown.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Pins that ever were, by reason.
    pub(super) pins: BTreeMap<&'static str, PinBook>,
    pub(super) applications: Applications,
    told: Told,
    own: OwnTimes,
    /// The times of servers that are gone.
    pub(super) retired: Times,
    /// The most pause time that was ever shown.
    paused: Duration,
}

/// A server in a client's hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loan {
    since: Instant,
    pub(super) application: ApplicationId,
}

/// The end of a loan.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    pub at: Moment,
    /// How long the transaction took that it ended, if one was under way.
    pub transaction: Option<Duration>,
}

/// Why pgweir asks a server something itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make its session as its client left the last one.
    Replay,
    /// To learn what the session has become.
    Probe,
    /// To take away what the next client must not have.
    Reset,
}

/// One reason to pin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PinBook {
    pub(super) begun: u64,
    held: Duration,
}

/// What went wrong, by SQLSTATE.
#[derive(Debug, Default)]
struct Told {
    failures: Codes,
    errors: Codes,
    server_errors: Codes,
}

// -- clients

impl<S, W: Clone> Core<S, W> {
    /// A client of an application has logged in.
    pub fn join(&mut self, application: &str) -> ApplicationId {
        self.books.applications.join(application)
    }

    pub fn leave(&mut self, application: ApplicationId) {
        self.books.applications.leave(application);
    }

    /// A client has set another `application_name`.
    pub fn rename(&mut self, application: ApplicationId, name: &str) -> ApplicationId {
        self.books.applications.rename(application, name)
    }
}

// -- loans, pins, failures

impl<S, W: Clone> Core<S, W> {
    pub(super) fn lend_to(&mut self, now: Instant, server: ServerId, application: ApplicationId) {
        self.books.applications.lent(application);
        let slot = self.slot(server);
        (slot.loan, slot.borrower) = (Some(Loan { since: now, application }), application);
    }

    pub(super) fn loan_ends(&mut self, now: Instant, server: ServerId) {
        if let Some(loan) = self.slot(server).loan.take() {
            self.books.applications.returned(loan.application, now.saturating_duration_since(loan.since));
        }
    }

    pub(super) fn worked(&mut self, held: &Held<S>, transactions: u64) {
        if let Some(loan) = self.slots[held.id().slot as usize].loan {
            self.books.applications.worked(loan.application, transactions);
        }
    }

    /// The time of a pin is booked: it is over, or gives way to another one.
    pub(super) fn pin_ends(&mut self, now: Instant, server: ServerId) {
        let slot = self.slot(server);
        if let (State::Pinned, Some(pin)) = (slot.state, &slot.pin) {
            let (reason, held) = (pin.reason, now.saturating_duration_since(slot.since));
            self.books.pins.entry(reason).or_default().held += held;
        }
    }

    pub(super) fn note_failure(&mut self, error: &OpenError) {
        self.books.told.failures.add(error.sqlstate.as_ref().map_or("none", |code| code.as_str()));
    }

    /// A client heard this from pgweir.
    pub fn note_error(&mut self, code: SqlState) {
        self.books.told.errors.add(code.as_str());
    }

    /// A client heard this from PostgreSQL.
    pub fn note_server_error(&mut self, code: SqlState) {
        self.books.told.server_errors.add(code.as_str().get(..2).unwrap_or("other"));
    }

    /// pgweir asked something of its own.
    pub fn asked_for(&mut self, purpose: Purpose, took: Duration) {
        let own = &mut self.books.own;
        let spread = match purpose {
            Purpose::Replay => &mut own.replay,
            Purpose::Probe => &mut own.probe,
            Purpose::Reset => &mut own.reset,
        };
        spread.record(took);
    }

    /// The process id of a server's backend, for those who look from outside.
    pub fn identify(&mut self, server: ServerId, pid: i32) {
        self.slot(server).pid = pid;
    }
}

// -- as seen from outside

impl<S, W: Clone> Core<S, W> {
    /// The accounts as of now. Database, user and clients are the caller's to fill in.
    pub fn snapshot(&mut self, now: Instant) -> PoolSnapshot {
        let mut times = self.books.retired;
        self.slots.iter().for_each(|(_, slot)| times.add(&slot.book, now));
        // A reading between two of a pause's notes must not make a counter fall.
        self.books.paused = self.books.paused.max(times.paused);
        times.paused = self.books.paused;
        let loans = self.slots.iter().filter_map(|(_, slot)| slot.loan.map(|l| (l.application, l.since)));
        PoolSnapshot {
            mode: self.settings.mode,
            size: self.target(),
            configured_size: self.settings.size,
            reserve_size: self.settings.reserve_size,
            min_size: self.settings.min_size,
            queue_limit: self.settings.queue_limit,
            queue_timeout: self.settings.queue_timeout,
            pinned_limit: self.settings.pinned_servers,
            servers_pausing: self.slots.iter().filter(|(_, slot)| slot.pausing_since().is_some()).count()
                as u32,
            servers_exempt: self.exempt,
            trouble: self.trouble(),
            pins: self.pins_by_reason(now),
            applications: self.books.applications.snapshot(now, loans),
            times,
            own: self.books.own,
            connect_failures: self.books.told.failures.read(),
            errors: self.books.told.errors.read(),
            server_errors: self.books.told.server_errors.read(),
            oldest_wait: self
                .queue
                .oldest_since()
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            ..self.accounts.snapshot(now)
        }
    }

    /// For the one who looks regularly: the peaks begin anew.
    pub fn forget_peaks(&mut self) {
        self.accounts.forget_peak();
    }

    /// All servers, each as it is now.
    pub fn servers(&self, now: Instant) -> Vec<ServerSnapshot> {
        let show = |slot: &Slot<W>| {
            let pausing = slot.pausing_since();
            ServerSnapshot {
                pid: slot.pid,
                state: if pausing.is_some() { "idle_in_transaction" } else { slot.state.as_str() },
                for_time: now.saturating_duration_since(pausing.unwrap_or(slot.since)),
                age: now.saturating_duration_since(slot.opened),
                pin: slot.pin.as_ref().map(|pin| pin.reason),
                application: slot.loan.map(|loan| self.books.applications.name(loan.application)),
            }
        };
        self.slots.iter().map(|(_, slot)| show(slot)).collect()
    }

    fn trouble(&self) -> Option<Trouble> {
        let health = self.health.trouble().map(|(text, full)| match full {
            true => Trouble::Full,
            false => Trouble::Unreachable(text),
        });
        health.or_else(|| self.hungry.then_some(Trouble::Ceiling))
    }

    fn pins_by_reason(&self, now: Instant) -> Vec<PinSnapshot> {
        // Reasons that are over are shown as 0.
        let books = self.books.pins.iter();
        let mut pins: Vec<_> = books
            .map(|(reason, book)| PinSnapshot { reason, now: 0, begun: book.begun, held: book.held })
            .collect();
        for (_, slot) in &self.slots {
            let Some(pin) = &slot.pin else { continue };
            if let Some(shown) = pins.iter_mut().find(|shown| shown.reason == pin.reason) {
                shown.now += 1;
                if slot.state == State::Pinned {
                    shown.held += now.saturating_duration_since(slot.since);
                }
            }
        }
        pins
    }
}
