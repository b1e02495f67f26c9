//! Everything that is counted for the process as a whole.
//!
//! One value of [`Counters`] exists per process; whoever counts is handed a reference to it. Each field has one
//! row in [`super::table`].

use std::sync::Arc;
use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram, Latest, Tally};
use super::limiter::Limiter;
use super::news::NewsRing;
use crate::wire::fault::Fault;
use crate::wire::sqlstate::SqlState;

/// Bounds of the login histogram, in microseconds. Logins hash passwords, so they start at a millisecond.
const LOGIN_BOUNDS_US: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// Bounds of the histogram of lags, in microseconds.
const LAG_BOUNDS_US: &[u64] =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// Lines of one kind that the log gets in a while, where clients can cause any number of them.
const LINES: u32 = 5;
const LINES_WINDOW: Duration = Duration::from_secs(10);

/// Every code that an arm of [`Fault`] has; `tests/errors_doc.rs` holds the two together.
const OWN_CODES: &[&str] = &[
    "08006", "08007", "08P01", "0A000", "25P03", "28000", "28P01", "3D000", "53300", "54000", "57014",
    "57P01", "57P03", "57P05", "XX000", "other",
];

/// Classes of SQLSTATEs that say something about a pooler's life; PostgreSQL has some thirty more.
const SERVER_CLASSES: &[&str] = &[
    "08", "0A", "22", "23", "25", "26", "28", "34", "3D", "40", "42", "53", "54", "55", "57", "58", "XX",
    "other",
];

/// An enum whose arms are the values of a label.
macro_rules! label {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $arm:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $arm,)+ }

        impl $name {
            /// All texts, in the order of the arms.
            pub const LABELS: &'static [&'static str] = &[$($text,)+];

            pub fn text(self) -> &'static str {
                match self { $(Self::$arm => $text,)+ }
            }
        }
    };
}

label! {
    /// How a login ended.
    pub enum LoginOutcome {
        Ok = "ok",
        /// Wrong password or unknown user.
        Failed = "failed",
        /// By a rule or a limit, whatever the password.
        Refused = "refused",
        Timeout = "timeout",
        /// The client went away, or the process did.
        Cancelled = "cancelled",
    }
}

label! {
    /// What came of a question about a user.
    pub enum LookupOutcome {
        Known = "known",
        Unknown = "unknown",
        /// No answer, or one that can't be used.
        Failed = "failed",
    }
}

label! {
    /// Whether something was done.
    pub enum Done {
        Ok = "ok",
        Failed = "failed",
    }
}

impl Done {
    pub fn of<T, E>(outcome: &Result<T, E>) -> Self {
        if outcome.is_ok() { Self::Ok } else { Self::Failed }
    }
}

label! {
    /// Why a client's connection ended.
    pub enum Closed {
        /// The client said goodbye.
        Terminate = "terminate",
        /// The socket ended without a goodbye.
        Disconnect = "disconnect",
        /// The client never got in.
        Login = "login",
        /// A cancel request: its connection carries nothing else.
        Cancel = "cancel",
        /// One of pgweir's timeouts ran out.
        Timeout = "timeout",
        /// The client broke the protocol.
        Protocol = "protocol",
        /// The server was lost and the session with it.
        Server = "server",
        /// pgweir drains, or an administrator ended the client.
        Shutdown = "shutdown",
        /// A bug of pgweir.
        Internal = "internal",
    }
}

impl From<&Fault> for Closed {
    /// The reason to count when `fault` closed a logged-in client.
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::ProtocolViolation(_) | Fault::UnsupportedProtocol { .. } | Fault::Unsupported(_) => {
                Self::Protocol
            }
            Fault::LoginFailed { .. }
            | Fault::UsersUnknown
            | Fault::RefusedByRule(_)
            | Fault::NoRule { .. }
            | Fault::RejectedByRule { .. }
            | Fault::NotThisUser { .. }
            | Fault::UnknownDatabase(_)
            | Fault::LoginTimeout(_)
            | Fault::TooManyClients { .. }
            | Fault::TooManyLogins { .. }
            | Fault::TooManyLoginsHere { .. }
            | Fault::LoginDisplaced { .. } => Self::Login,
            Fault::QueueTimeout { .. }
            | Fault::QueryTimeout(_)
            | Fault::TransactionTimeout(_)
            | Fault::IdleInTransaction(_)
            | Fault::IdleClient(_)
            | Fault::IdleSession(_)
            | Fault::WriteStall(_)
            | Fault::SlowListener { .. } => Self::Timeout,
            Fault::QueueFull { .. }
            | Fault::ServerUnreachable { .. }
            | Fault::ServerLost
            | Fault::SessionLost { .. }
            | Fault::NotificationsLost
            | Fault::Rejected { .. }
            | Fault::PlanChanged
            | Fault::CommitInDoubt
            | Fault::ReplayFailed(_) => Self::Server,
            Fault::TooLarge { .. } | Fault::StatementBudget { .. } | Fault::StatementMode => Self::Protocol,
            Fault::Cancelled | Fault::Shutdown => Self::Shutdown,
            Fault::Desync | Fault::Internal => Self::Internal,
        }
    }
}

