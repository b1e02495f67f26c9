//! A status by hand, with everything that can be shown.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use pgweir::{
    advice::verdict::{Advice, Cause, CauseKind, Verdict},
    observe::status::{
        Application, CONTRACT, Clients, Connections, Event, EventKind, Figures, History, Phase, Pin, Pool,
        Process, Quantiles, Queue, Server, Servers, Severity, Standing, Status, Steps, Usage,
    },
};

const NOW: f64 = 1_780_000_000.0;
/// Points of 5 seconds.
const POINTS: u64 = 180;

/// One pool and a quiet quarter of an hour.
pub fn quiet() -> Status {
    status(vec![pool("shop", "app", Verdict::Healthy, 0.22)])
}

/// A pool whose clients suffer, and two beside it.
pub fn busy() -> Status {
    let mut pools = vec![
        pool("billing", "invoices", Verdict::Oversized, 0.05),
        pool("shop", "app", Verdict::Saturated, 1.0),
        pool("shop", "reports", Verdict::Healthy, 0.4),
    ];
    pools[0].advice = Some(Advice {
        text: "size 20 → 6: at most 3 servers were in use at once in the last 15 min".to_owned(),
        key: Some("pool.size".to_owned()),
        from: Some(20),
        to: Some(6),
        wait_p99_s: Some(0.0),
        expected_wait_p99_s: Some(0.0),
    });
    let mut status = status(pools);
    let event = |number, ago, kind, severity, text: &str| Event {
        number,
        at: NOW - ago,
        kind,
        severity,
        database: Some("shop".to_owned()),
        user: Some("app".to_owned()),
        text: text.to_owned(),
    };
    status.events = vec![
        event(1, 425.0, EventKind::VerdictChanged, Severity::Info, "healthy → tight"),
        event(
            2,
            240.0,
            EventKind::SaturationBegan,
            Severity::Warning,
            "all 20 servers are busy, 9 clients wait",
        ),
        event(3, 12.0, EventKind::LimitHit, Severity::Warning, "a client waited 10 s and was told 57P03"),
    ];
    status
}

/// Many pools, the worst of them somewhere in the middle.
pub fn many(n: usize) -> Status {
    let pool = |i: usize| {
        let verdict = match i % 50 {
            25 => Verdict::Saturated,
            26 => Verdict::Tight,
            i if i % 2 == 0 => Verdict::Idle,
            _ => Verdict::Healthy,
        };
        pool(&format!("tenant{i:03}"), "app", verdict, (i % 50) as f64 / 50.0)
    };
    status((0..n).map(pool).collect())
}

fn status(pools: Vec<Pool>) -> Status {
    Status {
        contract: CONTRACT,
        now: NOW,
        process: Process {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: NOW - 7384.0,
            uptime_s: 7384.0,
            phase: Phase::Serving,
            clients: 412,
            clients_limit: 10_000,
            logins_in_flight: 0,
            logins_limit: 500,
            upstream_answers: true,
            usage: Some(Usage { resident_bytes: 23 << 20, threads: 5, open_fds: 455, max_fds: 65_536 }),
            lag_s: 0.000_4,
        },
        pools,
        history: Steps { step_s: 5.0, next: POINTS },
        events: Vec::new(),
    }
}

/// `load`: the utilisation in the end.
pub fn pool(database: &str, user: &str, verdict: Verdict, load: f64) -> Pool {
    let is_short = verdict.is_shortage();
    let in_use = (20.0 * load) as u32;
    let waits = |p50, p99| Quantiles { p50_s: Some(p50), p99_s: Some(p99) };
    Pool {
        database: database.to_owned(),
        user: user.to_owned(),
        mode: "transaction".to_owned(),
        size: 20,
        configured_size: 20,
        reserve_size: 0,
        servers: Servers {
            idle: 20 - in_use,
            active: in_use.saturating_sub(2),
            idle_in_transaction: in_use.min(1),
            pinned: in_use.saturating_sub(1).min(1),
            ..Servers::default()
        },
        clients: Clients { connected: 380, working: in_use, waiting: if is_short { 34 } else { 0 } },
        queue: Queue {
            limit: 1000,
            oldest_wait_s: if is_short { 0.181 } else { 0.0 },
            high_water: if is_short { 61 } else { 0 },
            timeout_s: 10.0,
        },
        now: figures(load, is_short, waits),
        standing: Standing {
            verdict,
            since: NOW - 252.0,
            before: Some(Verdict::Healthy),
            text: why(verdict).to_owned(),
        },
        causes: if is_short { causes() } else { Vec::new() },
        advice: is_short.then(advice),
        pins: vec![
            Pin { reason: "advisory_lock".to_owned(), now: 1, total: 212, held_s: 431.0 },
            Pin { reason: "temporary_table".to_owned(), now: 0, total: 3, held_s: 1.2 },
        ],
        applications: applications(load),
        server_list: servers(in_use),
        connections: Some(Connections { max: 100, reserved: 3, used: 74, at: NOW - 20.0 }),
        history: history(load, is_short),
    }
}

