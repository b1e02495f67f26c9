//! What one server connection has and owes: reply queue, transaction, statements, reported parameters.

use std::borrow::Cow;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::params::Params;
use super::replies::{Awaits, Mismatch, Replies, Reply, Slot};
use super::sequences::Mark;
use super::settings::Settings;
use super::statements::server::ServerStatements;
use crate::catalog::Change;
use crate::wire::read::{self, Malformed};
use crate::wire::tag::backend;

/// The transaction status of the last ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tx {
    Idle,
    Open,
    Failed,
}

impl Tx {
    pub fn from_status(status: u8) -> Option<Self> {
        match status {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Open),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

/// No client is told this process id.
pub const NOBODY: i32 = 0;

#[derive(Debug)]
pub struct Ledger {
    /// The backend's process id; 0 if it told none.
    pub pid: i32,
    pub replies: Replies,
    pub tx: Tx,
    /// Extended messages were sent since the last Sync: an implicit transaction may be open.
    pub unsynced: bool,
    pub statements: ServerStatements,
    pub params: Params,
    /// The settings that this session has on top of its startup; `None` while it isn't known.
    pub settings: Option<Arc<Settings>>,
    /// A change of the catalogue that its client may commit. It is over when it is settled, or with the backend.
    pub change: Option<Change>,
    /// Cancel requests on their way to this backend; whoever sends one counts it down when it has arrived.
    pub cancels: Arc<AtomicU32>,
    /// A Query was sent into an unfinished extended batch: PostgreSQL 18 is left in a state then that its next user
    /// would stumble over.
    pub mixed: bool,
    /// One bit for each statement of our own that the session has (`settle`).
    pub questions: u8,
    /// Whose session may have custom settings that nobody knows by name, by the process id that the client was told.
    pub nameless: Option<i32>,
    /// The last use of a sequence; `None` where none was used.
    pub sequences: Option<Mark>,
    pub hasher: RandomState,
}

impl Ledger {
    pub fn new(params: Params, hasher: RandomState, statements: u32, settings: Arc<Settings>) -> Self {
        Self {
            pid: 0,
            replies: Replies::default(),
            tx: Tx::Idle,
            unsynced: false,
            statements: ServerStatements::new(statements as usize),
            params,
            settings: Some(settings),
            change: None,
            cancels: Arc::default(),
            mixed: false,
            questions: 0,
            nameless: None,
            sequences: None,
            hasher,
        }
    }

    /// Notes a message that was just written for the server.
    pub fn sent(&mut self, mut slot: Slot) {
        slot.in_batch = slot.awaits == Awaits::Query && self.unsynced;
        self.mixed |= slot.in_batch;
        match slot.awaits {
            // One that a copy reads ends nothing.
            Awaits::Sync => self.unsynced &= self.replies.is_copying_in(),
            Awaits::Query | Awaits::FunctionCall | Awaits::CopyEnd => {}
            _ => self.unsynced = true,
        }
        self.replies.sent(slot);
    }

    /// Notes a message of type `got` that came from the server.
    pub fn receive(&mut self, got: u8) -> Result<Reply<'_>, Mismatch> {
        if got == backend::COPY_IN_RESPONSE
            && self.replies.front().is_some_and(|slot| slot.awaits == Awaits::Execute)
        {
            // The copy is about to read the Syncs next to it, if there are any.
            self.unsynced = true;
        }
        self.replies.receive(got)
    }

    /// Takes in a ParameterStatus; gives the parameter's name.
    pub fn report<'a>(&mut self, body: &'a [u8]) -> Result<Cow<'a, str>, Malformed> {
        let (name, value) = read::parameter_status(body)?;
        let name = String::from_utf8_lossy(name);
        self.params.set(&name, &String::from_utf8_lossy(value), &self.hasher);
        Ok(name)
    }

    /// Nothing is owed, no transaction is open, explicit or implicit.
    pub fn is_at_rest(&self) -> bool {
        self.tx == Tx::Idle && !self.unsynced && self.replies.is_empty() && !self.replies.is_skipping()
    }
}
