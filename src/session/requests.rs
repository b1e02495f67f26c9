//! Judging what a client sends.

use super::exchange::{Exchange, Judged};
use super::replies::{Awaits, Fate, Undo};
use super::statements::client::Held;
use super::statements::server::Unnamed;
use super::statements::shared::{NOWHERE, PREFIX};
use crate::sql::{Analysis, Extent, Use, rename_statements};
use crate::wire::fault::Fault;
use crate::wire::lane::{Frame, Lane};
use crate::wire::read::Malformed;
use crate::wire::tag::frontend as f;
use crate::wire::write;

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
            check_tag(tag)?;
            self.up.discard(total);
            return Ok(Judged::Moved);
        }
        match tag {
            f::QUERY => self.query(),
            f::PARSE => self.parse(),
            f::BIND => self.bind(),
            f::DESCRIBE => self.describe(),
            f::CLOSE => self.close(),
            f::EXECUTE => {
                self.work.queries += 1;
                self.pass(Awaits::Execute)
            }
            f::SYNC => self.pass(Awaits::Sync),
            f::FUNCTION_CALL => {
                self.work.queries += 1;
                self.pass(Awaits::FunctionCall)
            }
            f::FLUSH => self.pass_unanswered(),
            f::COPY_DATA => self.copy(None),
            f::COPY_DONE | f::COPY_FAIL => self.copy(Some(Awaits::CopyEnd)),
            f::TERMINATE => Ok(Judged::Goodbye),
            _ => Err(unexpected(tag)),
        }
    }

    pub(super) fn pass(&mut self, awaits: Awaits) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        self.up.forward(total);
        self.sent(awaits, Fate::Forward, Undo::Nothing);
        Ok(Judged::Moved)
    }

    fn pass_unanswered(&mut self) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        self.up.forward(total);
        Ok(Judged::Moved)
    }

    /// Copy data may come long after the copy failed; then it is nobody's.
    fn copy(&mut self, end: Option<Awaits>) -> Result<Judged, Fault> {
        let Some(Frame { total, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        if self.server.replies.is_empty() {
            self.up.discard(total);
            return Ok(Judged::Moved);
        }
        self.up.forward(total);
        if let Some(end) = end {
            self.sent(end, Fate::Forward, Undo::Nothing);
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
        let analysis = self.analyse(query_text(frame), extent);
        self.client.touch.add(&analysis);
        if is_whole && !analysis.statements.is_empty() && self.query_with_names_of_servers(&analysis) {
            return Ok(Judged::Moved);
        }
        self.up.forward(total);
        self.query_sent();
        Ok(Judged::Moved)
    }

    fn query_sent(&mut self) {
        self.work.queries += 1;
        let undo = match (self.client.statements.unnamed.take(), self.server.statements.unnamed) {
            (None, Unnamed::Absent) => Undo::Nothing,
            (client, server) => Undo::Unnamed { client: Some(client), server },
        };
        self.server.statements.unnamed = Unnamed::Absent;
        self.sent(Awaits::Query, Fate::Forward, undo);
    }

    /// A text that names statements which the client prepared by protocol gets the servers' names for them.
    fn query_with_names_of_servers(&mut self, analysis: &Analysis) -> bool {
        let Some(frame) = whole(self.up) else { return false };
        let (total, mut renamed) = (frame.total, Vec::new());
        if !self.rename(query_text(frame), analysis, &mut renamed) {
            return false;
        }
        self.up.discard(total);
        let in_batch = self.server.unsynced;
        for held in self.referenced(analysis) {
            // Outside of a batch its failure would only be in the way: the text itself finds out what is missing.
            let fate = if in_batch { Fate::Swallow } else { Fate::Hide };
            self.ensure(&held.statement, held.stamp, fate);
        }
        // A batch of the client's stays open: PostgreSQL may be skipping to its Sync.
        if !in_batch && self.server.unsynced {
            write::bare(self.up.out(), f::SYNC);
            self.sent(Awaits::Sync, Fate::Hide, Undo::Nothing);
        }
        write::query(self.up.out(), &renamed);
        self.query_sent();
        true
    }

    pub(super) fn rename(&self, text: &[u8], analysis: &Analysis, out: &mut Vec<u8>) -> bool {
        rename_statements(
            text,
            analysis,
            |reference| {
                let known = self.client.statements.get(&reference.name);
                match known {
                    Some(held) => Some(held.statement.id.server_name().as_str().to_owned()),
                    None => reference.name.starts_with(PREFIX).then(|| nowhere().to_owned()),
                }
            },
            out,
        )
    }

    /// The client's own statements that a text refers to; what it deallocates is no longer the client's.
    pub(super) fn referenced(&mut self, analysis: &Analysis) -> Vec<Held> {
        let mut referenced = Vec::new();
        for reference in &analysis.statements {
            let Some(held) = self.client.statements.get(&reference.name).cloned() else { continue };
            match reference.usage {
                Use::Deallocate => {
                    self.client.statements.remove(&reference.name);
                    self.client.deallocating.push((reference.name.clone(), held.clone()));
                }
                Use::Execute => self.client.touch.add(&held.statement.analysis),
                Use::Prepare => {}
            }
            referenced.push(held);
        }
        referenced
    }
}

fn query_text(frame: Frame<'_>) -> &[u8] {
    frame.body.strip_suffix(&[0]).unwrap_or(frame.body)
}

fn nowhere() -> &'static str {
    std::str::from_utf8(NOWHERE).expect("ASCII")
}

/// The next message, once all of it is here; `None` while it isn't. What is longer than the buffer may grow is
/// handed out in part, since it has to stream.
pub(super) fn whole(up: &Lane) -> Option<Frame<'_>> {
    let frame = up.frame().ok()??;
    (frame.is_whole() || Lane::must_stream(frame.total)).then_some(frame)
}

fn check_tag(tag: u8) -> Result<(), Fault> {
    match tag {
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
        | f::COPY_FAIL => Ok(()),
        _ => Err(unexpected(tag)),
    }
}

/// A message type that no client may send here.
pub fn unexpected(tag: u8) -> Fault {
    Fault::ProtocolViolation(format!("invalid frontend message type {tag}"))
}
