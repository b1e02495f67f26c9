//! Judging what a client sends: the common ways, the simple protocol, copy data.

use super::exchange::{Exchange, Judged};
use super::names;
use super::replies::{About, Awaits, Fate, Slot, Undo};
use super::statements::server::Unnamed;
use super::statements::shared::Reading;
use crate::sql::{Effects, Extent};
use crate::wire::fault::Fault;
use crate::wire::lane::{Frame, Lane};
use crate::wire::read::Malformed;
use crate::wire::tag::frontend as f;

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        Self::ProtocolViolation(error.to_string())
    }
}

impl Exchange<'_> {
    /// Judges the client's next message. An error ends the client.
    pub fn request(&mut self) -> Result<Judged, Fault> {
        let frame = self.up.frame().map_err(|error| Fault::ProtocolViolation(error.to_string()))?;
        let Some(Frame { tag, total, .. }) = frame else { return Ok(Judged::NeedsMore) };
        if self.server.replies.is_skipping() && !matches!(tag, f::SYNC | f::TERMINATE) {
            check(tag, total)?;
            self.up.discard(total);
            return Ok(Judged::Moved);
        }
        if total > f::SMALL {
            check(tag, total)?;
        }
        match tag {
            f::QUERY => self.query(),
            f::PARSE => self.parse(),
            f::BIND => self.bind(),
            f::DESCRIBE => self.describe(),
            f::CLOSE => self.close(),
            f::EXECUTE => self.execute(),
            f::SYNC => self.pass(Awaits::Sync),
            f::FUNCTION_CALL => self.function_call(),
            f::FLUSH => self.pass_unanswered(),
            f::COPY_DATA => self.copy(None),
            f::COPY_DONE | f::COPY_FAIL => self.copy(Some(Awaits::CopyEnd)),
            f::TERMINATE => Ok(Judged::Goodbye),
            _ => Err(unexpected(tag)),
        }
    }

    pub(super) fn pass(&mut self, awaits: Awaits) -> Result<Judged, Fault> {
        self.pass_with(awaits, Undo::Nothing)
    }

    pub(super) fn pass_with(&mut self, awaits: Awaits, undo: Undo) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        self.up.forward(total);
        self.sent(awaits, Fate::Forward, undo);
        Ok(Judged::Moved)
    }

    fn pass_unanswered(&mut self) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        self.up.forward(total);
        Ok(Judged::Moved)
    }

    /// The function is a number to us: it may do anything.
    fn function_call(&mut self) -> Result<Judged, Fault> {
        if whole(self.up).is_none() {
            return Ok(Judged::NeedsMore);
        }
        let fate = self.front_begins();
        self.mind_sequences(Effects::OPAQUE, &fate);
        self.front_ends(&fate);
        self.touch(Effects::OPAQUE);
        self.work.queries += 1;
        self.pass(Awaits::FunctionCall)
    }

    /// Copy data may come long after the copy failed; then it is nobody's.
    fn copy(&mut self, end: Option<Awaits>) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        if self.server.replies.is_empty() {
            self.up.discard(total);
            return Ok(Judged::Moved);
        }
        self.up.forward(total);
        match end {
            Some(end) => self.sent(end, Fate::Forward, Undo::Nothing),
            None if self.up.is_passing() => {}
            None => self.work.messages_up += self.up.forward_alike(f::COPY_DATA),
        }
        Ok(Judged::Moved)
    }
}

// -- simple protocol

impl Exchange<'_> {
    fn query(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let (total, is_whole) = (frame.total, frame.is_whole());
        let extent = if is_whole { Extent::Whole } else { Extent::Head };
        let Reading { analysis, moment, .. } = self.read(query_text(frame), extent);
        if names::are_meant_by(&analysis) && !self.server.replies.names_are_certain() {
            return Ok(Judged::Waits);
        }
        if self.is_exposed(analysis.effects) {
            return Err(Fault::Unsupported("currval or lastval in a text that ends a failed transaction"));
        }
        let fate = self.front_begins();
        self.touch_by_text(analysis.effects, &analysis, moment, &fate);
        self.front_ends(&fate);
        let about = if is_whole && !analysis.statements.is_empty() {
            self.query_with_names_of_servers(total, &analysis)
        } else {
            self.up.forward(total);
            About::Nothing
        };
        self.work.queries += 1;
        let unnamed = self.drop_unnamed();
        let undo = match self.deallocate(&analysis) {
            Undo::Nothing => unnamed,
            names => Undo::Both(Box::new((unnamed, names))),
        };
        self.server.sent(Slot::new(Awaits::Query, Fate::Forward, about, undo));
        Ok(Judged::Moved)
    }

    /// A Query and a Close drop the unnamed statement, and succeed in it if they aren't skipped.
    pub(super) fn drop_unnamed(&mut self) -> Undo {
        self.server.statements.unnamed = Unnamed::Absent;
        Undo::Unnamed { client: Some(self.client.statements.unnamed.take()) }
    }
}

pub(super) fn query_text(frame: Frame<'_>) -> &[u8] {
    frame.body.strip_suffix(&[0]).unwrap_or(frame.body)
}

/// The next message, once all of it is here; `None` while it isn't. What is longer than the buffer may grow is
/// handed out in part, since it has to stream.
pub(super) fn whole(up: &Lane) -> Option<Frame<'_>> {
    let frame = up.frame().ok()??;
    (frame.is_whole() || Lane::must_stream(frame.total)).then_some(frame)
}

/// Whether a client may send a message of this type and length at all.
pub fn check(tag: u8, total: usize) -> Result<(), Fault> {
    match tag {
        _ if total > f::longest_request(tag) => Err(too_long(tag, total)),
        f::QUERY
        | f::PARSE
        | f::BIND
        | f::DESCRIBE
        | f::CLOSE
        | f::EXECUTE
        | f::FUNCTION_CALL
        | f::FLUSH
        | f::COPY_DATA
        | f::COPY_DONE
        | f::COPY_FAIL
        | f::SYNC
        | f::TERMINATE => Ok(()),
        _ => Err(unexpected(tag)),
    }
}

/// A message that PostgreSQL would not read to its end.
fn too_long(tag: u8, total: usize) -> Fault {
    let (tag, length, limit) = (char::from(tag), total - 1, f::longest_request(tag) - 1);
    Fault::ProtocolViolation(format!(
        "message type {tag:?} with the impossible length {length} (PostgreSQL takes {limit})"
    ))
}

/// A message type that no client may send here.
fn unexpected(tag: u8) -> Fault {
    Fault::ProtocolViolation(format!("invalid frontend message type {tag}"))
}
