//! Judging a client's Parse, Bind, Describe and Close: the messages that name prepared statements.

use std::sync::Arc;

use super::exchange::{Ensured, Exchange, Judged};
use super::replies::{Awaits, Fate, Undo};
use super::requests::whole;
use super::statements::client::Held;
use super::statements::server::Unnamed;
use super::statements::shared::{NOWHERE, PREFIX, Statement};
use crate::sql::{Effects, Extent};
use crate::wire::fault::Fault;
use crate::wire::frame::HEAD;
use crate::wire::read::{self, Target};
use crate::wire::write;

impl Exchange<'_> {
    pub(super) fn parse(&mut self) -> Result<Judged, Fault> {
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
        if !parse.name.is_empty() && self.is_name_in_doubt(parse.name) {
            return Ok(Judged::NeedsMore);
        }
        let dialect = self.client.settings.dialect;
        // Settings of the transaction only may change what the text means: then nobody else may share it.
        let statement = if self.server.params.same_as(&self.client.told) {
            self.shared.statements.intern(parse.definition, dialect, |text| self.analyse(text, Extent::Whole))
        } else {
            self.shared
                .statements
                .private(parse.definition.into(), dialect, |text| self.analyse(text, Extent::Whole))
        };
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

    fn parse_named(
        &mut self,
        name: Box<[u8]>,
        statement: Arc<Statement>,
        total: usize,
    ) -> Result<Judged, Fault> {
        self.up.discard(total);
        if let Some(held) = self.client.statements.get(&name).cloned() {
            return self.parse_used_name(name, &held, &statement);
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
    fn parse_used_name(
        &mut self,
        name: Box<[u8]>,
        held: &Held,
        statement: &Statement,
    ) -> Result<Judged, Fault> {
        self.ensure(&held.statement, held.stamp, Fate::Swallow);
        write::parse(self.up.out(), &held.statement.id.server_name(), &statement.definition);
        self.server.sent(Awaits::Parse, Fate::Forward, Some(held.statement.id), Undo::NameInUse { name });
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

    pub(super) fn bind(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let bind = read::bind(frame.body)?;
        let (names, portal) = (bind.names, Box::<[u8]>::from(bind.portal));
        if bind.statement.is_empty() {
            return self.bind_unnamed(total);
        }
        let name = bind.statement;
        if self.is_name_in_doubt(name) {
            return Ok(Judged::NeedsMore);
        }
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

    fn rebind(
        &mut self,
        portal: &[u8],
        name: &[u8],
        names: usize,
        total: usize,
        statement: Option<&Arc<Statement>>,
    ) {
        let rest = total - HEAD - names;
        self.up.discard(HEAD + names);
        write::bind_head(self.up.out(), portal, name, rest);
        self.up.forward(rest);
        self.server.sent(Awaits::Bind, Fate::Forward, statement.map(|statement| statement.id), Undo::Nothing);
    }

    fn bind_unnamed(&mut self, total: usize) -> Result<Judged, Fault> {
        if self.is_unnamed_in_doubt() {
            return Ok(Judged::NeedsMore);
        }
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

    pub(super) fn describe(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let Target::Statement(name) = read::target(frame.body, "Describe")? else {
            return self.pass(Awaits::Describe);
        };
        if name.is_empty() {
            if self.is_unnamed_in_doubt() {
                return Ok(Judged::NeedsMore);
            }
            self.ensure_unnamed();
            return self.pass(Awaits::Describe);
        }
        if self.is_name_in_doubt(name) {
            return Ok(Judged::NeedsMore);
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
    pub(super) fn close(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let Target::Statement(name) = read::target(frame.body, "Close")? else {
            // A cursor that outlives its transaction can be closed as a portal.
            self.client.touch.effects |= Effects::CLOSE;
            return self.pass(Awaits::Close);
        };
        if name.is_empty() {
            let client = self.client.statements.unnamed.take();
            let server = std::mem::take(&mut self.server.statements.unnamed);
            self.up.forward(total);
            self.sent(Awaits::Close, Fate::Forward, Undo::Unnamed { client: Some(client), server });
            return Ok(Judged::Moved);
        }
        if self.is_name_in_doubt(name) {
            return Ok(Judged::NeedsMore);
        }
        let name: Box<[u8]> = name.into();
        let undo = match self.client.statements.remove(&name) {
            Some(held) => Undo::ClosedByClient { name, held },
            None if name.starts_with(PREFIX) => Undo::Nothing,
            None => {
                self.client.touch.effects |= Effects::STMT_REF;
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
