//! Pools by their figures, and what is to be said of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::causes::causes;
use super::judge::{Connections, Facts, judge};
use super::load::Load;
use super::recommend::{explain, recommend};
use super::verdict::{Advice, CauseKind, Verdict};
use crate::meter::work::Work;
use crate::pool::applications::ApplicationSnapshot;
use crate::pool::snapshot::{PinSnapshot, PoolSnapshot, Trouble};

/// Some moment to start from.
#[allow(clippy::disallowed_methods)]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

const SPAN: f64 = 60.0;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A pool of ten servers after a minute in which `busy` of them were in use, each transaction for 10 ms.
fn pool(busy: f64) -> PoolSnapshot {
    let transactions = (busy * SPAN / 0.01) as u64;
    PoolSnapshot {
        size: 10,
        configured_size: 10,
        pinned_limit: 40,
        servers_idle: 10 - busy as u32,
        servers_active: busy as u32,
        clients: 200,
        clients_seen: 100,
        checkouts: transactions,
        work: Work { transactions, queries: transactions, ..Work::default() },
        active_time: seconds(busy * SPAN),
        ..PoolSnapshot::default()
    }
}

/// The same, and somebody waited nearly all the time, each client for 50 ms.
fn short(busy: f64) -> PoolSnapshot {
    let mut pool = pool(busy);
    pool.full_time = seconds(0.9 * SPAN);
    pool.waiting_time = seconds(0.9 * SPAN);
    pool.waiting_sum = seconds(20.0 * SPAN);
    pool.waits = pool.checkouts / 2;
    pool.wait.counts[9] = pool.waits;
    pool
}

struct Said {
    verdict: Verdict,
    advice: Option<Advice>,
    causes: Vec<CauseKind>,
    text: String,
}

fn say(to: &PoolSnapshot) -> Said {
    say_of(to, None, None, Verdict::Healthy)
}

fn say_of(
    to: &PoolSnapshot,
    usual_work: Option<f64>,
    connections: Option<Connections>,
    standing: Verdict,
) -> Said {
    let from = PoolSnapshot {
        servers_idle: to.servers_idle,
        servers_active: to.servers_active,
        ..PoolSnapshot::default()
    };
    let load = Load::between(&from, to, seconds(SPAN));
    let facts = Facts { from: &from, to, load: &load, usual_work, connections };
    let verdict = judge(&facts, standing);
    Said {
        verdict,
        advice: recommend(&facts, verdict),
        causes: causes(&facts, verdict).iter().map(|cause| cause.kind).collect(),
        text: explain(&facts, verdict),
    }
}

#[test]
fn an_idle_pool_a_healthy_one_and_a_tight_one() {
    let idle = PoolSnapshot { size: 10, configured_size: 10, ..PoolSnapshot::default() };
    assert_eq!(say(&idle).verdict, Verdict::Idle);
    let healthy = say(&pool(5.0));
    assert_eq!((healthy.verdict, healthy.advice), (Verdict::Healthy, None));
    assert_eq!(healthy.text, "5.0 of 10 servers are in use");
    assert_eq!(say(&pool(8.5)).verdict, Verdict::Tight);
}

#[test]
fn a_saturated_pool_is_told_how_large_it_should_be() {
    let said = say(&short(9.9));
    assert_eq!(said.verdict, Verdict::Saturated);
    let advice = said.advice.expect("something to do");
    assert_eq!((advice.key.as_deref(), advice.from), (Some("pool.size"), Some(10)));
    let to = advice.to.expect("a number");
    assert!((11..=40).contains(&to), "{}", advice.text);
    assert!(advice.expected_wait_p99_s < advice.wait_p99_s, "{}", advice.text);
    assert!(advice.text.starts_with(&format!("size 10 → {to}: wait p99 50 ms → ")), "{}", advice.text);
}

#[test]
fn what_postgres_has_room_for_bounds_the_advice() {
    let connections = |used| Some(Connections { max: 100, reserved: 3, used, ours: 10 });
    let advice = |used| say_of(&short(9.9), None, connections(used), Verdict::Healthy).advice.expect("some");
    let roomy = advice(84);
    assert!(
        roomy.text.ends_with("74 of PostgreSQL's 100 connections are in use by others"),
        "{}",
        roomy.text
    );
    assert_eq!(advice(96).to, Some(11));
    let none = advice(97);
    assert_eq!(none.to, None);
    assert!(none.text.contains("PostgreSQL has no room: 87 of PostgreSQL's 100"), "{}", none.text);
}

