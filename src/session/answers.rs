//! Judging what a server sends.

use std::sync::Arc;

use memchr::memmem;

use super::exchange::{Exchange, Judged, ServerViolation};
use super::replies::{Awaits, Fate, Reply, Slot, Undo};
use super::server::Tx;
use super::statements::server::{Rows, Unnamed};
use super::statements::shared::{PREFIX, Shape, Statement, StatementId};
use crate::sql::Effects;
use crate::wire::error::{self, ErrorFields};
use crate::wire::fault::Phase;
use crate::wire::lane::{Frame, Lane};
use crate::wire::read;
use crate::wire::sqlstate::SqlState;
use crate::wire::tag::backend as b;

/// Whether a frame is passed on, once it has been judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    On,
    Drop,
}

impl Exchange<'_> {
    /// Judges the server's next message.
    pub fn answer(&mut self) -> Result<Judged, ServerViolation> {
        let Some(frame) = self.down.frame()? else { return Ok(Judged::NeedsMore) };
        let (tag, total) = (frame.tag, frame.total);
        if !frame.is_whole() && !Lane::must_stream(total) {
            return Ok(Judged::NeedsMore);
        }
        let pass = match tag {
            b::ERROR_RESPONSE => return self.error(total),
            b::PARAMETER_STATUS => self.parameter_status()?,
            b::READY_FOR_QUERY => self.ready()?,
            b::COMMAND_COMPLETE => self.command_complete()?,
            b::ROW_DESCRIPTION | b::NO_DATA => self.described(tag)?,
            _ => match self.server.replies.receive(tag)? {
                Reply::Aside { ours: true } if tag == b::NOTICE_RESPONSE => Pass::Drop,
                Reply::Aside { .. } | Reply::LateReady => Pass::On,
                Reply::More(slot) => pass(&slot.fate),
                Reply::Done(slot) | Reply::Failed(slot) => pass(&slot.fate),
            },
        };
        self.move_on(pass, total);
        Ok(Judged::Moved)
    }

    fn move_on(&mut self, pass: Pass, total: usize) {
        match pass {
            Pass::On => self.down.forward(total),
            Pass::Drop => self.down.discard(total),
        }
    }

    fn body(&self) -> &[u8] {
        self.down.frame().ok().flatten().map_or(&[], |Frame { body, .. }| body)
    }

    /// What a statement's rows look like: known of the server's copy from now on, and told to the client if it
    /// asked.
    fn described(&mut self, tag: u8) -> Result<Pass, ServerViolation> {
        let (pass, id) = match self.server.replies.receive(tag)? {
            Reply::Done(slot) => (pass(&slot.fate), slot.statement),
            Reply::More(slot) => (pass(&slot.fate), None),
            _ => (Pass::On, None),
        };
        let shape =
            if tag == b::NO_DATA { Some(Shape::NO_ROWS) } else { id.and_then(|_| Shape::of(self.body())) };
        if let (Some(id), Some(shape)) = (id, shape) {
            self.server.statements.set_rows(id, Rows::Are(shape));
            if pass == Pass::On {
                self.client.statements.learn_shape(id, shape);
            }
        }
        Ok(pass)
    }

    fn parameter_status(&mut self) -> Result<Pass, ServerViolation> {
        let Reply::Aside { ours } = self.server.replies.receive(b::PARAMETER_STATUS)? else {
            return Ok(Pass::On);
        };
        let frame = self.down.frame()?.expect("judged just now");
        let (name, value) = read::parameter_status(frame.body)?;
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        self.server.params.set(&name, &value, &self.server.hasher);
        if !ours && self.shared.limits.track_state && self.client.touch.effects.is_empty() {
            // Nothing in the text told of it: a function did it, or the server's configuration changed.
            self.client.touch.add_name(&name);
        }
        Ok(if ours { Pass::Drop } else { Pass::On })
    }

    fn ready(&mut self) -> Result<Pass, ServerViolation> {
        let status = self.body().first().copied().unwrap_or(0);
        let tx = Tx::from_status(status).ok_or(ServerViolation::Status(status))?;
        let pass = match self.server.replies.receive(b::READY_FOR_QUERY)? {
            Reply::Done(slot) => pass(&slot.fate),
            _ => Pass::On,
        };
        if tx == Tx::Idle && pass == Pass::On {
            self.work.transactions += 1;
        }
        self.server.tx = tx;
        if self.server.replies.is_empty() {
            self.server.unsynced = false;
            self.client.deallocating.clear();
        }
        Ok(pass)
    }

    fn command_complete(&mut self) -> Result<Pass, ServerViolation> {
        let pass = match self.server.replies.receive(b::COMMAND_COMPLETE)? {
            Reply::Done(slot) => pass(&slot.fate),
            Reply::More(slot) => pass(&slot.fate),
            _ => Pass::On,
        };
        // SELECT, INSERT, UPDATE, BEGIN, FETCH … say nothing about the session.
        if !matches!(self.body().first(), Some(b'S' | b'I' | b'B' | b'F')) {
            self.follow_tag();
        }
        Ok(pass)
    }

    /// What a tag says for certain, whatever text it came from.
    fn follow_tag(&mut self) {
        let tag = self.body().strip_suffix(&[0]).unwrap_or_default();
        let effects = match tag {
            b"DEALLOCATE ALL" | b"DISCARD ALL" => {
                self.deallocated_all();
                Effects::DISCARD
            }
            b"LISTEN" | b"UNLISTEN" => Effects::LISTEN,
            b"PREPARE" => Effects::SQLPREP,
            b"DEALLOCATE" => {
                self.deallocated();
                Effects::SQLPREP
            }
            b"DECLARE CURSOR" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" => Effects::CLOSE,
            b"DO" | b"CALL" => Effects::OPAQUE,
            b"LOAD" => Effects::LOAD,
            _ => return,
        };
        if self.shared.limits.track_state {
            self.client.touch.effects |= effects;
        }
    }

    /// The oldest statement that SQL was about to deallocate is gone; the server's copy with it.
    fn deallocated(&mut self) {
        if !self.client.deallocating.is_empty() {
            let (_, held) = self.client.deallocating.remove(0);
            self.server.statements.mark_stale(held.statement.id);
        }
    }

    fn deallocated_all(&mut self) {
        self.server.questions = 0;
        let replies = &self.server.replies;
        let parsed_behind = |wanted: &dyn Fn(&Undo) -> bool| replies.slots().any(|slot| wanted(&slot.undo));
        self.client.statements.retain(|name| {
            parsed_behind(
                &|undo| matches!(undo, Undo::Parsed { name: Some(parsed), .. } if **parsed == *name),
            )
        });
        self.server.statements.retain(|id| {
            parsed_behind(&|undo| matches!(undo, Undo::Parsed { id: parsed, .. } if *parsed == id))
        });
    }
}

