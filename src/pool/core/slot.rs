//! What the pool keeps of each backend that may exist. Its server itself may be in a client's hand.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::books::Loan;
use super::{Asked, Pin};
use crate::pool::accounts::State;
use crate::pool::applications::ApplicationId;
use crate::pool::key::ProfileId;
use crate::pool::stopwatch::Book;

#[derive(Debug)]
pub(super) struct Slot<W> {
    pub(super) serial: NonZeroU32,
    pub(super) profile: ProfileId,
    pub(super) state: State,
    pub(super) pin: Option<Pin<W>>,
    /// Its client was asked to give it back. Only while its pin yields.
    pub(super) asked_back: Option<Asked>,
    pub(super) exempt: bool,
    pub(super) yielded: bool,
    /// The process id of its backend.
    pub(super) pid: i32,
    /// Since when it is in its state.
    pub(super) since: Instant,
    pub(super) loan: Option<Loan>,
    /// Who had it last.
    pub(super) borrower: ApplicationId,
    pub(super) book: Arc<Book>,
    pub(super) opened: Instant,
    /// When it has become too old.
    pub(super) expires: Option<Instant>,
    /// How long it may rest.
    pub(super) idle_for: Option<Duration>,
}

impl<W> Slot<W> {
    pub(super) fn opening(now: Instant, serial: NonZeroU32, profile: ProfileId) -> Self {
        Self {
            serial,
            profile,
            state: State::Connecting,
            pin: None,
            asked_back: None,
            exempt: false,
            yielded: false,
            pid: 0,
            since: now,
            loan: None,
            borrower: ApplicationId::default(),
            book: Arc::new(Book::new(now)),
            opened: now,
            expires: None,
            idle_for: None,
        }
    }

    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Since when its transaction has waited for its client, if it isn't pinned.
    pub(super) fn pausing_since(&self) -> Option<Instant> {
        self.book.pausing_since().filter(|_| self.state == State::Active)
    }
}