#[test]
fn pins_that_take_the_places_of_others() {
    let mut starved = short(3.0);
    (starved.servers_pinned, starved.pinned_limit) = (7, 0);
    starved.pinned_time = seconds(7.0 * SPAN);
    starved.pins = vec![PinSnapshot { reason: "listen", now: 7, begun: 7, held: starved.pinned_time }];
    let said = say(&starved);
    assert_eq!((said.verdict, said.causes[0]), (Verdict::StarvedByPins, CauseKind::Pin));
    let advice = said.advice.expect("something to do");
    assert_eq!((advice.from, advice.to), (Some(0), Some(8)));

    // Beyond the size they take nobody's place: then it is the work.
    starved.servers_exempt = 7;
    starved.active_time = seconds(9.9 * SPAN);
    assert_eq!(say(&starved).verdict, Verdict::Saturated);
}

#[test]
fn transactions_that_pause() {
    let mut held = short(9.9);
    held.times.paused = seconds(6.0 * SPAN);
    let said = say(&held);
    assert_eq!(
        (said.verdict, said.causes[0]),
        (Verdict::HeldByIdleTransactions, CauseKind::IdleTransactions)
    );
    assert!(said.advice.expect("something to do").text.starts_with("transactions pause 61 %"));
}

#[test]
fn a_slow_upstream_is_one_that_was_faster_before() {
    let verdict = |usual| say_of(&short(9.9), usual, None, Verdict::Healthy).verdict;
    assert_eq!(verdict(None), Verdict::Saturated);
    assert_eq!(verdict(Some(0.008)), Verdict::Saturated);
    assert_eq!(verdict(Some(0.002)), Verdict::UpstreamSlow);
}

#[test]
fn limits_of_others_and_outages() {
    let limited = PoolSnapshot { size: 4, trouble: Some(Trouble::Full), ..short(3.9) };
    let connections = Some(Connections { max: 20, reserved: 3, used: 17, ours: 4 });
    let said = say_of(&limited, None, connections, Verdict::Healthy);
    assert_eq!((said.verdict, said.causes.contains(&CauseKind::Connections)), (Verdict::UpstreamLimit, true));
    let ceiling = PoolSnapshot { trouble: Some(Trouble::Ceiling), full_time: Duration::ZERO, ..short(3.9) };
    assert_eq!(say(&ceiling).verdict, Verdict::UpstreamLimit);
    let why: Arc<str> = "connection refused".into();
    let down = PoolSnapshot { trouble: Some(Trouble::Unreachable(why)), ..PoolSnapshot::default() };
    let said = say(&down);
    assert_eq!(said.verdict, Verdict::UpstreamDown);
    assert_eq!(said.advice.expect("some").text, "no server can be opened: connection refused");
}

#[test]
fn servers_that_nobody_needs() {
    let few = PoolSnapshot { min_size: 10, servers_idle: 9, ..pool(0.5) };
    let said = say(&few);
    assert_eq!(said.verdict, Verdict::Oversized);
    let advice = said.advice.expect("something to do");
    assert_eq!((advice.key.as_deref(), advice.from), (Some("pool.min_size"), Some(10)));
    assert!(advice.to.expect("a number") <= 3, "{}", advice.text);
    let closed = PoolSnapshot { servers_idle: 2, ..pool(0.5) };
    assert_eq!(say(&closed).verdict, Verdict::Healthy, "what isn't open costs nothing");
}

#[test]
fn a_shortage_ends_later_than_it_begins() {
    let mut edge = pool(7.0);
    (edge.full_time, edge.waiting_time) = (seconds(0.07 * SPAN), seconds(0.07 * SPAN));
    assert_eq!(say(&edge).verdict, Verdict::Healthy);
    assert!(say_of(&edge, None, None, Verdict::Saturated).verdict.is_shortage());
}

#[test]
fn errors_are_a_shortage_however_short() {
    let refused = PoolSnapshot { queue_refusals: 1, ..pool(5.0) };
    assert_eq!(say(&refused).verdict, Verdict::Saturated);
}

#[test]
fn the_busiest_application_is_named() {
    let mut busy = short(9.9);
    let row = |name: &str, share: f64| ApplicationSnapshot {
        name: name.into(),
        held: seconds(9.9 * SPAN * share),
        ..ApplicationSnapshot::default()
    };
    busy.applications = vec![row("web", 0.2), row("report", 0.78), row("cron", 0.02)];
    busy.times.transaction.counts[7] = 1_000;
    busy.times.transaction.counts[14] = 100;
    let from = PoolSnapshot::default();
    let load = Load::between(&from, &busy, seconds(SPAN));
    let facts = Facts { from: &from, to: &busy, load: &load, usual_work: None, connections: None };
    let told: Vec<_> =
        causes(&facts, Verdict::Saturated).into_iter().map(|cause| (cause.kind, cause.name)).collect();
    let app = |name: &str| (CauseKind::Application, name.to_owned());
    assert_eq!(told, [app("report"), app("web"), (CauseKind::LongTransactions, String::new())]);
}
