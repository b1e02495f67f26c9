//! Everything that pgweir itself tells a client when something went wrong: one arm a cause, each with its
//! SQLSTATE, its severity and a sentence that helps. `docs/errors.md` is held against this file.
//!
//! Errors about statements, names and settings come from PostgreSQL and never from here.

use std::time::Duration;

use thiserror::Error;

use super::sqlstate::SqlState;

/// Whether the connection survives the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement fails, the session goes on.
    Error,
    /// The connection is closed behind the message.
    Fatal,
}

/// Where in a client's life the fault is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first ReadyForQuery: everything is fatal.
    Login,
    /// Afterwards.
    Session,
}

/// A fault as a client hears it. Text in the arms never holds another user's name, SQL or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("pgweir: protocol violation: {0}")]
    ProtocolViolation(String),
    #[error("pgweir: unsupported frontend protocol {major}.{minor}: 3.0 to 3.2 are supported")]
    UnsupportedProtocol { major: u16, minor: u16 },
    #[error("pgweir: {0} is not supported")]
    Unsupported(&'static str),
    /// One text for every identity that doesn't get in.
    #[error("password authentication failed for user \"{user}\"")]
    LoginFailed { user: String },
    /// Nothing of the reason: who hears it has not logged in.
    #[error("pgweir: users can't be looked up now")]
    UsersUnknown,
    #[error("pgweir: connection refused by rule: {0}")]
    RefusedByRule(&'static str),
    /// `whom`: host, user, database and encryption, in PostgreSQL's words.
    #[error("pgweir: no HBA rule for {whom}")]
    NoRule { whom: String },
    #[error("pgweir: an HBA rule rejects connection for {whom}")]
    RejectedByRule { whom: String },
    /// A certificate, or the owner of a process, is somebody else's.
    #[error("{method} authentication failed for user \"{user}\"")]
    NotThisUser { method: &'static str, user: String },
    #[error("database \"{0}\" does not exist")]
    UnknownDatabase(String),
    #[error("pgweir: login took longer than {} s", .0.as_secs_f32())]
    LoginTimeout(Duration),
    #[error("pgweir: all {limit} client connections are in use")]
    TooManyClients { limit: u32 },
    #[error("pgweir: {limit} clients are logging in already")]
    TooManyLogins { limit: u32 },
    #[error("pgweir: {limit} clients are logging in from this address already")]
    TooManyLoginsHere { limit: u32 },
    /// It made room for another.
    #[error("pgweir: {limit} clients are logging in, and this one has taken the longest")]
    LoginDisplaced { limit: u32 },
    #[error("pgweir: pool {pool}: all {size} servers are busy and {limit} clients wait already")]
    QueueFull { pool: String, size: u32, limit: u32 },
    #[error("pgweir: pool {pool}: no server became free within {} s", .waited.as_secs_f32())]
    QueueTimeout { pool: String, size: u32, pins: String, waited: Duration },
    #[error("pgweir: pool {pool}: the server can't be reached: {why}")]
    ServerUnreachable { pool: String, why: String },
    /// PostgreSQL's own refusal of a server that the client needs.
    #[error("{message}")]
    Rejected { sqlstate: SqlState, message: String },
    /// PostgreSQL's words: the statement was parsed anew on another server, where its rows look otherwise than the
    /// client was told. Drivers know it by its routine and prepare again.
    #[error("cached plan must not change result type")]
    PlanChanged,
    #[error("canceling statement due to user request")]
    Cancelled,
    #[error("pgweir: canceling statement due to query timeout ({} s)", .0.as_secs_f32())]
    QueryTimeout(Duration),
    #[error("pgweir: terminating connection due to transaction timeout ({} s)", .0.as_secs_f32())]
    TransactionTimeout(Duration),
    #[error("pgweir: terminating connection due to idle-in-transaction timeout ({} s)", .0.as_secs_f32())]
    IdleInTransaction(Duration),
    #[error("pgweir: terminating connection due to idle client timeout ({} s)", .0.as_secs_f32())]
    IdleClient(Duration),
    /// PostgreSQL's words: the client's own `idle_session_timeout` is over.
    #[error("terminating connection due to idle-session timeout")]
    IdleSession(Duration),
    #[error("pgweir: terminating connection: the client has not taken its answer for {} s", .0.as_secs_f32())]
    WriteStall(Duration),
    #[error("pgweir: terminating connection: more than {limit} bytes of notifications wait for the client")]
    SlowListener { limit: usize },
    #[error("pgweir: terminating connection: the shared listener was lost, and notifications may be missing")]
    NotificationsLost,
    #[error("pgweir: server connection lost: the transaction was not committed")]
    ServerLost,
    #[error("pgweir: server connection lost, and with it what the session kept there: {held}")]
    SessionLost { held: String },
    #[error("pgweir: server connection lost while a commit was in flight: the outcome is unknown")]
    CommitInDoubt,
    #[error("pgweir: transactions of several statements are not allowed in statement pooling mode")]
    StatementMode,
    #[error("terminating connection due to administrator command")]
    Shutdown,
    #[error("pgweir: {what} of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    #[error("pgweir: statement budget of {limit} bytes per client exceeded")]
    StatementBudget { limit: u64 },
    #[error("pgweir: cannot restore session setting: {0}")]
    ReplayFailed(String),
    #[error("pgweir: internal error: the server's reply does not match the reply queue")]
    Desync,
    #[error("pgweir: internal error")]
    Internal,
}

impl Fault {
    pub fn sqlstate(&self) -> SqlState {
        match self {
            Self::ProtocolViolation(_) => SqlState::PROTOCOL_VIOLATION,
            Self::UnsupportedProtocol { .. }
            | Self::Unsupported(_)
            | Self::StatementMode
            | Self::PlanChanged => SqlState::FEATURE_NOT_SUPPORTED,
            Self::LoginFailed { .. } => SqlState::INVALID_PASSWORD,
            Self::RefusedByRule(_)
            | Self::NoRule { .. }
            | Self::RejectedByRule { .. }
            | Self::NotThisUser { .. } => SqlState::INVALID_AUTHORIZATION,
            Self::UnknownDatabase(_) => SqlState::INVALID_CATALOG_NAME,
            Self::LoginTimeout(_) => SqlState::PROTOCOL_VIOLATION,
            Self::TooManyClients { .. }
            | Self::TooManyLogins { .. }
            | Self::TooManyLoginsHere { .. }
            | Self::LoginDisplaced { .. }
            | Self::QueueFull { .. } => SqlState::TOO_MANY_CONNECTIONS,
            Self::QueueTimeout { .. } | Self::ServerUnreachable { .. } | Self::UsersUnknown => {
                SqlState::CANNOT_CONNECT_NOW
            }
            Self::Rejected { sqlstate, .. } => *sqlstate,
            Self::Cancelled | Self::QueryTimeout(_) => SqlState::QUERY_CANCELED,
            Self::TransactionTimeout(_) | Self::IdleInTransaction(_) => SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
            Self::IdleClient(_) | Self::IdleSession(_) => SqlState::IDLE_SESSION_TIMEOUT,
            Self::WriteStall(_) | Self::SlowListener { .. } | Self::ServerLost | Self::SessionLost { .. } => {
                SqlState::CONNECTION_FAILURE
            }
            Self::CommitInDoubt => SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
            Self::Shutdown | Self::NotificationsLost => SqlState::ADMIN_SHUTDOWN,
            Self::TooLarge { .. } | Self::StatementBudget { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::ReplayFailed(_) => SqlState::CANNOT_CONNECT_NOW,
            Self::Desync | Self::Internal => SqlState::INTERNAL_ERROR,
        }
    }

    pub fn severity(&self, phase: Phase) -> Severity {
        match self {
            _ if phase == Phase::Login => Severity::Fatal,
            Self::QueueFull { .. }
            | Self::QueueTimeout { .. }
            | Self::ServerUnreachable { .. }
            | Self::Rejected { .. }
            | Self::PlanChanged
            | Self::Cancelled
            | Self::QueryTimeout(_)
            | Self::ServerLost
            | Self::CommitInDoubt
            | Self::TooLarge { .. }
            | Self::StatementBudget { .. }
            | Self::ReplayFailed(_)
            | Self::Unsupported(_) => Severity::Error,
            Self::ProtocolViolation(_)
            | Self::UnsupportedProtocol { .. }
            | Self::LoginFailed { .. }
            | Self::UsersUnknown
            | Self::RefusedByRule(_)
            | Self::NoRule { .. }
            | Self::RejectedByRule { .. }
            | Self::NotThisUser { .. }
            | Self::UnknownDatabase(_)
            | Self::LoginTimeout(_)
            | Self::TooManyClients { .. }
            | Self::TooManyLogins { .. }
            | Self::TooManyLoginsHere { .. }
            | Self::LoginDisplaced { .. }
            | Self::TransactionTimeout(_)
            | Self::IdleInTransaction(_)
            | Self::IdleClient(_)
            | Self::IdleSession(_)
            | Self::WriteStall(_)
            | Self::SlowListener { .. }
            | Self::NotificationsLost
            | Self::SessionLost { .. }
            | Self::StatementMode
            | Self::Shutdown
            | Self::Desync
            | Self::Internal => Severity::Fatal,
        }
    }

    /// What the reader of the error can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooManyClients { .. } => "Raise limits.max_clients, or close idle connections.",
            Self::LoginDisplaced { .. } => {
                "Try again; limits.max_logins and limits.max_logins_per_source bound logins in flight."
            }
            Self::TooManyLogins { .. } => "Try again in a moment; limits.max_logins bounds logins in flight.",
            Self::TooManyLoginsHere { .. } => {
                "Try again in a moment; limits.max_logins_per_source bounds logins in flight."
            }
            Self::QueueFull { .. } => "Raise pool.size or pool.queue_limit, or shorten transactions.",
            Self::QueueTimeout { .. } => "Raise pool.size or pool.queue_timeout, or shorten transactions.",
            Self::ServerUnreachable { .. } => "Check that PostgreSQL runs and accepts connections.",
            Self::UsersUnknown => {
                "Check that PostgreSQL runs and accepts connections; pgweir's log says more."
            }
            Self::QueryTimeout(_) => "timeouts.query bounds a statement's run time.",
            Self::TransactionTimeout(_) => "timeouts.transaction bounds a transaction's length.",
            Self::IdleInTransaction(_) => "timeouts.idle_in_transaction bounds the pauses in a transaction.",
            Self::IdleClient(_) => "timeouts.client_idle bounds the time between transactions.",
            Self::WriteStall(_) => "timeouts.write_stall bounds how long a client may all but stop reading.",
            Self::SlowListener { .. } => {
                "Read notifications as they come, or raise limits.client_notifications."
            }
            Self::NotificationsLost => "Connect again, listen, and look for what may have been missed.",
            Self::StatementMode => "Use pool.mode = \"transaction\".",
            Self::ServerLost => "It is safe to run the transaction again.",
            Self::SessionLost { .. } => "Connect again; nothing was committed that wasn't confirmed.",
            Self::CommitInDoubt => "Check whether the transaction took effect before you run it again.",
            Self::TooLarge { .. } | Self::StatementBudget { .. } => {
                "Raise the limit under [limits], or send less."
            }
            _ => return None,
        })
    }

    /// The function of PostgreSQL that would report it, where drivers look at that.
    pub fn routine(&self) -> Option<&'static str> {
        matches!(self, Self::PlanChanged).then_some("RevalidateCachedQuery")
    }

    /// Numbers behind the sentence.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::QueueTimeout { size, pins, .. } => {
                Some(format!("Pool size {size}; servers pinned to clients: {pins}."))
            }
            _ => None,
        }
    }
}
