//! Judging what a client sends.

use std::sync::Arc;

use super::exchange::{Ensured, Exchange, Judged};
use super::replies::{Awaits, Fate, Undo};
use super::statements::client::Held;
use super::statements::server::Unnamed;
use super::statements::shared::{NOWHERE, PREFIX, Statement};
use crate::sql::{Analysis, Extent, Use, rename_statements};
use crate::wire::fault::Fault;
use crate::wire::frame::HEAD;
use crate::wire::lane::{Frame, Lane};
use crate::wire::read::{self, Malformed, Target};
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

    fn pass(&mut self, awaits: Awaits) -> Result<Judged, Fault> {
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
        for held in self.referenced(analysis) {
            // Its failure would only be in the way: the text itself finds out what is missing.
            self.ensure(&held.statement, held.stamp, Fate::Hide);
        }
        if self.server.unsynced {
            write::bare(self.up.out(), f::SYNC);
            self.sent(Awaits::Sync, Fate::Hide, Undo::Nothing);
        }
        write::query(self.up.out(), &renamed);
        self.query_sent();
        true
    }

    fn rename(&self, text: &[u8], analysis: &Analysis, out: &mut Vec<u8>) -> bool {
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
    fn referenced(&mut self, analysis: &Analysis) -> Vec<Held> {
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

// -- extended protocol

impl Exchange<'_> {
    fn parse(&mut self) -> Result<Judged, Fault> {
        let frame = self.up.frame().ok().flatten().expect("seen by request");
        let (total, limit) = (frame.total, self.shared.limits.statement_size);
        if total > limit {
            self.up.discard(total);
            let fault = Fault::TooLarge { what: "Parse message", size: total as u64, limit: limit as u64 };
            return self.fail_batch(fault);
        }
        if !frame.is_whole() {
            self.up.gather(total);
            return Ok(Judged::NeedsMore);
        }
        let parse = read::parse(frame.body)?;
        let dialect = self.client.settings.dialect;
        let statement =
            self.shared.statements.intern(parse.definition, dialect, |text| self.analyse(text, Extent::Whole));
        if parse.name.is_empty() {
            return self.parse_unnamed(statement, total);
        }
        let name: Box<[u8]> = parse.name.into();
        self.parse_named(name, statement, total)
    }

    fn parse_unnamed(&mut self, statement: Arc<Statement>, total: usize) -> Result<Judged, Fault> {
        let statement = self.with_names_of_servers(statement);
        let renamed = !statement.analysis.statements.is_empty();
        let client = self.client.statements.unnamed.replace(statement.clone());
        let server = std::mem::replace(&mut self.server.statements.unnamed, Unnamed::Is(statement.id));
        if renamed {
            self.up.discard(total);
            write::parse(self.up.out(), b"", &statement.definition);
        } else {
            self.up.forward(total);
        }
        let undo = Undo::Unnamed { client: Some(client), server };
        self.server.sent(Awaits::Parse, Fate::Forward, Some(statement.id), undo);
        Ok(Judged::Moved)
    }

    fn parse_named(&mut self, name: Box<[u8]>, statement: Arc<Statement>, total: usize) -> Result<Judged, Fault> {
        self.up.discard(total);
        if let Some(held) = self.client.statements.get(&name).cloned() {
            return self.parse_used_name(&held, &statement);
        }
        let limit = self.shared.limits.client_statements;
        if self.client.statements.bytes() + statement.definition.len() as u64 > limit {
            return self.fail_batch(Fault::StatementBudget { limit });
        }
        let statement = self.with_names_of_servers(statement);
        let stamp = statement.next_stamp();
        self.close_copy(&statement, Fate::Swallow);
        self.parse_copy(&statement, stamp, Fate::Forward, Some(name.clone()));
        self.client.statements.insert(name, Held { statement, stamp, shape: None });
        Ok(Judged::Moved)
    }

    /// PostgreSQL says "already exists", or what else is wrong with the text.
    fn parse_used_name(&mut self, held: &Held, statement: &Statement) -> Result<Judged, Fault> {
        self.ensure(&held.statement, held.stamp, Fate::Swallow);
        write::parse(self.up.out(), &held.statement.id.server_name(), &statement.definition);
        self.server.sent(Awaits::Parse, Fate::Forward, Some(held.statement.id), Undo::Nothing);
        Ok(Judged::Moved)
    }

    /// `EXECUTE n` and its like, prepared by protocol: the text must name what servers have.
    fn with_names_of_servers(&mut self, statement: Arc<Statement>) -> Arc<Statement> {
        if statement.analysis.statements.is_empty() {
            return statement;
        }
        let mut definition = Vec::new();
        if !self.rename(statement.query(), &statement.analysis, &mut definition) {
            return statement;
        }
        for held in self.referenced(&statement.analysis) {
            self.ensure(&held.statement, held.stamp, Fate::Swallow);
        }
        definition.extend_from_slice(&statement.definition[statement.query().len()..]);
        self.shared.statements.private(definition.into(), statement.dialect, |_| statement.analysis.clone())
    }

    fn bind(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let bind = read::bind(frame.body)?;
        let (names, portal) = (bind.names, Box::<[u8]>::from(bind.portal));
        if bind.statement.is_empty() {
            return self.bind_unnamed(total);
        }
        let name = bind.statement;
        match self.client.statements.get(name).cloned() {
            Some(held) => {
                match self.ensure_held(&held) {
                    Ensured::Ready => {}
                    Ensured::Asked => return Ok(Judged::NeedsMore),
                    Ensured::Changed => {
                        self.up.discard(total);
                        return self.fail_batch(Fault::PlanChanged);
                    }
                }
                self.client.touch.add(&held.statement.analysis);
                let server_name = held.statement.id.server_name();
                self.rebind(&portal, &server_name, names, total, Some(&held.statement));
            }
            None if name.starts_with(PREFIX) => self.rebind(&portal, NOWHERE, names, total, None),
            None => {
                self.up.forward(total);
                self.sent(Awaits::Bind, Fate::Forward, Undo::Nothing);
            }
        }
        Ok(Judged::Moved)
    }

    fn rebind(&mut self, portal: &[u8], name: &[u8], names: usize, total: usize, statement: Option<&Arc<Statement>>) {
        let rest = total - HEAD - names;
        self.up.discard(HEAD + names);
        write::bind_head(self.up.out(), portal, name, rest);
        self.up.forward(rest);
        self.server.sent(Awaits::Bind, Fate::Forward, statement.map(|statement| statement.id), Undo::Nothing);
    }

    fn bind_unnamed(&mut self, total: usize) -> Result<Judged, Fault> {
        self.ensure_unnamed();
        let id = self.client.statements.unnamed.as_ref().map(|statement| statement.id);
        if let Some(statement) = &self.client.statements.unnamed {
            self.client.touch.add(&statement.analysis);
        }
        self.up.forward(total);
        self.server.sent(Awaits::Bind, Fate::Forward, id, Undo::Nothing);
        Ok(Judged::Moved)
    }

    /// Makes the server's unnamed statement the client's, or nobody's if the client has none.
    fn ensure_unnamed(&mut self) {
        match (self.client.statements.unnamed.clone(), self.server.statements.unnamed) {
            (Some(mine), Unnamed::Is(there)) if mine.id == there => {}
            (None, Unnamed::Absent) => {}
            (Some(mine), server) => {
                write::parse(self.up.out(), b"", &mine.definition);
                let undo = Undo::Unnamed { client: None, server };
                self.server.sent(Awaits::Parse, Fate::Swallow, Some(mine.id), undo);
                self.server.statements.unnamed = Unnamed::Is(mine.id);
            }
            (None, server) => {
                write::close_statement(self.up.out(), b"");
                self.sent(Awaits::Close, Fate::Swallow, Undo::Unnamed { client: None, server });
                self.server.statements.unnamed = Unnamed::Absent;
            }
        }
    }

    fn describe(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let Target::Statement(name) = read::target(frame.body, "Describe")? else {
            return self.pass(Awaits::Describe);
        };
        if name.is_empty() {
            self.ensure_unnamed();
            return self.pass(Awaits::Describe);
        }
        match self.client.statements.get(name).cloned() {
            Some(held) => {
                self.ensure(&held.statement, held.stamp, Fate::Swallow);
                self.up.discard(total);
                write::describe_statement(self.up.out(), &held.statement.id.server_name());
                self.server.sent(Awaits::Describe, Fate::Forward, Some(held.statement.id), Undo::Nothing);
                Ok(Judged::Moved)
            }
            None if name.starts_with(PREFIX) => {
                self.up.discard(total);
                write::describe_statement(self.up.out(), NOWHERE);
                self.sent(Awaits::Describe, Fate::Forward, Undo::Nothing);
                Ok(Judged::Moved)
            }
            None => self.pass(Awaits::Describe),
        }
    }

    /// The server's copy stays, for others; PostgreSQL confirms the Close of a name that it doesn't have.
    fn close(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let Target::Statement(name) = read::target(frame.body, "Close")? else {
            // A cursor that outlives its transaction can be closed as a portal.
            self.client.touch.effects |= crate::sql::Effects::CLOSE;
            return self.pass(Awaits::Close);
        };
        if name.is_empty() {
            let client = self.client.statements.unnamed.take();
            let server = std::mem::take(&mut self.server.statements.unnamed);
            self.up.forward(total);
            self.sent(Awaits::Close, Fate::Forward, Undo::Unnamed { client: Some(client), server });
            return Ok(Judged::Moved);
        }
        let name: Box<[u8]> = name.into();
        let undo = match self.client.statements.remove(&name) {
            Some(held) => Undo::ClosedByClient { name, held },
            None if name.starts_with(PREFIX) => Undo::Nothing,
            None => {
                self.client.touch.effects |= crate::sql::Effects::STMT_REF;
                return self.pass(Awaits::Close);
            }
        };
        self.up.discard(total);
        write::close_statement(self.up.out(), NOWHERE);
        self.sent(Awaits::Close, Fate::Forward, undo);
        Ok(Judged::Moved)
    }

    /// A fault of ours in the middle of a batch: the server is made to fail at this place, so that it rolls
    /// back and skips to the Sync as it does for its own errors, and the client hears ours instead.
    fn fail_batch(&mut self, fault: Fault) -> Result<Judged, Fault> {
        write::bind_nothing(self.up.out(), b"", NOWHERE);
        self.sent(Awaits::Bind, Fate::Fault(Box::new(fault)), Undo::Nothing);
        Ok(Judged::Moved)
    }
}

/// The next message, once all of it is here; `None` while it isn't. What is longer than the buffer may grow is
/// handed out in part, since it has to stream.
fn whole(up: &Lane) -> Option<Frame<'_>> {
    let frame = up.frame().ok()??;
    (frame.is_whole() || Lane::must_stream(frame.total)).then_some(frame)
}

fn check_tag(tag: u8) -> Result<(), Fault> {
    match tag {
        f::QUERY | f::PARSE | f::BIND | f::DESCRIBE | f::CLOSE | f::EXECUTE | f::FUNCTION_CALL | f::FLUSH
        | f::COPY_DATA | f::COPY_DONE | f::COPY_FAIL => Ok(()),
        _ => Err(unexpected(tag)),
    }
}

/// A message type that no client may send here.
pub fn unexpected(tag: u8) -> Fault {
    Fault::ProtocolViolation(format!("invalid frontend message type {tag}"))
}
