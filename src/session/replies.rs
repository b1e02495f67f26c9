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

use super::statements::client::Held;
use super::statements::server::{Copy, Unnamed};
use super::statements::shared::{Statement, StatementId};
use crate::wire::fault::Fault;
use crate::wire::tag::backend as b;

use std::sync::Arc;

/// What a message that was sent awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    Query,
    FunctionCall,
    /// CopyDone or CopyFail: nothing comes for it, but Syncs in front of it were read as part of the copy.
    CopyEnd,
}

/// For whom a reply is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The client's.
    Forward,
    /// Ours; an error is the client's all the same, for its own request can't go on without ours.
    Swallow,
    /// Ours, errors too: the client's request goes on and finds out for itself.
    Hide,
    /// The server was made to fail here so that it rolls back and skips; the client hears this fault.
    Fault(Box<Fault>),
}

/// How to take back what a request changed in the maps, when the server skipped it.
#[derive(Debug)]
pub enum Undo {
    Nothing,
    /// A Parse of a name in use: nothing changed, but the error is to name what the client named.
    NameInUse {
        name: Box<[u8]>,
    },
    /// The server was asked what a statement's rows look like.
    Asked {
        id: StatementId,
    },
    /// A Parse, under the client's name if it is the client's own.
    Parsed {
        name: Option<Box<[u8]>>,
        id: StatementId,
    },
    /// The unnamed statement of the server, and of the client if the request was the client's.
    Unnamed {
        client: Option<Option<Arc<Statement>>>,
        server: Unnamed,
    },
    ClosedByClient {
        name: Box<[u8]>,
        held: Held,
    },
    ClosedOnServer {
        id: StatementId,
        copy: Copy,
    },
}

#[derive(Debug)]
pub struct Slot {
    pub awaits: Awaits,
    pub fate: Fate,
    /// A Query in an extended batch that has no Sync yet.
    pub in_batch: bool,
    /// The statement that the request is about, if it is one of ours.
    pub statement: Option<StatementId>,
    pub undo: Undo,
}

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
    copying: Copying,
    /// An error came and the Sync that ends the skipping has not been sent yet.
    skipping: bool,
    /// Syncs that a failed copy may or may not have read: as many ReadyForQuery may come, or fewer.
    doubtful: u32,
}

impl Default for Replies {
    fn default() -> Self {
        Self { slots: VecDeque::new(), copying: Copying::No, skipping: false, doubtful: 0 }
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
            (Awaits::CopyEnd, Copying::In { ended, .. }) => *ended = true,
            _ => {}
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
}

// -- receiving

impl Replies {
    /// A message of type `got` came.
    pub fn receive(&mut self, got: u8) -> Result<Reply<'_>, Mismatch> {
        self.drop_copy_ends();
        if matches!(got, b::NOTICE_RESPONSE | b::NOTIFICATION_RESPONSE | b::PARAMETER_STATUS) {
            let ours = self.slots.front().is_some_and(|slot| matches!(slot.fate, Fate::Swallow | Fate::Hide));
            return Ok(Reply::Aside { ours });
        }
        let awaited = self.slots.front().map(|slot| slot.awaits);
        let Some(front) = awaited else { return self.unasked(got) };
        self.follow_copy(got);
        match judge(front, got) {
            Verdict::More => Ok(Reply::More(self.slots.front().expect("judged just now"))),
            Verdict::Done => Ok(Reply::Done(self.slots.pop_front().expect("judged just now"))),
            Verdict::SkipToSync => {
                self.skipping = !self.slots.iter().any(|slot| slot.awaits == Awaits::Sync);
                Ok(Reply::Failed(self.slots.pop_front().expect("judged just now")))
            }
            Verdict::Violation => Err(Mismatch { awaited, got }),
        }
    }

    /// An internal error came. PostgreSQL 18 answers so to a Query in an unfinished batch, and skips to the Sync as
    /// it does in the extended protocol; elsewhere this is an error like others.
    pub fn receive_internal_error(&mut self) -> Result<Reply<'_>, Mismatch> {
        self.drop_copy_ends();
        if !self.slots.front().is_some_and(|slot| slot.in_batch) {
            return self.receive(b::ERROR_RESPONSE);
        }
        let failed = self.slots.pop_front().expect("looked at just now");
        self.skipping = !self.slots.iter().any(|slot| slot.awaits == Awaits::Sync);
        Ok(Reply::Failed(failed))
    }

    /// After [`Reply::Failed`]: the slots that the server skips, the last one first, so that each can be
    /// undone on top of what stands before it.
    pub fn skipped(&mut self) -> Option<Slot> {
        let end = self.slots.iter().position(|slot| slot.awaits == Awaits::Sync).unwrap_or(self.slots.len());
        self.slots.remove(end.checked_sub(1)?)
    }

    fn unasked(&mut self, got: u8) -> Result<Reply<'_>, Mismatch> {
        if got == b::READY_FOR_QUERY && self.doubtful > 0 {
            self.doubtful -= 1;
            return Ok(Reply::LateReady);
        }
        Err(Mismatch { awaited: None, got })
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
                    self.slots.remove(1);
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
            self.slots.remove(1);
            syncs += 1;
        }
        syncs
    }

    fn drop_copy_ends(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.awaits == Awaits::CopyEnd) {
            self.slots.pop_front();
        }
    }
}

// -- asking

impl Replies {
    pub fn front(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// All that was sent and not answered yet.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Whether a ReadyForQuery is due. What stands behind the last Sync may never be answered.
    pub fn awaits_ready(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot.awaits, Awaits::Query | Awaits::Sync | Awaits::FunctionCall))
    }

    /// It was found out how many ReadyForQuery had come late.
    pub fn resolved(&mut self) {
        self.doubtful = 0;
    }

    /// Whether the latest request that changed what `concerns` picks out belongs to a batch whose Sync is sent, and
    /// is not answered: should that batch fail, the change will not have happened. Within a batch there is no doubt,
    /// for what stands behind a failure is skipped.
    pub fn is_in_doubt(&self, concerns: impl Fn(&Undo) -> bool) -> bool {
        let latest = self.slots.iter().rposition(|slot| concerns(&slot.undo));
        latest.is_some_and(|at| self.slots.iter().skip(at + 1).any(|slot| slot.awaits == Awaits::Sync))
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.awaits == Awaits::CopyEnd)
    }

    /// A failed copy left it open how many ReadyForQuery are still to come.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful > 0
    }

    /// Whether a COPY is under way in either direction.
    pub fn is_copying(&self) -> bool {
        self.copying != Copying::No
    }

    /// The replies that were awaited will never come: the server is gone.
    pub fn abandon(&mut self) -> impl Iterator<Item = Slot> + '_ {
        (self.copying, self.skipping, self.doubtful) = (Copying::No, false, 0);
        std::iter::from_fn(|| self.slots.pop_back())
    }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
