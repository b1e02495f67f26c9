//! Clients that wait for a server: first come, first served. Depends on `key` and `applications`.
//!
//! Each profile has a line of its own, since a server can only serve its profile; numbers drawn on arrival say
//! who is first over all lines. A ticket is good for one entry only, whatever has become of its place since.
//!
//! ```text
//! lines   profile 0: 12 ⇄ 15 ⇄ 16      profile 3: 13 ⇄ 14        front over all: 12
//! entries Waiting ──▶ Granted(server) | Refused(why) ──▶ collected by its ticket, or left
//! ```
//! Invariants: a line that exists isn't empty; only `Waiting` entries are linked; nothing is allocated once the
//! slab has grown to the longest queue so far. All costs are O(1), or O(lines) where lines must be compared.

use std::time::Instant;

use slab::Slab;

use super::applications::ApplicationId;
use super::core::Refusal;
use super::key::ProfileId;

/// A place in the queue. Whoever holds it collects or cancels it.
#[must_use = "a ticket that is forgotten keeps the server that it is given"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    entry: u32,
    number: u64,
}

#[derive(Debug)]
pub(super) struct Queue<G, W> {
    entries: Slab<Entry<G, W>>,
    lines: Vec<Line>,
    waiting: u32,
    drawn: u64,
    /// How often someone was served before an older one of another line.
    bypasses: u64,
}

#[derive(Debug)]
struct Entry<G, W> {
    number: u64,
    profile: ProfileId,
    application: ApplicationId,
    since: Instant,
    /// `Queue::bypasses` on arrival.
    bypasses: u64,
    stage: Stage<G, W>,
}

#[derive(Debug)]
enum Stage<G, W> {
    Waiting { older: Option<u32>, younger: Option<u32>, waker: W },
    Granted(G),
    Refused(Refusal),
}

#[derive(Debug)]
struct Line {
    profile: ProfileId,
    oldest: u32,
    /// The number that the oldest one drew.
    number: u64,
    youngest: u32,
    len: u32,
}

/// What became of a ticket.
pub(super) enum Collected<G> {
    Granted(G),
    Refused(Refusal),
    Waiting(Ticket),
}

/// Whoever stopped waiting: since when, whose client it is, and how to wake it.
pub(super) struct Left<W> {
    pub(super) since: Instant,
    pub(super) application: ApplicationId,
    pub(super) waker: W,
}

impl<G, W> Queue<G, W> {
    pub(super) fn new() -> Self {
        Self { entries: Slab::new(), lines: Vec::new(), waiting: 0, drawn: 0, bypasses: 0 }
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        profile: ProfileId,
        application: ApplicationId,
        waker: W,
    ) -> Ticket {
        let number = self.drawn;
        self.drawn += 1;
        self.waiting += 1;
        let older = self.line(profile).map(|line| self.lines[line].youngest);
        let stage = Stage::Waiting { older, younger: None, waker };
        let entry = Entry { number, profile, application, since: now, bypasses: self.bypasses, stage };
        let at = u32::try_from(self.entries.insert(entry)).expect("the queue's limit is a u32");
        match self.line(profile) {
            Some(line) => {
                let line = &mut self.lines[line];
                line.len += 1;
                let older = std::mem::replace(&mut line.youngest, at);
                self.set_younger(older, Some(at));
            }
            None => self.lines.push(Line { profile, oldest: at, number, youngest: at, len: 1 }),
        }
        Ticket { entry: at, number }
    }

    pub(super) fn len(&self) -> u32 {
        self.waiting
    }

    pub(super) fn waits(&self, profile: ProfileId) -> bool {
        self.line(profile).is_some()
    }

    /// Lines as (profile, clients waiting).
    pub(super) fn lines(&self) -> impl Iterator<Item = (ProfileId, u32)> {
        self.lines.iter().map(|line| (line.profile, line.len))
    }

    /// Of the lines that qualify the one whose first client came first.
    pub(super) fn first_line(&self, mut qualifies: impl FnMut(ProfileId, u32) -> bool) -> Option<ProfileId> {
        let lines = self.lines.iter().filter(|line| qualifies(line.profile, line.len));
        lines.min_by_key(|line| line.number).map(|line| line.profile)
    }

    /// Since when the first one waits.
    pub(super) fn oldest_since(&self) -> Option<Instant> {
        let oldest = self.lines.iter().min_by_key(|line| line.number)?;
        Some(self.entries[oldest.oldest as usize].since)
    }

