//! Judging what a client sends in the extended protocol.
//!
//! A message that names a statement is judged only when it is certain what the name means; see
//! [`segments`](super::segments).

use std::sync::Arc;

use super::ensure::Ensured;
use super::exchange::{Exchange, Judged};
use super::names;
use super::replies::{About, Awaits, Fate, Slot, Undo};
use super::requests::whole;
use super::statements::client::Held;
use super::statements::server::{Rows, Unnamed};
use super::statements::shared::{NOWHERE, PREFIX, Statement, StatementId};
use crate::sql::{Effects, Extent};
use crate::wire::fault::Fault;
use crate::wire::frame::HEAD;
use crate::wire::lane::Frame;
use crate::wire::read::{self, Malformed, Target};
use crate::wire::write;

/// Names in a Bind, in bytes: far more than PostgreSQL tells apart.
const LONGEST_NAMES: usize = 4096;

/// What a name in Bind, Describe or Close means.
enum Named {
    /// The client prepared it.
    Ours(Arc<[u8]>, Held),
    /// It looks like one of ours, but the client has none of that name.
    Nowhere(Arc<[u8]>),
    /// Perhaps it was prepared by SQL; the server knows.
    Theirs,
}

// -- Parse

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
        let statement = self.statement_of(parse.definition);
        let needs_names = !parse.name.is_empty() || names::are_meant_by(&statement.analysis);
        if needs_names && !self.server.replies.names_are_certain() {
            return Ok(Judged::Waits);
        }
        if parse.name.is_empty() {
            return self.parse_unnamed(statement, total);
        }
        let name: Arc<[u8]> = parse.name.into();
        self.up.discard(total);
        self.parse_named(name, statement)
    }

    /// Settings that were just changed, or that hold for the transaction only, may change what the text means: then
    /// nobody else may share it.
    pub(super) fn statement_of(&self, definition: &[u8]) -> Arc<Statement> {
        let (statements, origin) = (&self.shared.statements, &self.client.settings);
        let read = |text: &[u8]| self.read(text, Extent::Whole);
        match self.server.params.same_as(&self.client.told) && !self.client.touch.changes_meaning() {
            true => statements.intern(definition, origin, read),
            false => statements.private(definition.into(), None, read),
        }
    }

    fn parse_unnamed(&mut self, statement: Arc<Statement>, total: usize) -> Result<Judged, Fault> {
        let copy = self.for_server(&statement);
        let (id, stamp) = (copy.id, copy.next_stamp());
        if Arc::ptr_eq(&copy, &statement) {
            self.up.forward(total);
        } else {
            self.up.discard(total);
            write::parse(self.up.out(), b"", &copy.definition);
        }
        let client = self.client.statements.unnamed.replace(Held { statement, stamp, shape: None });
        self.server.statements.unnamed = Unnamed::Is(id, stamp, Rows::Unknown);
        self.sent(Awaits::Parse, Fate::Forward, Undo::Unnamed { client: Some(client) });
        Ok(Judged::Moved)
    }

    fn parse_named(&mut self, name: Arc<[u8]>, statement: Arc<Statement>) -> Result<Judged, Fault> {
        if self.client.statements.contains(&name) {
            return self.parse_used_name(name, &statement);
        }
        let limit = self.shared.limits.client_statements;
        if self.client.statements.bytes() + statement.definition.len() as u64 > limit {
            return self.fail_batch(Fault::StatementBudget { limit });
        }
        let copy = self.for_server(&statement);
        let stamp = copy.next_stamp();
        self.try_name(&name, &copy);
        self.client.statements.insert(name.clone(), Held { statement, stamp, shape: None });
        self.parse_copy(&copy, stamp, Fate::Forward, Some(name));
        Ok(Judged::Moved)
    }

    /// If SQL may have prepared a statement of this name, PostgreSQL says "already exists", behind what else is wrong
    /// with the text.
    fn try_name(&mut self, name: &[u8], statement: &Statement) {
        let prepared_by_sql = self.client.pins.residue.sql_statements > 0
            || self.client.touch.effects.intersects(Effects::SQLPREP.or(Effects::OPAQUE));
        if prepared_by_sql && !name.starts_with(PREFIX) {
            write::parse(self.up.out(), name, &statement.definition);
            self.sent(Awaits::Parse, Fate::Swallow, Undo::Nothing);
            write::close_statement(self.up.out(), name);
            self.sent(Awaits::Close, Fate::Swallow, Undo::Nothing);
        }
    }

    /// PostgreSQL says "already exists", or what else is wrong with the text.
    fn parse_used_name(&mut self, name: Arc<[u8]>, statement: &Statement) -> Result<Judged, Fault> {
        let taken = StatementId::scratch(0);
        self.parse_scratch(taken, Fate::Swallow);
        write::parse(self.up.out(), &taken.server_name(), &statement.definition);
        self.sent_about(Awaits::Parse, taken, name);
        Ok(Judged::Moved)
    }
}

