//! The reply queue of one server connection: what each message that was sent still has to bring back.
//!
//! ```text
//!   sent to the server          queue (front first)                  comes back
//!   Parse _pgweir_7 (ours)      Parse   swallow                      1        dropped
//!   Bind, Describe, Execute     Bind, Describe, Execute  forward     2 T D C  to the client
//!   Sync                        Sync    forward                      Z        to the client
//! ```
//!
//! Nothing else counts replies. After an error in the extended protocol the server skips *everything* up to
//! the next Sync, a Query message too, and so does the queue. Two questions stay apart: what ends a slot
//! ([`Awaits`], judged in [`judge`]) and for whom the reply is ([`Fate`]).

use std::collections::VecDeque;

use thiserror::Error;

use super::segments::{Segment, Segments};
pub use super::slot::{About, Awaits, Fate, Naming, Slot, Undo};
use crate::wire::tag::backend as b;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    No,
    /// Syncs sent during the copy: the server drops them, unless the copy had failed already. `ended`: the
    /// client has sent CopyDone or CopyFail, so what follows is no longer part of the copy.
    In {
        syncs: u32,
        ended: bool,
    },
    Out,
}

/// A reply that does not fit: the connection can't be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the server sent {:?} while {awaited:?} was awaited", char::from(*got))]
pub struct Mismatch {
    pub awaited: Option<Awaits>,
    pub got: u8,
}

/// What a reply means for the queue.
#[derive(Debug)]
pub enum Reply<'a> {
    /// Belongs to no request: a notice, a notification, a parameter.
    Aside { ours: bool },
    /// The front slot gets more after this.
    More(&'a Slot),
    /// The last one of its slot.
    Done(Slot),
    /// An error that ends its slot; the server skips to the next Sync, see [`Replies::skipped`].
    Failed(Slot),
    /// Late answer to a Sync that a failed copy may or may not have read.
    LateReady,
}

#[derive(Debug)]
pub struct Replies {
    slots: VecDeque<Slot>,
    /// The front slot got something already.
    begun: bool,
    copying: Copying,
    /// An error came and the Sync that ends the skipping has not been sent yet.
    skipping: bool,
    /// Syncs that a failed copy may or may not have read: as many ReadyForQuery may come, or fewer.
    doubtful: u32,
    segments: Segments,
    /// When a name of the client was last changed.
    names: Segment,
    /// When an unnamed statement was last changed.
    unnamed: Segment,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            begun: false,
            copying: Copying::No,
            skipping: false,
            doubtful: 0,
            segments: Segments::default(),
            names: Segment::default(),
            unnamed: Segment::default(),
        }
    }
}

/// What a slot does with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    More,
    Done,
    SkipToSync,
    Violation,
}

/// The table (what is awaited × what came). Source: "Message Flow".
fn judge(front: Awaits, got: u8) -> Verdict {
    use Awaits::*;
    use Verdict::*;
    match (front, got) {
        (Query | Sync | FunctionCall, b::ERROR_RESPONSE) => More, // its ReadyForQuery still comes
        (_, b::ERROR_RESPONSE) => SkipToSync,
        (Query | Sync | FunctionCall, b::READY_FOR_QUERY) => Done,
        (Parse, b::PARSE_COMPLETE) | (Bind, b::BIND_COMPLETE) | (Close, b::CLOSE_COMPLETE) => Done,
        (Describe, b::ROW_DESCRIPTION | b::NO_DATA) => Done,
        (Describe, b::PARAMETER_DESCRIPTION) => More,
        (Execute, b::COMMAND_COMPLETE | b::EMPTY_QUERY_RESPONSE | b::PORTAL_SUSPENDED) => Done,
        (Query, b::ROW_DESCRIPTION | b::COMMAND_COMPLETE | b::EMPTY_QUERY_RESPONSE) => More,
        (Query | Execute, b::DATA_ROW | b::COPY_DATA | b::COPY_DONE) => More,
        (Query | Execute, b::COPY_IN_RESPONSE | b::COPY_OUT_RESPONSE) => More,
        (FunctionCall, b::FUNCTION_CALL_RESPONSE) => More,
        _ => Violation,
    }
}

