//! One message between a client and its server: what is forwarded as is, what is put in front, renamed or
//! dropped, and what it changes in the maps of both.
//!
//! Borrows the two sides for one message and owns nothing. Messages towards the server are judged in
//! [`requests`](super::requests), those towards the client in [`answers`](super::answers).
//!
//! Invariant: every byte that goes to the server has its slot in the reply queue before the next message is
//! judged, and every change of a map can be undone by its slot.

use std::sync::Arc;

use super::client::ClientState;
use super::replies::{Awaits, Fate, Mismatch, Undo};
use super::server::Ledger;
use super::settings::Interner;
use super::statements::client::Held;
use super::statements::server::{Copy, Rows};
use super::statements::shared::{Registry, Stamp, Statement};
use crate::sql::{Analysis, Effects, Extent, NoWords, analyse};
use crate::wire::lane::Lane;
use crate::wire::sqlstate::SqlState;
use crate::wire::tag::frontend;
use crate::wire::write;

/// What all exchanges of a pool share.
#[derive(Debug)]
pub struct Shared {
    pub statements: Registry,
    pub settings: Interner,
    pub limits: Limits,
}

/// Budgets of one client, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One message that must be read whole.
    pub statement_size: usize,
    /// All that a client has prepared by name.
    pub client_statements: u64,
    /// Whether the session's state is tracked at all.
    pub track_state: bool,
}

/// What was done between two releases, for the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Of errors that PostgreSQL sent to the client.
    pub errors: Vec<SqlState>,
    pub queries: u64,
    pub transactions: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

pub struct Exchange<'a> {
    pub client: &'a mut ClientState,
    pub server: &'a mut Ledger,
    pub shared: &'a Shared,
    /// Client to server.
    pub up: &'a mut Lane,
    /// Server to client.
    pub down: &'a mut Lane,
    pub work: &'a mut Work,
}

/// What came of looking at the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There is none, or not enough of it.
    NeedsMore,
    /// It went its way.
    Moved,
    /// The client said goodbye.
    Goodbye,
    /// The server ends the connection with an error, which is still at the front of the lane.
    ServerEnds,
}

/// Whether a client's statement may be used on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    Ready,
    /// Not before the server has said what its rows look like.
    Asked,
    /// Its rows look otherwise than the client was told: "cached plan must not change result type".
    Changed,
}

/// The server broke the protocol: nothing that comes from it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerViolation {
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    BadLength(#[from] crate::wire::frame::BadLength),
    #[error(transparent)]
    Malformed(#[from] crate::wire::read::Malformed),
    #[error("unknown transaction status {0:?}")]
    Status(u8),
}

impl Exchange<'_> {
    pub(super) fn sent(&mut self, awaits: Awaits, fate: Fate, undo: Undo) {
        self.server.sent(awaits, fate, None, undo);
    }

    /// Makes sure that the server has `statement`, no older than `stamp`, by the time it reads what is
    /// written next.
    pub(super) fn ensure(&mut self, statement: &Arc<Statement>, stamp: Stamp, fate: Fate) {
        let pipeline = self.server.pipeline();
        if !self.server.statements.has(statement.id, stamp, pipeline) {
            self.close_copy(statement, fate.clone());
            self.parse_copy(statement, stamp, fate, None);
        }
    }

    /// As [`Self::ensure`], for a statement of the client's whose rows it may have been told of: it gets rows that
    /// look so or PostgreSQL's error, however young the server's copy is.
    pub(super) fn ensure_held(&mut self, held: &Held) -> Ensured {
        self.ensure(&held.statement, held.stamp, Fate::Swallow);
        let (id, Some(told)) = (held.statement.id, held.shape) else { return Ensured::Ready };
        match self.server.statements.rows(id) {
            Rows::Are(shape) if shape == told => Ensured::Ready,
            Rows::Are(_) => Ensured::Changed,
            Rows::Asked => Ensured::Asked,
            Rows::Unknown => {
                write::describe_statement(self.up.out(), &id.server_name());
                write::bare(self.up.out(), frontend::FLUSH);
                self.server.sent(Awaits::Describe, Fate::Swallow, Some(id), Undo::Asked { id });
                self.server.statements.set_rows(id, Rows::Asked);
                Ensured::Asked
            }
        }
    }

    /// Whether an unanswered batch decides what the client's `name` means, or whether the server has its statement.
    pub(super) fn is_name_in_doubt(&self, name: &[u8]) -> bool {
        let id = self.client.statements.get(name).map(|held| held.statement.id);
        self.server.replies.is_in_doubt(|undo| match undo {
            Undo::Parsed { name: Some(parsed), id: of } => **parsed == *name || Some(*of) == id,
            Undo::Parsed { name: None, id: of } | Undo::ClosedOnServer { id: of, .. } => Some(*of) == id,
            Undo::ClosedByClient { name: closed, .. } => **closed == *name,
            _ => false,
        })
    }

    /// As [`Self::is_name_in_doubt`], for the unnamed statement.
    pub(super) fn is_unnamed_in_doubt(&self) -> bool {
        self.server.replies.is_in_doubt(|undo| matches!(undo, Undo::Unnamed { .. }))
    }

    /// Closes the server's copy, if it has one.
    pub(super) fn close_copy(&mut self, statement: &Statement, fate: Fate) {
        if let Some(copy) = self.server.statements.remove(statement.id) {
            write::close_statement(self.up.out(), &statement.id.server_name());
            self.sent(Awaits::Close, fate, Undo::ClosedOnServer { id: statement.id, copy });
        }
    }

    /// Parses `statement` under its name on servers; `name` is the client's, if the Parse is the client's own.
    pub(super) fn parse_copy(
        &mut self,
        statement: &Statement,
        stamp: Stamp,
        fate: Fate,
        name: Option<Box<[u8]>>,
    ) {
        write::parse(self.up.out(), &statement.id.server_name(), &statement.definition);
        self.server.sent(Awaits::Parse, fate, Some(statement.id), Undo::Parsed { name, id: statement.id });
        let pipeline = self.server.pipeline();
        self.server.statements.insert(statement.id, Copy { stamp, pipeline, rows: Rows::Unknown });
        while let Some((id, copy)) = self.server.statements.evict(pipeline) {
            write::close_statement(self.up.out(), &id.server_name());
            self.sent(Awaits::Close, Fate::Swallow, Undo::ClosedOnServer { id, copy });
        }
    }

    /// What a text may do to its session. While the way in which texts are read may just be changing, so may
    /// anything else.
    pub(super) fn analyse(&self, text: &[u8], extent: Extent) -> Analysis {
        if !self.shared.limits.track_state {
            return Analysis::default();
        }
        let mut analysis = analyse(text, self.server.params.dialect(), extent, &NoWords);
        if self.client.touch.changes_dialect() {
            analysis.effects |= Effects::OPAQUE;
        }
        analysis
    }
}