// -- Bind, Execute

impl Exchange<'_> {
    pub(super) fn bind(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let (total, bind) = match read::bind(frame.body) {
            Ok(bind) => (frame.total, bind),
            Err(_) if !frame.is_whole() && frame.body.len() < LONGEST_NAMES => return Ok(Judged::NeedsMore),
            Err(error) => return Err(error.into()),
        };
        let (names, portal) = (bind.names, Box::<[u8]>::from(bind.portal));
        if bind.statement.is_empty() {
            return self.bind_unnamed(&portal, total);
        }
        let Some(named) = self.look_up(bind.statement) else { return Ok(Judged::Waits) };
        match named {
            Named::Ours(name, held) => {
                let id = match self.ensure_as_told(&name, held.clone()) {
                    Ensured::Ready(id) => id,
                    Ensured::Asked => return Ok(Judged::Waits),
                    Ensured::Changed => return self.plan_changed(total),
                };
                self.touch_statement(&held.statement, &Fate::Swallow);
                self.bound(&portal, Some(&held.statement));
                self.rebind(&portal, &id.server_name(), names, total);
                self.sent_about(Awaits::Bind, id, name);
            }
            Named::Nowhere(name) => {
                self.bound(&portal, None);
                self.rebind(&portal, NOWHERE, names, total);
                self.sent_about(Awaits::Bind, StatementId::NOWHERE, name);
            }
            Named::Theirs => {
                self.bound(&portal, None);
                return self.pass(Awaits::Bind);
            }
        }
        Ok(Judged::Moved)
    }

    fn rebind(&mut self, portal: &[u8], name: &[u8], names: usize, total: usize) {
        let rest = total - HEAD - names;
        self.up.discard(HEAD + names);
        write::bind_head(self.up.out(), portal, name, rest);
        self.up.forward(rest);
    }

    fn bind_unnamed(&mut self, portal: &[u8], total: usize) -> Result<Judged, Fault> {
        let Some(id) = self.ensure_unnamed() else { return Ok(Judged::Waits) };
        let held = self.client.statements.unnamed.as_ref();
        let (statement, told) = held.map(|held| (held.statement.clone(), held.shape)).unzip();
        match self.as_told(id, b"", told.flatten()) {
            Ensured::Ready(_) => {}
            Ensured::Asked => return Ok(Judged::Waits),
            Ensured::Changed => return self.plan_changed(total),
        }
        if let Some(statement) = &statement {
            self.touch_statement(statement, &Fate::Swallow);
        }
        self.bound(portal, statement.as_ref());
        self.up.forward(total);
        self.sent(Awaits::Bind, Fate::Forward, Undo::Nothing);
        Ok(Judged::Moved)
    }

    pub(super) fn execute(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        if self.client.portals.is_none() {
            self.work.queries += 1;
            return self.pass(Awaits::Execute);
        }
        let total = frame.total;
        let (portal, _) = read::text(frame.body).ok_or(Malformed("Execute"))?;
        let Some((about, undo)) = self.execution_of(&Box::<[u8]>::from(portal)) else {
            return Ok(Judged::Waits);
        };
        self.work.queries += 1;
        self.up.forward(total);
        self.server.sent(Slot::new(Awaits::Execute, Fate::Forward, about, undo));
        Ok(Judged::Moved)
    }
}