// -- sending

impl Replies {
    /// A message was sent that awaits replies. While the server skips, only a Sync gets any.
    pub fn sent(&mut self, slot: Slot) {
        debug_assert!(!self.skipping || slot.awaits == Awaits::Sync, "the relay drops what the server skips");
        match (slot.awaits, &mut self.copying) {
            (Awaits::Sync, Copying::In { syncs, ended: false }) => return *syncs += 1,
            (Awaits::Sync, _) => self.skipping = false,
            (Awaits::CopyEnd, _) if self.slots.is_empty() => return,
            (Awaits::CopyEnd, Copying::In { ended, .. }) => *ended = true,
            _ => {}
        }
        if slot.undo.is_of_names() {
            self.names = self.segments.open();
        }
        if slot.undo.is_of_unnamed() {
            self.unnamed = self.segments.open();
        }
        if slot.awaits.ends_segment() {
            self.segments.close();
        }
        self.slots.push_back(slot);
    }

    /// Whether the server ignores what is sent now, up to the next Sync.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server reads copy data now, so that only copy messages mean anything to it.
    pub fn is_copying_in(&self) -> bool {
        matches!(self.copying, Copying::In { ended: false, .. })
    }

    pub fn segments(&self) -> Segments {
        self.segments
    }

    /// Whether the client's names are what our map says by the time the server reads what is sent now.
    pub fn names_are_certain(&self) -> bool {
        self.segments.is_certain(self.names)
    }

    /// The same for the unnamed statements of client and server.
    pub fn unnamed_is_certain(&self) -> bool {
        self.segments.is_certain(self.unnamed)
    }
}

// -- receiving

