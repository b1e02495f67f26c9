//! Pools of each kind get the verdict that they deserve, end to end.

use std::thread;
use std::time::Duration;

use pgweir::advice::verdict::{CauseKind, Verdict};
use pgweir::demo::cluster::{Recipe, Stop};
use pgweir::observe::status::EventKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::kit::{House, eventually};
use super::load::{Load, QUICK, pool, status, takes, verdict_becomes};

const WORK: Duration = Duration::from_millis(20);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn an_undersized_pool_is_saturated_and_isnt_with_the_size_that_is_advised() {
    let house = House::with(2, QUICK);
    let load = Load::start(&house, "crowd", 8, ms(10), takes(WORK));
    let pool = verdict_becomes(&house, Verdict::Saturated);
    assert_eq!((pool.causes[0].kind, &*pool.causes[0].name), (CauseKind::Application, "crowd"));
    let mut advice = None;
    eventually("the advice is about this load", || {
        advice = super::load::pool(&house).advice;
        advice
            .as_ref()
            .is_some_and(|advice| advice.key.as_deref() == Some("pool.size") && advice.to > Some(4))
    });
    let advice = advice.expect("just seen");
    assert!(advice.to <= Some(8), "there are eight clients: {}", advice.text);
    assert!(advice.expected_wait_p99_s < advice.wait_p99_s, "{}", advice.text);
    load.stop();
    verdict_becomes(&house, Verdict::Idle);
    let kinds: Vec<_> = status(&house).events.iter().map(|event| event.kind).collect();
    let place = |kind| kinds.iter().position(|&found| found == kind);
    assert!(place(EventKind::SaturationBegan) < place(EventKind::SaturationEnded), "{kinds:?}");
    for line in ["saturation begins", "saturation ends"] {
        assert_eq!(house.pooler.log().matches(line).count(), 1, "{line}: {}", house.pooler.log());
    }

    let mut size = advice.to.expect("a number");
    // On a busy machine the figures are not those of a quiet one: the advice may have to be followed twice.
    for _ in 0..3 {
        let house = House::with(size, QUICK);
        let load = Load::start(&house, "crowd", 8, ms(10), takes(WORK));
        eventually("more than a window of this load", || {
            house.metric("pgweir_pool_transactions_total") >= 1000
        });
        let pool = super::load::pool(&house);
        load.stop();
        if !pool.standing.verdict.is_shortage() {
            return;
        }
        size = pool.advice.and_then(|advice| advice.to).expect("who is short is told how to be otherwise");
    }
    panic!("still short with a size of {size}");
}

#[test]
fn a_pool_that_keeps_servers_for_nobody_is_oversized() {
    let house = House::with(14, &format!("{QUICK}pool.min_size = 14\n"));
    let _load = Load::start(&house, "lonely", 1, ms(20), takes(ms(1)));
    let pool = verdict_becomes(&house, Verdict::Oversized);
    let advice = pool.advice.expect("something to do");
    assert_eq!((advice.key.as_deref(), advice.from), (Some("pool.min_size"), Some(14)));
    assert!(advice.to <= Some(4), "{}", advice.text);
}

#[test]
fn a_pool_whose_servers_are_pinned_is_starved_by_pins() {
    let house = House::with(3, &format!("{QUICK}pool.pinned_servers = 0\n"));
    let mut lockers = [house.client(), house.client()];
    for (key, locker) in lockers.iter_mut().enumerate() {
        locker.ask(&format!("select pg_advisory_lock({key})"));
    }
    let load = Load::start(&house, "web", 4, ms(5), takes(WORK));
    let pool = verdict_becomes(&house, Verdict::StarvedByPins);
    assert!(pool.causes.iter().any(|cause| cause.kind == CauseKind::Pin && cause.name == "advisory_lock"));
    let advice = pool.advice.expect("something to do");
    assert_eq!(
        (advice.key.as_deref(), advice.from, advice.to),
        (Some("pool.pinned_servers"), Some(0), Some(3))
    );
    assert_eq!(pool.pins[0].now, 2);
    drop(lockers);
    eventually("the pins are over", || super::load::pool(&house).pins[0].now == 0);
    assert!(load.stop().transactions > 0);
}