// -- Describe, Close

impl Exchange<'_> {
    pub(super) fn describe(&mut self) -> Result<Judged, Fault> {
        let Some(frame) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let total = frame.total;
        let Target::Statement(name) = read::target(frame.body, "Describe")? else {
            return self.pass(Awaits::Describe);
        };
        if name.is_empty() {
            let Some(id) = self.ensure_unnamed() else { return Ok(Judged::Waits) };
            self.up.forward(total);
            self.sent_about(Awaits::Describe, id, Arc::default());
            return Ok(Judged::Moved);
        }
        let Some(named) = self.look_up(name) else { return Ok(Judged::Waits) };
        let (id, name) = match named {
            Named::Ours(name, held) => match self.ensure_as_told(&name, held) {
                Ensured::Ready(id) => (id, name),
                Ensured::Asked => return Ok(Judged::Waits),
                Ensured::Changed => return self.plan_changed(total),
            },
            Named::Nowhere(name) => (StatementId::NOWHERE, name),
            Named::Theirs => return self.pass(Awaits::Describe),
        };
        self.up.discard(total);
        write::describe_statement(self.up.out(), &id.server_name());
        self.sent_about(Awaits::Describe, id, name);
        Ok(Judged::Moved)
    }

    /// The server's copy stays, for others; PostgreSQL confirms the Close of a name that it doesn't have.
    pub(super) fn close(&mut self) -> Result<Judged, Fault> {
        let Some(Frame { total, body, .. }) = whole(self.up) else { return Ok(Judged::NeedsMore) };
        let Target::Statement(name) = read::target(body, "Close")? else {
            // A cursor that outlives its transaction can be closed as a portal.
            self.touch(Effects::CLOSE);
            return self.pass(Awaits::Close);
        };
        if name.is_empty() {
            let undo = self.drop_unnamed();
            return self.pass_with(Awaits::Close, undo);
        }
        let Some(named) = self.look_up(name) else { return Ok(Judged::Waits) };
        let undo = match named {
            Named::Ours(name, held) => {
                self.client.statements.remove(&name);
                Undo::NameClosed { name, held }
            }
            Named::Nowhere(_) => Undo::Nothing,
            Named::Theirs => {
                self.touch(Effects::STMT_REF);
                return self.pass(Awaits::Close);
            }
        };
        self.up.discard(total);
        write::close_statement(self.up.out(), NOWHERE);
        self.sent(Awaits::Close, Fate::Forward, undo);
        Ok(Judged::Moved)
    }
}

// -- what they share

impl Exchange<'_> {
    /// `None` while it isn't certain what the client's names mean.
    fn look_up(&self, name: &[u8]) -> Option<Named> {
        if !self.server.replies.names_are_certain() {
            return None;
        }
        Some(match self.client.statements.get(name) {
            Some((name, held)) => Named::Ours(name.clone(), held.clone()),
            None if name.starts_with(PREFIX) => Named::Nowhere(name.into()),
            None => Named::Theirs,
        })
    }

    fn sent_about(&mut self, awaits: Awaits, id: StatementId, name: Arc<[u8]>) {
        let about = About::Statement(id, name);
        self.server.sent(Slot::new(awaits, Fate::Forward, about, Undo::Nothing));
    }

    /// A message that uses a statement whose rows look otherwise than the client was told.
    fn plan_changed(&mut self, total: usize) -> Result<Judged, Fault> {
        self.up.discard(total);
        self.fail_batch(Fault::PlanChanged)
    }

    /// A fault of ours in the middle of a batch: the server is made to fail at this place, so that it rolls
    /// back and skips to the Sync as it does for its own errors, and the client hears ours instead.
    fn fail_batch(&mut self, fault: Fault) -> Result<Judged, Fault> {
        write::bind_nothing(self.up.out(), b"", NOWHERE);
        self.sent(Awaits::Bind, Fate::Fault(Box::new(fault)), Undo::Nothing);
        Ok(Judged::Moved)
    }
}
