//! What the last attempts to connect have taught us: may we try again now, and what do waiters hear?
//!
//! Depends on `lifetime` for the pauses. Invariants: while PostgreSQL is away or full one attempt runs at a time,
//! after a pause; a rejected profile is tried at most once per [`REJECTION_STANDS`], or [`NOT_PROVEN_STANDS`] as long as
//! nobody logs in who could change it; success clears everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::core::Refusal;
use super::key::ProfileId;
use super::lifetime::{Dice, LONGEST_PAUSE_WAITED_FOR};
use crate::wire::sqlstate::SqlState;

/// Why a server could not be opened. Its backend doesn't exist any more when this is said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct OpenError {
    pub kind: OpenErrorKind,
    /// PostgreSQL's, if it said a word.
    pub sqlstate: Option<SqlState>,
    /// For the log, and for the clients of this pool.
    pub text: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// No answer, refused, starting up, shutting down: waiting helps.
    Unreachable,
    /// 53300: PostgreSQL has no more connections to give; those that we have go on.
    TooMany,
    /// Waiting doesn't help: 28P01, 28000, 3D000, 42501, a startup parameter that is wrong.
    Rejected(SqlState),
    /// We have nothing to log in with before a client of this user has logged in again.
    NotProven,
}

/// How long a rejection is repeated to clients before one of them may cause another try.
pub const REJECTION_STANDS: Duration = Duration::from_secs(1);
/// The same for a rejection that a client's login ends ([`Health::forgive`]).
pub const NOT_PROVEN_STANDS: Duration = Duration::from_secs(30);
/// Rejections remembered.
const REJECTIONS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Option<Trouble>,
    rejections: Vec<Rejection>,
}

#[derive(Debug)]
struct Trouble {
    text: Arc<str>,
    /// PostgreSQL is full: the number of servers that we got.
    got: Option<u32>,
    /// Failures in a row.
    tries: u32,
    failed_at: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Rejection {
    profile: ProfileId,
    sqlstate: SqlState,
    message: Arc<str>,
    until: Instant,
}

impl Health {
    /// Whether one more connect may begin beside the `under_way` ones; `waited_for`: clients wait.
    pub(super) fn may_connect(
        &self,
        now: Instant,
        under_way: usize,
        parallel: u32,
        waited_for: bool,
    ) -> bool {
        match &self.trouble {
            None => under_way < parallel.max(1) as usize,
            Some(trouble) => under_way == 0 && trouble.retry_at(waited_for) <= now,
        }
    }

    /// Whether this profile must not be tried now.
    pub(super) fn bars(&self, now: Instant, profile: ProfileId, connecting: &[ProfileId]) -> bool {
        self.rejections
            .iter()
            .any(|r| r.profile == profile && (now < r.until || connecting.contains(&profile)))
    }

    /// What to tell a client whose profile is barred.
    pub(super) fn rejection(&self, now: Instant, profile: ProfileId) -> Option<Refusal> {
        let r = self.rejections.iter().find(|r| r.profile == profile && now < r.until)?;
        Some(Refusal::Rejected { sqlstate: r.sqlstate, message: Arc::clone(&r.message) })
    }

    /// What is wrong, and whether it is that PostgreSQL is full.
    pub(super) fn trouble(&self) -> Option<(Arc<str>, bool)> {
        self.trouble.as_ref().map(|trouble| (Arc::clone(&trouble.text), trouble.got.is_some()))
    }

    pub(super) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    pub(super) fn connected(&mut self, profile: ProfileId) {
        self.trouble = None;
        self.rejections.retain(|r| r.profile != profile);
    }

    /// `live`: servers that the pool has.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        profile: ProfileId,
        error: &OpenError,
        live: u32,
        dice: &mut Dice,
    ) {
        let text: Arc<str> = error.text.as_str().into();
        let got = match error.kind {
            OpenErrorKind::Unreachable => None,
            OpenErrorKind::TooMany => Some(live.max(1)),
            OpenErrorKind::Rejected(sqlstate) => {
                let until = now + REJECTION_STANDS;
                return self.rejected(Rejection { profile, sqlstate, message: text, until });
            }
            OpenErrorKind::NotProven => {
                let (sqlstate, until) = (SqlState::INVALID_PASSWORD, now + NOT_PROVEN_STANDS);
                return self.rejected(Rejection { profile, sqlstate, message: text, until });
            }
        };
        // Attempts that began together fail together: they are one failure.
        let (tries, failed_at, pause) = match &self.trouble {
            Some(old) if now < old.failed_at + old.pause.min(LONGEST_PAUSE_WAITED_FOR) => {
                (old.tries, old.failed_at, old.pause)
            }
            old => {
                let tries = old.as_ref().map_or(0, |old| old.tries) + 1;
                (tries, now, dice.back_off(tries))
            }
        };
        self.trouble = Some(Trouble { text, got, tries, failed_at, pause });
    }

    fn rejected(&mut self, rejection: Rejection) {
        // An answer, so PostgreSQL is there.
        self.trouble = None;
        self.rejections.retain(|r| r.profile != rejection.profile);
        if self.rejections.len() == REJECTIONS {
            self.rejections.remove(0);
        }
        self.rejections.push(rejection);
    }

    /// The pool's user has something new to log in with.
    pub(super) fn forgive(&mut self) {
        self.rejections.clear();
    }

    /// The next moment at which [`Self::may_connect`] or [`Self::bars`] may change their answer.
    pub(super) fn retry_at(&self, now: Instant, under_way: usize, waited_for: bool) -> Option<Instant> {
        // While an attempt is under way its end is what counts, not the time.
        let trouble = self.trouble.as_ref().filter(|_| under_way == 0).map(|t| t.retry_at(waited_for));
        self.rejections.iter().map(|r| r.until).chain(trouble).filter(|at| *at > now).min()
    }

    /// PostgreSQL doesn't let us have more servers than these.
    pub(super) fn got(&self) -> Option<u32> {
        self.trouble.as_ref()?.got
    }

    /// Why nothing could be opened; `None` if PostgreSQL is well, or full while `live` servers work.
    pub(super) fn unreachable(&self, live: u32) -> Option<Refusal> {
        let trouble = self.trouble.as_ref().filter(|t| t.got.is_none() || live == 0)?;
        Some(Refusal::Unreachable { why: Arc::clone(&trouble.text) })
    }
}

impl Trouble {
    fn retry_at(&self, waited_for: bool) -> Instant {
        self.failed_at + if waited_for { self.pause.min(LONGEST_PAUSE_WAITED_FOR) } else { self.pause }
    }
}