fn pass(fate: &Fate) -> Pass {
    match fate {
        Fate::Forward => Pass::On,
        Fate::Swallow | Fate::Hide | Fate::Fault(_) => Pass::Drop,
    }
}

// -- errors

impl Exchange<'_> {
    fn error(&mut self, total: usize) -> Result<Judged, ServerViolation> {
        let fields = ErrorFields::read(self.body());
        if fields.is_fatal() {
            return Ok(Judged::ServerEnds);
        }
        let code = fields.code;
        let cancelled = code == Some(SqlState::QUERY_CANCELED);
        let stale_plan = code == Some(SqlState::FEATURE_NOT_SUPPORTED);
        for (name, held) in std::mem::take(&mut self.client.deallocating) {
            self.client.statements.insert(name, held);
        }
        let mut name = None;
        let received = match code {
            Some(SqlState::INTERNAL_ERROR) => self.server.replies.receive_internal_error(),
            _ => self.server.replies.receive(b::ERROR_RESPONSE),
        };
        let (mut fate, statement) = match received? {
            Reply::More(slot) => (slot.fate.clone(), None),
            Reply::Failed(slot) => {
                let told = (slot.fate.clone(), slot.statement);
                if let Undo::NameInUse { name: used } = &slot.undo {
                    name = Some(used.clone());
                }
                self.undo_skipped();
                self.undo_failed(slot);
                told
            }
            _ => (Fate::Forward, None),
        };
        if let (true, Some(id)) = (stale_plan, statement) {
            self.server.statements.mark_stale(id);
        }
        if matches!(fate, Fate::Forward | Fate::Swallow) {
            self.work.errors.extend(code);
        }
        if cancelled && let Some(reason) = self.client.cancel_reason.take() {
            fate = Fate::Fault(reason);
        }
        self.tell(fate, name.as_deref(), statement, total);
        Ok(Judged::Moved)
    }

    fn tell(&mut self, fate: Fate, name: Option<&[u8]>, statement: Option<StatementId>, total: usize) {
        match fate {
            Fate::Forward | Fate::Swallow => match self.with_names_of_client(name, statement) {
                Some(renamed) => {
                    self.down.discard(total);
                    self.down.out().extend_from_slice(&renamed);
                }
                None => self.down.forward(total),
            },
            Fate::Hide => self.down.discard(total),
            Fate::Fault(fault) => {
                self.down.discard(total);
                error::write(self.down.out(), &fault, Phase::Session);
            }
        }
    }

    /// The error with the client's statement names in place of the servers'; `None` if it names none.
    fn with_names_of_client(&self, name: Option<&[u8]>, statement: Option<StatementId>) -> Option<Vec<u8>> {
        let body = self.body();
        let at = memmem::find(body, PREFIX)?;
        let digits = body[at + PREFIX.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + PREFIX.len() + digits;
        let named = std::str::from_utf8(&body[at + PREFIX.len()..end]).ok()?.parse().ok().map(StatementId);
        let name = name.or_else(|| self.client.statements.name_of(named.or(statement)?))?;
        let renamed = [&body[..at], name, &body[end..]].concat();
        let mut message = Vec::with_capacity(renamed.len() + 5);
        crate::wire::write::message(&mut message, b::ERROR_RESPONSE, |out| out.extend_from_slice(&renamed));
        Some(message)
    }

    /// The server is gone: nothing that it still owed has happened.
    pub fn abandon(&mut self) {
        let owed: Vec<Slot> = self.server.replies.abandon().collect();
        for slot in owed {
            self.undo(slot.undo);
        }
        for (name, held) in std::mem::take(&mut self.client.deallocating) {
            self.client.statements.insert(name, held);
        }
    }

    fn undo_skipped(&mut self) {
        while let Some(slot) = self.server.replies.skipped() {
            self.undo(slot.undo);
        }
    }

    /// The request itself failed: what a failed Parse leaves behind is not what was there before.
    fn undo_failed(&mut self, slot: Slot) {
        match (slot.awaits, slot.undo) {
            (Awaits::Parse, Undo::Unnamed { client, .. }) => {
                if client.is_some() {
                    self.client.statements.unnamed = None;
                }
                self.server.statements.unnamed = Unnamed::Absent;
            }
            (_, undo) => self.undo(undo),
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing | Undo::NameInUse { .. } => {}
            Undo::Asked { id } => self.server.statements.set_rows(id, Rows::Unknown),
            Undo::Parsed { name, id } => {
                self.server.statements.remove(id);
                if let Some(name) = name {
                    self.client.statements.remove(&name);
                }
            }
            Undo::Unnamed { client, server } => {
                if let Some(client) = client {
                    self.restore_unnamed(client);
                }
                self.server.statements.unnamed = server;
            }
            Undo::ClosedByClient { name, held } => self.client.statements.insert(name, held),
            Undo::ClosedOnServer { id, copy } => self.server.statements.insert(id, copy),
        }
    }

    fn restore_unnamed(&mut self, statement: Option<Arc<Statement>>) {
        self.client.statements.unnamed = statement;
    }
}
