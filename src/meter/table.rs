//! One row for each field of [`Counters`]. `docs/metrics.md` is held against what the endpoint makes of it.

use super::counters::Counters;
use super::family::Family;
use super::family::Read::{By, One};
use super::family::Value::Count;

/// The process-wide metrics, in the order in which they are shown.
pub static COUNTERS: &[Family<Counters>] = &[
    Family::counter(
        "pgweir_client_connections_accepted_total",
        "Client connections accepted.",
        One(|c| Count(c.clients_accepted.get())),
    ),
    Family::gauge(
        "pgweir_client_connections",
        "Client connections open now, logged in or not.",
        One(|c| Count(c.clients_connected.get())),
    ),
    Family::counter(
        "pgweir_client_connections_closed_total",
        "Client connections closed, by reason.",
        By("reason", |c| c.clients_closed.read()),
    ),
    Family::counter("pgweir_logins_total", "Logins by outcome.", By("outcome", |c| c.logins.read())),
    Family::gauge(
        "pgweir_logins_in_flight",
        "Clients that are logging in now.",
        One(|c| Count(c.logins_in_flight.get())),
    ),
    Family::histogram(
        "pgweir_login_duration_seconds",
        "Time from accept to the end of a login that succeeded.",
        |c| c.login_duration.read(),
    ),
    Family::counter(
        "pgweir_failed_logins_held_back_total",
        "Failed logins whose answer was held back, since too many of their source had failed.",
        One(|c| Count(c.logins_held_back.get())),
    ),
    Family::counter(
        "pgweir_errors_total",
        "Errors that pgweir itself told clients, by SQLSTATE.",
        By("sqlstate", |c| c.errors.read()),
    ),
    Family::counter(
        "pgweir_server_errors_total",
        "Errors of PostgreSQL passed on to clients, by class of SQLSTATE.",
        By("class", |c| c.server_errors.read()),
    ),
    Family::counter(
        "pgweir_cancels_received_total",
        "Cancel requests received from clients.",
        One(|c| Count(c.cancels_received.get())),
    ),
    Family::counter(
        "pgweir_cancels_sent_total",
        "Cancel requests sent to servers.",
        One(|c| Count(c.cancels_sent.get())),
    ),
    Family::counter(
        "pgweir_cancels_dropped_total",
        "Cancel requests that matched nothing to cancel.",
        One(|c| Count(c.cancels_dropped.get())),
    ),
    Family::counter(
        "pgweir_protocol_desync_total",
        "Server replies that the reply queue did not await. Must stay 0.",
        One(|c| Count(c.protocol_desyncs.get())),
    ),
    Family::gauge(
        "pgweir_listening_clients",
        "Clients that shared listeners listen for while they rest.",
        One(|c| Count(c.listening_clients.get())),
    ),
    Family::counter(
        "pgweir_user_lookups_total",
        "Questions to databases about users that are not configured, by outcome.",
        By("outcome", |c| c.user_lookups.read()),
    ),
    Family::counter(
        "pgweir_notifications_total",
        "Notifications that shared listeners handed to clients.",
        One(|c| Count(c.notifications.get())),
    ),
    Family::counter(
        "pgweir_listeners_lost_total",
        "Shared listeners that were lost; their clients at rest were closed.",
        One(|c| Count(c.listeners_lost.get())),
    ),
    Family::counter(
        "pgweir_panics_total",
        "Tasks of pgweir that panicked. Must stay 0.",
        One(|c| Count(c.panics.get())),
    ),
    Family::counter(
        "pgweir_client_tls_handshakes_total",
        "TLS handshakes of clients, by outcome.",
        By("outcome", |c| c.client_handshakes.read()),
    ),
    Family::counter(
        "pgweir_server_tls_handshakes_total",
        "TLS handshakes with servers, by outcome.",
        By("outcome", |c| c.server_handshakes.read()),
    ),
    Family::counter(
        "pgweir_tls_certificate_reloads_total",
        "Attempts to take over new certificates, by outcome.",
        By("outcome", |c| c.certificate_reloads.read()),
    ),
    Family::counter(
        "pgweir_hba_reloads_total",
        "Attempts to take over new HBA rules, by outcome.",
        By("outcome", |c| c.rule_reloads.read()),
    ),
    Family::gauge(
        "pgweir_tls_certificate_not_after_seconds",
        "When the certificate that clients or servers see ends, in seconds since the epoch; 0 without one.",
        By("side", |c| {
            let ends = [("client", &c.client_certificate_end), ("server", &c.server_certificate_end)];
            ends.map(|(side, end)| (side, Count(end.get()))).into()
        }),
    ),
    Family::counter(
        "pgweir_slow_transactions_total",
        "Transactions that took longer than log.slow_transaction.",
        One(|c| Count(c.slow_transactions.get())),
    ),
    Family::histogram(
        "pgweir_runtime_lag_seconds",
        "How long tasks that were ready waited for a thread, tried ten times a second.",
        |c| c.lag.read(),
    ),
    Family::counter(
        "pgweir_log_lines_dropped_total",
        "Log lines dropped because the log's reader was too slow.",
        One(|c| Count(c.log_lines_dropped.get())),
    ),
];
