//! What the watch has to show: the pools of a status, and metrics.

use std::time::Duration;

use super::pool::Watched;
use super::{Watch, since_epoch};
use crate::advice::load::{Load, applications};
use crate::advice::verdict::Verdict;
use crate::meter::family::Family;
use crate::meter::family::Read::{By, One};
use crate::meter::family::Value::{Count, Ratio, Time};
use crate::observe::history::STEP;
use crate::observe::status::{
    Application, Clients, Connections, Figures as Now, Pin, Pool, Quantiles, Queue, Servers, Standing, Steps,
};
use crate::pool::snapshot::PoolSnapshot;
use crate::pool::spread::Spread;

/// What is shown of one pool as metrics, beside its own accounts.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub database: String,
    pub user: String,
    pub verdict: Verdict,
    /// Since the epoch.
    pub since: Duration,
    pub utilisation: f64,
    pub high_water: u32,
    /// PostgreSQL's connections: all, reserved ones, used ones.
    pub connections: Option<[u32; 3]>,
}

/// The metrics of [`Figures`].
pub static WATCHED: &[Family<Figures>] = &[
    Family::gauge(
        "pgweir_pool_verdict",
        "1 for the verdict that stands, 0 for the others.",
        By("verdict", |f| {
            Verdict::ALL.map(|verdict| (verdict.label(), Count(u64::from(verdict == f.verdict)))).into()
        }),
    ),
    Family::gauge(
        "pgweir_pool_verdict_since_seconds",
        "Since when the verdict stands, in seconds since the epoch.",
        One(|f| Time(f.since)),
    ),
    Family::gauge(
        "pgweir_pool_utilisation_ratio",
        "Servers in use by the pool's size, as a mean over the last seconds.",
        One(|f| Ratio(f.utilisation)),
    ),
    Family::gauge(
        "pgweir_pool_queue_high_water",
        "The most clients that waited at once in the last minute.",
        One(|f| Count(f.high_water.into())),
    ),
    Family::gauge(
        "pgweir_pool_upstream_connections",
        "PostgreSQL's connections as it told last: all, those kept for superusers, those in use by anyone.",
        By("kind", |f| {
            let [max, reserved, used] = f.connections.unwrap_or_default().map(|count| Count(count.into()));
            vec![("max", max), ("reserved", reserved), ("used", used)]
        }),
    ),
];

impl Watch {
    pub fn figures(&self) -> Vec<Figures> {
        let state = self.state.lock();
        state.pools.values().map(figures).collect()
    }

    /// The pools, their histories from point `since` on; servers aren't filled in.
    pub fn pools(&self, since: u64) -> Vec<Pool> {
        let state = self.state.lock();
        state.pools.values().map(|watched| pool(watched, since)).collect()
    }

    pub fn steps(&self) -> Steps {
        Steps { step_s: STEP.as_secs_f64(), next: self.state.lock().steps }
    }

    /// The longest that a ready task waited for a thread in the last seconds.
    pub fn lag(&self) -> Duration {
        self.state.lock().lags.iter().copied().max().unwrap_or_default()
    }
}

fn figures(watched: &Watched) -> Figures {
    let pool = watched.latest();
    Figures {
        database: pool.database.clone(),
        user: pool.user.clone(),
        verdict: watched.standing().verdict,
        since: since_epoch(watched.standing().since),
        utilisation: watched.now().1.utilisation(),
        high_water: watched.high_water(),
        connections: watched.upstream().map(|upstream| {
            let connections = upstream.connections;
            [connections.max, connections.reserved, connections.used]
        }),
    }
}

fn pool(watched: &Watched, since: u64) -> Pool {
    let (from, load) = watched.now();
    let to = watched.latest();
    let judgement = watched.judgement();
    Pool {
        database: to.database.clone(),
        user: to.user.clone(),
        mode: to.mode.as_str().to_owned(),
        size: to.size,
        configured_size: to.configured_size,
        reserve_size: to.reserve_size,
        servers: servers(to),
        clients: Clients {
            connected: to.clients,
            working: to.servers_active + to.servers_pinned,
            waiting: to.waiting,
        },
        queue: Queue {
            limit: to.queue_limit,
            oldest_wait_s: to.oldest_wait.as_secs_f64(),
            high_water: watched.high_water(),
            timeout_s: to.queue_timeout.as_secs_f64(),
        },
        now: now(&load),
        standing: Standing {
            verdict: watched.standing().verdict,
            since: since_epoch(watched.standing().since).as_secs_f64(),
            before: watched.standing().before,
            text: judgement.text.clone(),
        },
        causes: judgement.causes.clone(),
        advice: judgement.advice.clone(),
        pins: pins(to),
        applications: shown(from, to, &load),
        server_list: Vec::new(),
        connections: watched.upstream().map(|upstream| Connections {
            max: upstream.connections.max,
            reserved: upstream.connections.reserved,
            used: upstream.connections.used,
            at: upstream.at.as_secs_f64(),
        }),
        history: watched.history.read(since),
    }
}

fn servers(pool: &PoolSnapshot) -> Servers {
    Servers {
        connecting: pool.servers_connecting,
        idle: pool.servers_idle,
        active: pool.servers_active.saturating_sub(pool.servers_pausing),
        idle_in_transaction: pool.servers_pausing,
        pinned: pool.servers_pinned,
        closing: pool.servers_closing,
    }
}

fn now(load: &Load) -> Now {
    let size = f64::from(load.size.max(1));
    Now {
        span_s: load.span,
        utilisation: load.utilisation(),
        idle_in_transaction: load.paused / size,
        pinned: load.pinned / size,
        full_share: load.full_share,
        waiting_share: load.waiting_share,
        waited_share: load.waited_share,
        transactions_per_s: load.transactions,
        queries_per_s: load.queries,
        to_server_bytes_per_s: load.bytes_up,
        to_client_bytes_per_s: load.bytes_down,
        wait: Quantiles { p50_s: load.wait_quantile(0.5), p99_s: load.wait_quantile(0.99) },
        query: quantiles(&load.query),
        transaction: quantiles(&load.transaction),
        timeouts: load.timeouts,
        refusals: load.refusals,
    }
}

fn quantiles(spread: &Spread) -> Quantiles {
    let quantile = |q| spread.quantile(q, 0).map(|time| time.as_secs_f64());
    Quantiles { p50_s: quantile(0.5), p99_s: quantile(0.99) }
}

fn pins(pool: &PoolSnapshot) -> Vec<Pin> {
    let show = |pin: &crate::pool::snapshot::PinSnapshot| Pin {
        reason: pin.reason.to_owned(),
        now: pin.now,
        total: pin.begun,
        held_s: pin.held.as_secs_f64(),
    };
    pool.pins.iter().map(show).collect()
}

fn shown(from: &PoolSnapshot, to: &PoolSnapshot, load: &Load) -> Vec<Application> {
    let lately = applications(from, to);
    let rows = to.applications.iter().zip(lately);
    let mut shown: Vec<_> = rows
        .map(|(row, (_, seconds))| Application {
            name: row.name.to_string(),
            clients: row.clients,
            transactions: row.transactions,
            held_s: row.held.as_secs_f64(),
            servers: seconds / load.span,
            waits: row.waits,
            waited_s: row.waited.as_secs_f64(),
        })
        .collect();
    shown.sort_by(|a, b| b.servers.total_cmp(&a.servers).then(b.held_s.total_cmp(&a.held_s)));
    shown
}