#[test]
fn a_pool_whose_transactions_pause_is_held_by_them() {
    let house = House::with(3, QUICK);
    let _load = Load::start(&house, "batch", 6, ms(1), |client| {
        client.ask("begin");
        thread::sleep(ms(40));
        client.ask("commit");
    });
    let pool = verdict_becomes(&house, Verdict::HeldByIdleTransactions);
    assert!(pool.causes.iter().any(|cause| cause.kind == CauseKind::IdleTransactions && cause.share > 0.5));
    assert!(pool.now.idle_in_transaction > 0.5, "{:?}", pool.now);
    let advice = pool.advice.expect("something to do");
    assert_eq!(advice.key.as_deref(), Some("timeouts.idle_in_transaction"));
}

#[test]
fn a_pool_whose_upstream_has_become_slow_says_so() {
    let house = House::with(3, QUICK);
    let slow = Arc::new(AtomicBool::new(false));
    let is_slow = slow.clone();
    let (fast, late) = (takes(ms(4)), takes(ms(120)));
    let _load = Load::start(&house, "web", 6, ms(30), move |client| match is_slow.load(Relaxed) {
        false => fast(client),
        true => late(client),
    });
    eventually("it is known how long work takes", || status(&house).history.next >= 3);
    slow.store(true, Relaxed);
    let pool = verdict_becomes(&house, Verdict::UpstreamSlow);
    assert!(pool.advice.expect("something to do").text.starts_with("PostgreSQL works "));
}

#[test]
fn a_postgres_without_room_is_an_upstream_limit() {
    let recipe = Recipe { max_connections: Some(10), ..Recipe::default() };
    let house = House::of(recipe, 8, QUICK);
    let others: Vec<_> = (0..4).map(|_| house.direct()).collect();
    let _load = Load::start(&house, "web", 12, ms(1), takes(WORK));
    let pool = verdict_becomes(&house, Verdict::UpstreamLimit);
    assert!(pool.size < pool.configured_size, "{pool:?}");
    let connections = pool.connections.expect("it was asked for");
    assert_eq!((connections.max, connections.reserved), (10, 3));
    assert!(
        pool.advice
            .expect("something to do")
            .text
            .contains("PostgreSQL's 10 connections are in use by others")
    );
    drop(others);
}

#[test]
fn a_postgres_that_is_gone_is_down_until_it_is_back() {
    let mut house = House::of(Recipe::default(), 2, QUICK);
    assert_eq!(house.client().value("select 1"), "1");
    house.own_postgres().stop(Stop::Immediate).expect("it stops");
    let mut client = house.client();
    let asked = thread::spawn(move || client.outcome("select 1"));
    verdict_becomes(&house, Verdict::UpstreamDown);
    house.own_postgres().start().expect("it starts");
    asked.join().expect("an answer");
    verdict_becomes(&house, Verdict::Idle);
    let kinds: Vec<_> = status(&house).events.iter().map(|event| event.kind).collect();
    for kind in [EventKind::UpstreamDown, EventKind::UpstreamUp] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
}

#[test]
fn limits_and_slow_transactions_are_told_without_their_text() {
    let house = House::with(1, &format!("{QUICK}pool.queue_limit = 0\nlog.slow_transaction = '50ms'\n"));
    let mut slow = house.client();
    slow.tell(&pgweir_testkit::frontend::query("select pg_sleep(0.3), 'secret'"));
    eventually("it runs", || house.servers("active") == 1);
    let refused = house.client().ask("select 1");
    assert_eq!(refused, "E[ERROR 53300] Z[I]");
    slow.until_ready();
    eventually("both are told", || {
        let kinds: Vec<_> = status(&house).events.iter().map(|event| event.kind).collect();
        kinds.contains(&EventKind::LimitHit) && kinds.contains(&EventKind::SlowTransaction)
    });
    assert_eq!(house.metric("pgweir_slow_transactions_total"), 1);
    assert!(!house.pooler.log().contains("secret"), "{}", house.pooler.log());
    assert_eq!(pool(&house).configured_size, 1);
}