    /// How often the first one of a line was passed by, at most.
    pub(super) fn bypasses(&self, profile: ProfileId) -> u64 {
        self.line(profile)
            .map_or(0, |line| self.bypasses - self.entries[self.lines[line].oldest as usize].bypasses)
    }

    /// Someone was served who never stood in the queue.
    pub(super) fn bypassed(&mut self) {
        self.bypasses += u64::from(self.waiting > 0);
    }

    /// Gives `server` to the first one of its line; the server comes back if nobody waits there.
    pub(super) fn grant(&mut self, profile: ProfileId, server: G) -> Result<Left<W>, G> {
        let Some(line) = self.line(profile) else { return Err(server) };
        let Line { oldest, number, .. } = self.lines[line];
        self.bypasses += u64::from(self.lines.iter().any(|other| other.number < number));
        Ok(self.leave(oldest, Stage::Granted(server)))
    }

    /// Sends the first one of a line away.
    pub(super) fn refuse(&mut self, profile: ProfileId, why: Refusal) -> Option<Left<W>> {
        let line = self.line(profile)?;
        Some(self.leave(self.lines[line].oldest, Stage::Refused(why)))
    }

    /// Takes what there is for a ticket; while there is nothing, `waker` is the one to be woken.
    pub(super) fn collect(&mut self, ticket: Ticket, waker: &W) -> Collected<G>
    where
        W: Clone,
    {
        let entry = self.entry(&ticket);
        if let Stage::Waiting { waker: known, .. } = &mut entry.stage {
            known.clone_from(waker);
            return Collected::Waiting(ticket);
        }
        match self.entries.remove(ticket.entry as usize).stage {
            Stage::Granted(server) => Collected::Granted(server),
            Stage::Refused(why) => Collected::Refused(why),
            Stage::Waiting { .. } => unreachable!("returned above"),
        }
    }

    /// Leaves. If there was a server already, it must go to someone else.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Cancelled<G, W> {
        if matches!(self.entry(&ticket).stage, Stage::Waiting { .. }) {
            let left = self.leave(ticket.entry, Stage::Refused(Refusal::Draining));
            self.entries.remove(ticket.entry as usize);
            return Cancelled::Waited(left);
        }
        match self.entries.remove(ticket.entry as usize).stage {
            Stage::Granted(server) => Cancelled::Held(server),
            _ => Cancelled::Refused,
        }
    }

    fn entry(&mut self, ticket: &Ticket) -> &mut Entry<G, W> {
        let entry = self.entries.get_mut(ticket.entry as usize).filter(|entry| entry.number == ticket.number);
        entry.expect("a ticket can't be copied, and its entry stays until it is collected or cancelled")
    }

    fn line(&self, profile: ProfileId) -> Option<usize> {
        self.lines.iter().position(|line| line.profile == profile)
    }

    /// Unlinks a waiting entry.
    fn leave(&mut self, at: u32, stage: Stage<G, W>) -> Left<W> {
        let entry = &mut self.entries[at as usize];
        let (profile, application, since) = (entry.profile, entry.application, entry.since);
        let Stage::Waiting { older, younger, waker } = std::mem::replace(&mut entry.stage, stage) else {
            unreachable!("only waiting entries are linked")
        };
        if let Some(older) = older {
            self.set_younger(older, younger);
        }
        if let Some(younger) = younger {
            self.set_older(younger, older);
        }
        self.shorten(profile, older, younger);
        self.waiting -= 1;
        Left { since, application, waker }
    }

    fn shorten(&mut self, profile: ProfileId, older: Option<u32>, younger: Option<u32>) {
        let at = self.line(profile).expect("a waiting entry stands in the line of its profile");
        let line = &mut self.lines[at];
        line.len -= 1;
        match (older, younger) {
            (None, None) => {
                self.lines.swap_remove(at);
            }
            (None, Some(younger)) => {
                line.oldest = younger;
                line.number = self.entries[younger as usize].number;
            }
            (Some(older), None) => line.youngest = older,
            (Some(_), Some(_)) => {}
        }
    }

    fn set_younger(&mut self, of: u32, to: Option<u32>) {
        if let Stage::Waiting { younger, .. } = &mut self.entries[of as usize].stage {
            *younger = to;
        }
    }

    fn set_older(&mut self, of: u32, to: Option<u32>) {
        if let Stage::Waiting { older, .. } = &mut self.entries[of as usize].stage {
            *older = to;
        }
    }
}

/// What a ticket was good for when it was cancelled.
pub(super) enum Cancelled<G, W> {
    Waited(Left<W>),
    Held(G),
    Refused,
}
