//! One row for each number of a pool's snapshot; every sample carries the pool's `database` and `user`.

use crate::meter::family::Family;
use crate::meter::family::Read::{By, One};
use crate::meter::family::Value::{Count, Time};
use crate::meter::family::{Distribution, Value};
use crate::pool::snapshot::{PoolSnapshot, WAIT_BOUNDS_US};

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
                ("active", count(p.servers_active)),
                ("pinned", count(p.servers_pinned)),
                ("closing", count(p.servers_closing)),
            ]
        }),
    ),
    Family::gauge(
        "pgweir_pool_pins",
        "Servers pinned to a client now, by reason.",
        By("reason", |p| counts(&p.pins)),
    ),
    Family::counter(
        "pgweir_pool_pins_total",
        "Times that a server was pinned to a client, by reason.",
        By("reason", |p| counts(&p.pins_begun)),
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
        Distribution { bounds_us: &WAIT_BOUNDS_US, counts: p.wait_buckets.to_vec(), sum: p.wait_total }
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
        One(|p| Count(p.transactions)),
    ),
    Family::counter("pgweir_pool_queries_total", "Queries that have ended.", One(|p| Count(p.queries))),
    Family::counter(
        "pgweir_pool_relayed_bytes_total",
        "Bytes relayed, by direction.",
        By("direction", |p| vec![("to_server", Count(p.bytes_up)), ("to_client", Count(p.bytes_down))]),
    ),
    Family::counter(
        "pgweir_pool_server_connects_total",
        "Server connections opened and logged in.",
        One(|p| Count(p.connects)),
    ),
    Family::counter(
        "pgweir_pool_server_connect_failures_total",
        "Attempts to open a server connection that failed.",
        One(|p| Count(p.connect_failures)),
    ),
    Family::counter(
        "pgweir_pool_server_closes_total",
        "Server connections closed, for any reason.",
        One(|p| Count(p.servers_closed)),
    ),
    Family::counter(
        "pgweir_pool_server_seconds_total",
        "Time that servers spent in each state, summed over servers.",
        By("state", |p| vec![("active", Time(p.active_time)), ("pinned", Time(p.pinned_time))]),
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
];

fn count(n: u32) -> Value {
    Count(n.into())
}

fn counts(by_reason: &[(&'static str, u64)]) -> Vec<(&'static str, Value)> {
    by_reason.iter().map(|&(reason, count)| (reason, Count(count))).collect()
}