impl Replies {
    /// A message of type `got` came.
    pub fn receive(&mut self, got: u8) -> Result<Reply<'_>, Mismatch> {
        if matches!(got, b::NOTICE_RESPONSE | b::NOTIFICATION_RESPONSE | b::PARAMETER_STATUS) {
            let ours = self.slots.front().is_some_and(|slot| matches!(slot.fate, Fate::Swallow | Fate::Hide));
            return Ok(Reply::Aside { ours });
        }
        let awaited = self.slots.front().map(|slot| slot.awaits);
        if self.doubtful > 0 && self.is_late_ready(got) {
            self.doubtful -= 1;
            self.skipping = false;
            return Ok(Reply::LateReady);
        }
        let Some(front) = awaited else { return Err(Mismatch { awaited, got }) };
        self.follow_copy(got);
        match judge(front, got) {
            Verdict::More => {
                self.begun = true;
                Ok(Reply::More(self.slots.front().expect("judged just now")))
            }
            Verdict::Done => Ok(Reply::Done(self.pop().expect("judged just now"))),
            Verdict::SkipToSync => Ok(Reply::Failed(self.fail().expect("judged just now"))),
            Verdict::Violation => Err(Mismatch { awaited, got }),
        }
    }

    /// An internal error came. PostgreSQL 18 answers so to a Query in an unfinished batch, and skips to the Sync as
    /// it does in the extended protocol; elsewhere this is an error like others.
    pub fn receive_internal_error(&mut self) -> Result<Reply<'_>, Mismatch> {
        if !self.slots.front().is_some_and(|slot| slot.in_batch) {
            return self.receive(b::ERROR_RESPONSE);
        }
        Ok(Reply::Failed(self.fail().expect("looked at just now")))
    }

    /// Ends the front slot by an error that makes the server skip.
    fn fail(&mut self) -> Option<Slot> {
        let failed = self.pop();
        self.skipping = !self.expects_sync();
        failed
    }

    /// After [`Reply::Failed`]: the slots that the server skips, the last one first, so that each can be
    /// undone on top of what stands before it.
    pub fn skipped(&mut self) -> Option<Slot> {
        let last = self.next_sync().checked_sub(1)?;
        self.remove(last)
    }

    /// What was sent behind the Sync that ends the skipping, in order.
    pub fn behind_sync(&mut self) -> impl Iterator<Item = &mut Slot> {
        let sync = self.next_sync();
        self.slots.iter_mut().skip(sync)
    }

    fn next_sync(&self) -> usize {
        self.slots.iter().position(|slot| slot.awaits == Awaits::Sync).unwrap_or(self.slots.len())
    }

    /// Takes the front slot, and ends of copies behind it: if they ended anything, it was that.
    fn pop(&mut self) -> Option<Slot> {
        self.begun = false;
        let front = self.remove(0);
        while self.slots.front().is_some_and(|slot| slot.awaits == Awaits::CopyEnd) {
            self.remove(0);
        }
        front
    }

    /// The only way out of the queue but [`Self::abandon`].
    fn remove(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots.remove(index)?;
        if slot.awaits.ends_segment() {
            self.segments.settle();
        }
        Some(slot)
    }

    /// Whether a reply is a ReadyForQuery for a Sync that the failed copy didn't read. Those for Syncs in the
    /// queue look the same, and it doesn't matter which is which. Any other reply was made behind them all,
    /// so it ends the doubt.
    fn is_late_ready(&mut self, got: u8) -> bool {
        if got != b::READY_FOR_QUERY {
            self.doubtful = 0;
            return false;
        }
        !self.begun && self.slots.front().is_none_or(|slot| slot.awaits != Awaits::Sync)
    }

    fn follow_copy(&mut self, got: u8) {
        match (got, self.copying) {
            (b::COPY_IN_RESPONSE, _) => {
                let syncs = self.take_syncs_read_by_copy();
                self.copying = Copying::In { syncs, ended: self.copy_end_is_next() };
            }
            (b::COPY_OUT_RESPONSE, _) => self.copying = Copying::Out,
            (b::COMMAND_COMPLETE | b::ERROR_RESPONSE, Copying::In { syncs, .. }) => {
                if got == b::ERROR_RESPONSE {
                    self.doubtful += syncs;
                }
                if self.copy_end_is_next() {
                    self.remove(1);
                }
                self.copying = Copying::No;
            }
            (b::COMMAND_COMPLETE | b::ERROR_RESPONSE, _) => self.copying = Copying::No,
            _ => {}
        }
    }

    fn copy_end_is_next(&self) -> bool {
        self.slots.get(1).is_some_and(|slot| slot.awaits == Awaits::CopyEnd)
    }

    /// The server is about to read what was sent behind the COPY as part of it, and ignores Syncs there.
    fn take_syncs_read_by_copy(&mut self) -> u32 {
        let mut syncs = 0;
        while self.slots.get(1).is_some_and(|slot| slot.awaits == Awaits::Sync) {
            self.remove(1);
            syncs += 1;
        }
        syncs
    }
}

// -- asking

impl Replies {
    pub fn front(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// The slot that the next reply is for.
    pub fn front_mut(&mut self) -> Option<&mut Slot> {
        self.slots.front_mut()
    }

    /// Whether the server may still be about to take on the client's settings.
    pub fn is_replaying(&self) -> bool {
        self.slots.front().is_some_and(Slot::is_replay)
    }

    /// All that was sent and not answered yet.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Whether a ReadyForQuery is due. What stands behind the last Sync may never be answered.
    pub fn awaits_ready(&self) -> bool {
        self.slots.iter().any(|slot| slot.awaits.ends_segment())
    }

    /// It was found out how many ReadyForQuery had come late.
    pub fn resolved(&mut self) {
        self.doubtful = 0;
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a Sync was sent that is still to be answered.
    pub fn expects_sync(&self) -> bool {
        self.slots.iter().any(|slot| slot.awaits == Awaits::Sync)
    }

    /// A failed copy left it open how many ReadyForQuery are still to come.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful > 0
    }

    /// Whether a COPY is under way in either direction.
    pub fn is_copying(&self) -> bool {
        self.copying != Copying::No
    }

    /// The replies that were awaited will never come: the server is gone. Gives the slots, last one first.
    pub fn abandon(&mut self) -> impl Iterator<Item = Slot> + '_ {
        (self.begun, self.copying, self.skipping, self.doubtful) = (false, Copying::No, false, 0);
        self.segments.settle_all();
        std::iter::from_fn(|| self.slots.pop_back())
    }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