fn why(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Saturated => {
            "All servers were busy for 97 % of the last minute, and 83 % of checkouts had to wait."
        }
        Verdict::Oversized => "20 servers are open, and no more than 3 were in use at once.",
        Verdict::Idle => "Nobody asks for anything.",
        _ => "Servers are to spare, and nobody waits.",
    }
}

fn figures(load: f64, is_short: bool, waits: impl Fn(f64, f64) -> Quantiles) -> Figures {
    Figures {
        span_s: 10.0,
        utilisation: load,
        idle_in_transaction: load * 0.06,
        pinned: load * 0.05,
        full_share: if is_short { 0.97 } else { 0.0 },
        waiting_share: if is_short { 0.95 } else { 0.0 },
        waited_share: if is_short { 0.83 } else { 0.0 },
        transactions_per_s: load * 1450.0,
        queries_per_s: load * 4300.0,
        to_server_bytes_per_s: load * 600_000.0,
        to_client_bytes_per_s: load * 5_200_000.0,
        wait: if is_short { waits(0.041, 0.18) } else { waits(0.0, 0.0) },
        query: waits(0.0012, 0.019),
        transaction: waits(0.008, 0.072),
        timeouts: 0,
        refusals: 0,
    }
}

fn causes() -> Vec<Cause> {
    let cause = |kind, name: &str, share, text: &str| Cause {
        kind,
        name: name.to_owned(),
        share,
        text: text.to_owned(),
    };
    vec![
        cause(CauseKind::Application, "checkout", 0.61, "application checkout: 61 % of the servers' time"),
        cause(CauseKind::IdleTransactions, "", 0.06, "transactions that wait for their client: 6 %"),
        cause(CauseKind::Pin, "advisory_lock", 0.05, "pinned by advisory_lock: 5 %"),
    ]
}

fn advice() -> Advice {
    Advice {
        text: "size 20 → 26: wait p99 180 ms → about 20 ms; 74 of PostgreSQL's 100 connections are in use"
            .to_owned(),
        key: Some("pool.size".to_owned()),
        from: Some(20),
        to: Some(26),
        wait_p99_s: Some(0.18),
        expected_wait_p99_s: Some(0.02),
    }
}

fn applications(load: f64) -> Vec<Application> {
    let application = |name: &str, clients, share: f64| Application {
        name: name.to_owned(),
        clients,
        transactions: (share * 3_000_000.0) as u64,
        held_s: share * 90_000.0,
        servers: 20.0 * load * share,
        waits: (share * load * 40_000.0) as u64,
        waited_s: share * load * 2400.0,
    };
    vec![application("checkout", 220, 0.61), application("search", 140, 0.32), application("cron", 20, 0.07)]
}

fn servers(in_use: u32) -> Vec<Server> {
    let server = |i: u32| {
        let (state, pin) = match i {
            i if i >= in_use => ("idle", None),
            0 => ("pinned", Some("advisory_lock".to_owned())),
            1 => ("idle_in_transaction", None),
            _ => ("active", None),
        };
        let application = (i < in_use).then(|| if i % 3 == 1 { "search" } else { "checkout" }.to_owned());
        let for_s = if i == 0 { 431.0 } else { 0.0031 * f64::from(i + 1) };
        Server { pid: 4000 + i as i32, state: state.to_owned(), for_s, age_s: 1800.0, pin, application }
    };
    (0..20).map(server).collect()
}

/// Waves that end in `load`; in a shortage, the queue grows with the load.
fn history(load: f64, is_short: bool) -> History {
    let share = |i: u64| {
        let noise = (i.wrapping_mul(2_654_435_761) >> 7) % 100;
        let climb = if is_short { (i as f64 / 120.0).min(1.0) } else { 1.0 };
        (load * climb * (0.86 + 0.1 * (i as f64 / 17.0).sin() + 0.0014 * noise as f64)).min(1.0)
    };
    let pressed = |i: u64| if is_short { ((share(i) - 0.8).max(0.0) * 5.0).powi(2) } else { 0.0 };
    let each = |f: &dyn Fn(u64) -> f64| (0..POINTS).map(|i| f(i) as f32).collect::<Vec<_>>();
    History {
        first: 0,
        utilisation: each(&share),
        waiting: (0..POINTS).map(|i| (34.0 * pressed(i)) as u32).collect(),
        wait_p50_s: each(&|i| 0.041 * pressed(i)),
        wait_p99_s: each(&|i| 0.18 * pressed(i)),
        transactions_per_s: each(&|i| 1450.0 * share(i)),
    }
}
