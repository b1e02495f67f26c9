//! One row for each number of a pool's snapshot; every sample carries the pool's `database` and `user`.

use crate::meter::family::Family;
use crate::meter::family::Read::{By, Named, One};
use crate::meter::family::Value::{Count, Time};
use crate::meter::family::{Distribution, Value};
use crate::pool::applications::ApplicationSnapshot;
use crate::pool::snapshot::PoolSnapshot;
use crate::pool::spread::{BOUNDS_US, Spread};

/// The metrics of a pool, in the order in which they are shown.
pub static POOLS: &[Family<PoolSnapshot>] = &[
    Family::gauge(
        "pgweir_pool_size",
        "Servers that the pool may open for ordinary work.",
        One(|p| count(p.size)),
    ),
    Family::gauge(
        "pgweir_pool_reserve_size",
        "Servers beyond the size that the pool may open when clients wait for long.",
        One(|p| count(p.reserve_size)),
    ),
    Family::gauge(
        "pgweir_pool_servers",
        "Server connections now, by state.",
        By("state", |p| {
            vec![
                ("connecting", count(p.servers_connecting)),
                ("idle", count(p.servers_idle)),
                ("active", count(p.servers_active.saturating_sub(p.servers_pausing))),
                ("idle_in_transaction", count(p.servers_pausing)),
                ("pinned", count(p.servers_pinned)),
                ("closing", count(p.servers_closing)),
            ]
        }),
    ),
    Family::gauge(
        "pgweir_pool_pins",
        "Servers pinned to a client now, by reason.",
        By("reason", |p| p.pins.iter().map(|pin| (pin.reason, Count(pin.now))).collect()),
    ),
    Family::counter(
        "pgweir_pool_pins_total",
        "Times that a server was pinned to a client, by reason.",
        By("reason", |p| p.pins.iter().map(|pin| (pin.reason, Count(pin.begun))).collect()),
    ),
    Family::counter(
        "pgweir_pool_pin_seconds_total",
        "Time that servers were pinned, by reason.",
        By("reason", |p| p.pins.iter().map(|pin| (pin.reason, Time(pin.held))).collect()),
    ),
    Family::gauge("pgweir_pool_clients", "Logged-in clients of the pool.", One(|p| count(p.clients))),
    Family::gauge(
        "pgweir_pool_clients_waiting",
        "Clients that wait for a server now.",
        One(|p| count(p.waiting)),
    ),
    Family::gauge(
        "pgweir_pool_queue_limit",
        "Clients that may wait; the next one is refused.",
        One(|p| count(p.queue_limit)),
    ),
    Family::gauge(
        "pgweir_pool_oldest_wait_seconds",
        "How long the client at the head of the queue has waited.",
        One(|p| Time(p.oldest_wait)),
    ),
    Family::counter("pgweir_pool_checkouts_total", "Servers lent to clients.", One(|p| Count(p.checkouts))),
    Family::counter(
        "pgweir_pool_waits_total",
        "Checkouts that had to wait for a server.",
        One(|p| Count(p.waits)),
    ),
    Family::histogram("pgweir_pool_wait_duration_seconds", "Waits for a server, by duration.", |p| {
        spread(&p.wait)
    }),
    Family::counter(
        "pgweir_pool_queue_timeouts_total",
        "Waits that ended without a server because the queue timeout ran out.",
        One(|p| Count(p.queue_timeouts)),
    ),
    Family::counter(
        "pgweir_pool_queue_refusals_total",
        "Clients refused because the queue was full.",
        One(|p| Count(p.queue_refusals)),
    ),
    Family::counter(
        "pgweir_pool_transactions_total",
        "Transactions that have ended.",
        One(|p| Count(p.work.transactions)),
    ),
    Family::counter("pgweir_pool_queries_total", "Queries that have ended.", One(|p| Count(p.work.queries))),
    Family::counter(
        "pgweir_pool_relayed_bytes_total",
        "Bytes relayed, by direction.",
        By("direction", |p| {
            vec![("to_server", Count(p.work.bytes_up)), ("to_client", Count(p.work.bytes_down))]
        }),
    ),
    Family::counter(
        "pgweir_pool_server_connects_total",
        "Server connections opened and logged in.",
        One(|p| Count(p.connect.count())),
    ),
    Family::counter(
        "pgweir_pool_server_connect_failures_total",
        "Attempts to open a server connection that failed, by PostgreSQL's SQLSTATE.",
        Named("sqlstate", |p| named(&p.connect_failures)),
    ),
    Family::counter(
        "pgweir_pool_server_closes_total",
        "Server connections closed, for any reason.",
        One(|p| Count(p.servers_closed)),
    ),
    Family::counter(
        "pgweir_pool_server_seconds_total",
        "Time that servers spent in each state, summed over servers.",
        By("state", |p| {
            let paused = p.times.paused;
            vec![
                ("idle", Time(p.idle_time)),
                ("active", Time(p.active_time.saturating_sub(paused))),
                ("idle_in_transaction", Time(paused)),
                ("pinned", Time(p.pinned_time)),
            ]
        }),
    ),
    Family::counter(
        "pgweir_pool_full_seconds_total",
        "Time during which every server that the pool may have was busy.",
        One(|p| Time(p.full_time)),
    ),
    Family::counter(
        "pgweir_pool_waiting_seconds_total",
        "Time during which at least one client waited.",
        One(|p| Time(p.waiting_time)),
    ),
    Family::counter(
        "pgweir_pool_waiting_client_seconds_total",
        "Time that clients spent waiting, summed over clients.",
        One(|p| Time(p.waiting_sum)),
    ),
    Family::histogram(
        "pgweir_pool_query_duration_seconds",
        "Queries, batches and pipelines, by the time until nothing was owed any more.",
        |p| spread(&p.times.query),
    ),
    Family::histogram("pgweir_pool_transaction_duration_seconds", "Transactions, by duration.", |p| {
        spread(&p.times.transaction)
    }),
    Family::histogram(
        "pgweir_pool_idle_in_transaction_duration_seconds",
        "Pauses of clients inside transactions, by duration.",
        |p| spread(&p.times.pause),
    ),
    Family::histogram(
        "pgweir_pool_think_duration_seconds",
        "Time from the end of a client's transaction to its next request.",
        |p| spread(&p.think),
    ),
    Family::histogram(
        "pgweir_pool_server_connect_duration_seconds",
        "Time to open a server connection and log in.",
        |p| spread(&p.connect),
    ),
    Family::histogram(
        "pgweir_pool_replay_duration_seconds",
        "pgweir's own queries that gave a server the settings of its client.",
        |p| spread(&p.own.replay),
    ),
    Family::histogram(
        "pgweir_pool_probe_duration_seconds",
        "pgweir's own queries that asked what a session had become.",
        |p| spread(&p.own.probe),
    ),
    Family::histogram(
        "pgweir_pool_reset_duration_seconds",
        "pgweir's own queries that took settings away for the next client.",
        |p| spread(&p.own.reset),
    ),
    Family::counter(
        "pgweir_pool_messages_total",
        "Messages relayed, by direction.",
        By("direction", |p| {
            vec![("to_server", Count(p.work.messages_up)), ("to_client", Count(p.work.messages_down))]
        }),
    ),
    Family::counter(
        "pgweir_pool_statements_total",
        "Prepared statements that clients used: what became of them on the server.",
        By("event", |p| {
            vec![
                ("found", Count(p.work.statements_found)),
                ("parsed", Count(p.work.statements_parsed)),
                ("evicted", Count(p.work.statements_evicted)),
            ]
        }),
    ),
    Family::counter(
        "pgweir_pool_errors_total",
        "Errors that pgweir itself told clients of the pool, by SQLSTATE.",
        Named("sqlstate", |p| named(&p.errors)),
    ),
    Family::counter(
        "pgweir_pool_server_errors_total",
        "Errors of PostgreSQL passed on to clients of the pool, by class of SQLSTATE.",
        Named("class", |p| named(&p.server_errors)),
    ),
    Family::gauge(
        "pgweir_pool_clients_seen",
        "Clients that have asked for something within a minute or two.",
        One(|p| count(p.clients_seen)),
    ),
    Family::gauge(
        "pgweir_pool_configured_size",
        "The pool's size by its settings; more than its size while PostgreSQL gives no more.",
        One(|p| count(p.configured_size)),
    ),
    Family::gauge("pgweir_pool_min_size", "Servers that the pool keeps open.", One(|p| count(p.min_size))),
    Family::gauge(
        "pgweir_pool_pinned_servers_limit",
        "Pinned servers that the pool may have beyond its size.",
        One(|p| count(p.pinned_limit)),
    ),
    Family::gauge(
        "pgweir_pool_queue_timeout_seconds",
        "How long a client may wait for a server.",
        One(|p| Time(p.queue_timeout)),
    ),
    Family::gauge(
        "pgweir_pool_application_clients",
        "Logged-in clients, by application_name.",
        Named("application", |p| applications(p, |a| count(a.clients))),
    ),
    Family::counter(
        "pgweir_pool_application_transactions_total",
        "Transactions that have ended, by application_name.",
        Named("application", |p| applications(p, |a| Count(a.transactions))),
    ),
    Family::counter(
        "pgweir_pool_application_server_seconds_total",
        "Time for which servers were lent, by application_name.",
        Named("application", |p| applications(p, |a| Time(a.held))),
    ),
    Family::counter(
        "pgweir_pool_application_waits_total",
        "Waits for a server that are over, by application_name.",
        Named("application", |p| applications(p, |a| Count(a.waits))),
    ),
    Family::counter(
        "pgweir_pool_application_wait_seconds_total",
        "Time that these waits took, by application_name.",
        Named("application", |p| applications(p, |a| Time(a.waited))),
    ),
];

fn count(n: u32) -> Value {
    Count(n.into())
}

fn named(by_name: &[(String, u64)]) -> Vec<(String, Value)> {
    by_name.iter().map(|(name, count)| (name.clone(), Count(*count))).collect()
}

fn applications(pool: &PoolSnapshot, read: fn(&ApplicationSnapshot) -> Value) -> Vec<(String, Value)> {
    pool.applications.iter().map(|application| (application.name.to_string(), read(application))).collect()
}

fn spread(spread: &Spread) -> Distribution {
    Distribution { bounds_us: &BOUNDS_US, counts: spread.counts.to_vec(), sum: spread.sum }
}
