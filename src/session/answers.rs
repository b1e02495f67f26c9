//! Judging what a server sends.

use memchr::memmem;

use super::client::APPLICATION_NAME;
use super::exchange::{Exchange, Judged, ServerViolation};
use super::replies::{About, Fate, Reply, Slot};
use super::server::Tx;
use super::statements::server::Rows;
use super::statements::shared::{PREFIX, Shape, StatementId};
use crate::sql::{Effects, tag_changes_catalog};
use crate::wire::error::{self, ErrorFields};
use crate::wire::fault::Phase;
use crate::wire::lane::{Frame, Lane};
use crate::wire::sqlstate::SqlState;
use crate::wire::tag::backend as b;
use crate::wire::write;

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
            b::NOTIFICATION_RESPONSE => return self.notification(total),
            b::COMMAND_COMPLETE => self.command_complete()?,
            b::ROW_DESCRIPTION | b::NO_DATA => self.described(tag)?,
            b::DATA_ROW | b::COPY_DATA => return self.data(tag, total),
            _ => match self.server.receive(tag)? {
                Reply::Aside { ours: true } if tag == b::NOTICE_RESPONSE => Pass::Drop,
                Reply::Aside { .. } | Reply::LateReady => Pass::On,
                Reply::More(slot) => pass(&slot.fate),
                Reply::Done(slot) | Reply::Failed(slot) => self.done(slot),
            },
        };
        self.move_on(pass, total);
        Ok(Judged::Moved)
    }

    /// A row, or data of a copy. None of them moves the queue on, so what is right for one is for all behind it.
    fn data(&mut self, tag: u8, total: usize) -> Result<Judged, ServerViolation> {
        let pass = match self.server.receive(tag)? {
            Reply::More(slot) => pass(&slot.fate),
            _ => Pass::On,
        };
        self.move_on(pass, total);
        if pass == Pass::On && !self.down.is_passing() {
            self.work.messages_down += self.down.forward_alike(tag);
        }
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
        let slot = match self.server.receive(tag)? {
            Reply::Done(slot) => slot,
            Reply::More(slot) => return Ok(pass(&slot.fate)),
            _ => return Ok(Pass::On),
        };
        let pass = pass(&slot.fate);
        let About::Statement(id, name) = &slot.about else { return Ok(pass) };
        let shape = if tag == b::NO_DATA { Some(Shape::NO_ROWS) } else { Shape::of(self.body()) };
        if let Some(shape) = shape {
            self.server.statements.set_rows(*id, name.is_empty(), Rows::Are(shape));
            if pass == Pass::On {
                self.client.statements.learn_shape(name, *id, shape);
            }
        }
        Ok(pass)
    }

    /// What the client's own server sent comes from the process that the client was told to be.
    fn notification(&mut self, total: usize) -> Result<Judged, ServerViolation> {
        self.server.receive(b::NOTIFICATION_RESPONSE)?;
        let sender = self.body().first_chunk().map(|pid| i32::from_be_bytes(*pid));
        if sender == Some(self.server.pid) && self.down.frame()?.is_some_and(|frame| frame.is_whole()) {
            let body = self.body()[size_of::<i32>()..].to_vec();
            self.down.discard(total);
            let pid = self.pid.to_be_bytes();
            write::message(self.down.out(), b::NOTIFICATION_RESPONSE, |out| {
                out.extend_from_slice(&pid);
                out.extend_from_slice(&body);
            });
        } else {
            self.down.forward(total);
        }
        Ok(Judged::Moved)
    }

    fn parameter_status(&mut self) -> Result<Pass, ServerViolation> {
        let Reply::Aside { ours } = self.server.receive(b::PARAMETER_STATUS)? else { return Ok(Pass::On) };
        let frame = self.down.frame()?.expect("judged just now");
        let name = self.server.report(frame.body)?;
        // A replay brought what the client was told already.
        if ours && self.client.told.get(&name) == self.server.params.get(&name) {
            return Ok(Pass::Drop);
        }
        if !self.shared.limits.track_state {
            return Ok(Pass::On);
        }
        // If no text told of it, a function did it, or the server's configuration changed.
        self.client.touch.add_name(&name);
        Ok(if name == APPLICATION_NAME { self.application_name() } else { Pass::On })
    }

    /// RESET gives the server's name, which is none, where the client's own is meant, which it will get.
    fn application_name(&mut self) -> Pass {
        let now = self.server.params.get(APPLICATION_NAME).unwrap_or_default();
        let (pass, now) = match self.client.application_name.as_deref() {
            Some(own) if now.is_empty() => (Pass::Drop, own),
            _ => (Pass::On, now),
        };
        if pass == Pass::Drop && self.client.told.get(APPLICATION_NAME) != Some(now) {
            write::parameter_status(self.down.out(), APPLICATION_NAME.as_bytes(), now.as_bytes());
        }
        self.client.told.set(APPLICATION_NAME, now, &self.server.hasher);
        pass
    }

    fn ready(&mut self) -> Result<Pass, ServerViolation> {
        let status = self.body().first().copied().unwrap_or(0);
        let tx = Tx::from_status(status).ok_or(ServerViolation::Status(status))?;
        let pass = match self.server.receive(b::READY_FOR_QUERY)? {
            Reply::Done(slot) => self.done(slot),
            _ => Pass::On,
        };
        if tx == Tx::Idle && pass == Pass::On {
            self.work.transactions += 1;
            self.client.touch.rely();
            // Before the client hears of it: whoever logs in afterwards must find it changed.
            if self.client.touch.effects.intersects(Effects::DEFAULTS) {
                self.shared.epochs.defaults_changed();
            }
        }
        self.server.tx = tx;
        if self.server.replies.is_empty() {
            self.server.unsynced = false;
            if tx == Tx::Idle {
                self.client.portals = None;
            }
        }
        Ok(pass)
    }

    fn command_complete(&mut self) -> Result<Pass, ServerViolation> {
        // SELECT, INSERT, UPDATE, BEGIN, FETCH … say nothing about the session.
        if !matches!(self.body().first(), Some(b'S' | b'I' | b'B' | b'F')) {
            self.follow_tag();
        }
        Ok(match self.server.receive(b::COMMAND_COMPLETE)? {
            Reply::Done(slot) => self.done(slot),
            Reply::More(slot) => pass(&slot.fate),
            _ => Pass::On,
        })
    }

    fn done(&mut self, slot: Slot) -> Pass {
        let pass = pass(&slot.fate);
        self.settle_done(slot.undo);
        pass
    }

    /// What a tag says for certain, whatever text it came from.
    fn follow_tag(&mut self) {
        let tag = self.body().strip_suffix(&[0]).unwrap_or_default();
        let effects = match tag {
            b"DEALLOCATE ALL" | b"DISCARD ALL" => {
                self.confirm_deallocated_all();
                Effects::DISCARD
            }
            b"DEALLOCATE" => {
                self.confirm_deallocated();
                Effects::STMT_REF
            }
            b"LISTEN" | b"UNLISTEN" => Effects::LISTEN,
            b"PREPARE" => Effects::SQLPREP,
            b"DECLARE CURSOR" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" => Effects::CLOSE,
            b"DO" | b"CALL" => Effects::OPAQUE,
            b"LOAD" => Effects::LOAD,
            _ if tag_changes_catalog(tag) => Effects::CATALOG,
            _ => return,
        };
        self.touch(effects);
    }
}