/// The process-wide counters.
#[derive(Debug)]
pub struct Counters {
    /// Begun and ended by [`super::visit::Visit`].
    pub clients_accepted: Counter,
    pub clients_connected: Gauge,
    pub clients_closed: Tally,
    /// Begun and ended by [`super::visit::Login`].
    pub logins: Tally,
    pub logins_in_flight: Gauge,
    pub login_duration: Histogram,
    /// Failed logins whose answer waits, or waited.
    pub logins_held_back: Counter,
    pub(super) errors: Tally,
    pub(super) server_errors: Tally,
    /// Questions to databases about users that aren't configured.
    pub user_lookups: Tally,
    /// Cancel requests: what clients sent, what went on to a server, what matched nothing that runs.
    pub cancels_received: Counter,
    pub cancels_sent: Counter,
    pub cancels_dropped: Counter,
    /// A server's answer that the reply queue did not await. Must stay 0.
    pub protocol_desyncs: Counter,
    /// Clients that have their place on a shared listener.
    pub listening_clients: Arc<Gauge>,
    /// What shared listeners handed to clients.
    pub notifications: Counter,
    pub listeners_lost: Counter,
    pub panics: Counter,
    /// TLS handshakes of clients and with servers.
    pub client_handshakes: Tally,
    pub server_handshakes: Tally,
    /// Attempts to take new certificates over.
    pub certificate_reloads: Tally,
    /// Attempts to take new HBA rules over.
    pub rule_reloads: Tally,
    /// When certificates end, in seconds since the epoch; 0 without one.
    pub client_certificate_end: Latest,
    pub server_certificate_end: Latest,
    pub log_lines_dropped: Counter,
    /// Transactions longer than `log.slow_transaction`.
    pub slow_transactions: Counter,
    /// What was told lately, and which lines were kept back.
    pub news: NewsRing,
    pub limiter: Limiter,
    /// How long tasks that were ready waited for a thread.
    pub lag: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            clients_accepted: Counter::default(),
            clients_connected: Gauge::default(),
            clients_closed: Tally::new(Closed::LABELS),
            logins: Tally::new(LoginOutcome::LABELS),
            logins_in_flight: Gauge::default(),
            login_duration: Histogram::new(LOGIN_BOUNDS_US),
            logins_held_back: Counter::default(),
            errors: Tally::new(OWN_CODES),
            server_errors: Tally::new(SERVER_CLASSES),
            user_lookups: Tally::new(LookupOutcome::LABELS),
            cancels_received: Counter::default(),
            cancels_sent: Counter::default(),
            cancels_dropped: Counter::default(),
            protocol_desyncs: Counter::default(),
            listening_clients: Arc::default(),
            notifications: Counter::default(),
            listeners_lost: Counter::default(),
            panics: Counter::default(),
            client_handshakes: Tally::new(Done::LABELS),
            server_handshakes: Tally::new(Done::LABELS),
            certificate_reloads: Tally::new(Done::LABELS),
            rule_reloads: Tally::new(Done::LABELS),
            client_certificate_end: Latest::default(),
            server_certificate_end: Latest::default(),
            log_lines_dropped: Counter::default(),
            slow_transactions: Counter::default(),
            news: NewsRing::default(),
            limiter: Limiter::new(LINES, LINES_WINDOW),
            lag: Histogram::new(LAG_BOUNDS_US),
        }
    }
}

impl Counters {
    /// pgweir told a client this.
    pub fn fault(&self, fault: &Fault) {
        self.errors.inc(fault.sqlstate().as_str());
    }

    /// PostgreSQL's own error went through to a client.
    pub fn server_error(&self, code: SqlState) {
        self.server_errors.inc(code.as_str().get(..2).unwrap_or("other"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::family::Value;

    fn count(tally: &Tally, label: &str) -> Option<Value> {
        tally.read().into_iter().find(|(l, _)| *l == label).map(|(_, value)| value)
    }

    #[test]
    fn a_fault_counts_under_its_code() {
        let counters = Counters::default();
        counters.fault(&Fault::Shutdown);
        assert_eq!(count(&counters.errors, "57P01"), Some(Value::Count(1)));
    }

    #[test]
    fn a_server_error_counts_under_its_class_and_junk_under_other() {
        let counters = Counters::default();
        counters.server_error(SqlState(*b"23505"));
        counters.server_error(SqlState(*b"P0001"));
        counters.server_error(SqlState([0xff; 5]));
        assert_eq!(count(&counters.server_errors, "23"), Some(Value::Count(1)));
        assert_eq!(count(&counters.server_errors, "other"), Some(Value::Count(2)));
    }
}