fn pass(fate: &Fate) -> Pass {
    match fate {
        Fate::Forward => Pass::On,
        Fate::Swallow | Fate::Hide | Fate::Fault(_) => Pass::Drop,
    }
}

// -- errors

/// Errors whose message may name a prepared statement: it isn't there, or is already; another number of
/// parameters, by Bind and by `EXECUTE`.
const NAMING: [SqlState; 4] = [
    SqlState::INVALID_STATEMENT_NAME,
    SqlState::DUPLICATE_STATEMENT,
    SqlState::PROTOCOL_VIOLATION,
    SqlState(*b"42601"),
];

impl Exchange<'_> {
    fn error(&mut self, total: usize) -> Result<Judged, ServerViolation> {
        let fields = ErrorFields::read(self.body());
        if fields.is_fatal() || self.server.replies.is_replaying() {
            return Ok(Judged::ServerEnds);
        }
        let code = fields.code;
        let received = match code {
            Some(SqlState::INTERNAL_ERROR) => self.server.replies.receive_internal_error(),
            _ => self.server.receive(b::ERROR_RESPONSE),
        };
        let (mut fate, about) = match received? {
            Reply::More(slot) => (slot.fate.clone(), slot.about.clone()),
            Reply::Failed(mut slot) => {
                let told = (slot.fate.clone(), std::mem::replace(&mut slot.about, About::Nothing));
                self.undo_failed(slot);
                told
            }
            _ => (Fate::Forward, About::Nothing),
        };
        // The plan's result type changed; or something unseen deallocated the statement.
        if matches!(code, Some(SqlState::FEATURE_NOT_SUPPORTED | SqlState::INVALID_STATEMENT_NAME))
            && let About::Statement(id, name) = &about
            && *id != StatementId::NOWHERE
            && !name.is_empty()
        {
            self.server.statements.doubt(*id);
        }
        if matches!(fate, Fate::Forward | Fate::Swallow) {
            self.errors.extend(code);
        }
        if code == Some(SqlState::QUERY_CANCELED)
            && let Some(reason) = self.client.cancel_reason.take()
        {
            fate = Fate::Fault(reason);
        }
        let translated = self.in_words_of_client(&about);
        self.tell(fate, translated, total);
        Ok(Judged::Moved)
    }

    fn tell(&mut self, fate: Fate, translated: Option<Vec<u8>>, total: usize) {
        match (fate, translated) {
            (Fate::Forward | Fate::Swallow, None) => self.down.forward(total),
            (Fate::Forward | Fate::Swallow, Some(body)) => {
                self.down.discard(total);
                write::message(self.down.out(), b::ERROR_RESPONSE, |out| out.extend_from_slice(&body));
            }
            (Fate::Hide, _) => self.down.discard(total),
            (Fate::Fault(fault), _) => {
                self.down.discard(total);
                error::write(self.down.out(), &fault, Phase::Session);
            }
        }
    }

    /// The error with the client's name for a statement, and with the position in the client's text; `None` if it
    /// is right as it is.
    fn in_words_of_client(&self, about: &About) -> Option<Vec<u8>> {
        if matches!(about, About::Nothing) {
            return None;
        }
        let Frame { body, .. } = self.down.frame().ok()?.filter(Frame::is_whole)?;
        let fields = ErrorFields::read(body);
        let named = fields.code.filter(|code| NAMING.contains(code)).and_then(|_| with_name(body, about));
        match fields.position.map(|position| (position, about.position_before(position))) {
            Some((told, before)) if told != before => {
                Some(error::with_position(named.as_deref().unwrap_or(body), before))
            }
            _ => named,
        }
    }
}

fn with_name(body: &[u8], about: &About) -> Option<Vec<u8>> {
    let start = memmem::find(body, PREFIX)?;
    let digits = &body[start + PREFIX.len()..];
    let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
    let id = StatementId(std::str::from_utf8(digits).ok()?.parse().ok()?);
    let name = about.name_of(id)?;
    Some([&body[..start], name, &body[start + PREFIX.len() + digits.len()..]].concat())
}
