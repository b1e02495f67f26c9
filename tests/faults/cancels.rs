//! Cancels: the right query, only that one, and never a later one.

use std::time::Duration;

use pgweir_testkit::frontend::*;

use super::kit::{Client, House, Weather, brief, eventually};

const SLEEPS: &str = "state = 'active' and query like '%pg_sleep%'";

#[test]
fn f97_cancel_that_comes_late_hits_nobody_else() {
    let (upstream, house) = House::behind_network(1, "");
    let (mut victim, mut cancelled) = (house.client(), house.client());
    let mut hits = 0;
    for round in 0..300 {
        // The cancel's own connection takes a while; the query that it is for is over at about that time.
        let delay = Duration::from_micros(500 * (round % 20));
        upstream.is(Weather::Delay(delay), Weather::Pass);
        cancelled.tell(&query(&format!("select pg_sleep({})", f64::from(round as u32 % 7) / 1000.0)));
        let request = cancelled.canceller();
        victim.tell(&query("select pg_sleep(0.003), 'mine'"));
        let heard = brief(&cancelled.until_ready());
        hits += usize::from(heard.contains("57014"));
        assert_eq!(
            brief(&victim.until_ready()),
            "T D[,mine] C[SELECT 1] Z[I]",
            "round {round}, after {heard}"
        );
        drop(request);
    }
    assert!(hits > 0, "some cancels hit");
    house.all_is_well();
}

#[test]
fn f98_cancel_of_a_queued_client() {
    let house = House::new(1);
    let (mut busy, mut queued) = (house.client(), house.client());
    busy.ask("begin");
    queued.tell(&query("select 'never runs'"));
    house.metric_becomes("pgweir_pool_clients_waiting", 1);
    queued.cancel();
    assert_eq!(brief(&queued.until_ready()), "E[ERROR 57014] Z[I]");
    assert_eq!(house.metric("pgweir_pool_clients_waiting"), 0);
    busy.ask("commit");
    assert_eq!(queued.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f98_cancel_of_a_queued_batch() {
    let house = House::new(1);
    let (mut busy, mut queued) = (house.client(), house.client());
    busy.ask("begin");
    queued.tell(&[unnamed("select 'never runs'"), unnamed("select 'the next one'")].concat());
    house.metric_becomes("pgweir_pool_clients_waiting", 1);
    queued.cancel();
    assert_eq!(brief(&queued.until_ready()), "E[ERROR 57014] Z[I]");
    busy.ask("commit");
    assert_eq!(brief(&queued.until_ready()), "1 2 D[the next one] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f99_cancel_with_nothing_to_cancel() {
    let house = House::new(2);
    let (mut idle, mut running) = (house.client(), house.client());
    idle.cancel();
    assert_eq!(idle.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");

    running.tell(&query("select pg_sleep(1), 'mine'"));
    house.backends_become(1, SLEEPS);
    let right = running.cancel_request();
    let mut wrong = right.clone();
    *wrong.last_mut().expect("a key") ^= 1;
    let mut stranger = right.clone();
    stranger[8..12].copy_from_slice(&1_u32.to_be_bytes());
    for request in [wrong, stranger] {
        let mut other = Client::silent(house.address());
        other.tell(&request);
        assert_eq!(brief(&other.until_closed()), "", "not a word");
    }
    for length in [4, 7, 300] {
        let mut other = Client::silent(house.address());
        let _ = other.send(&untyped(&[&right[4..8], &vec![7; length][..]].concat()));
        other.until_closed();
    }
    assert_eq!(brief(&running.until_ready()), "T D[,mine] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f100_a_storm_of_cancels() {
    let (upstream, house) = House::behind_network(1, "");
    let mut client = house.client();
    client.tell(&query("select pg_sleep(600)"));
    house.backends_become(1, SLEEPS);
    let before = upstream.accepted();
    upstream.is(Weather::Stall, Weather::Stall);
    let storm: Vec<_> = (0..1000).map(|_| client.canceller()).collect();
    house.metric_becomes("pgweir_cancels_received_total", 1000);
    eventually("one is on its way", || upstream.accepted() > before);
    assert!(upstream.accepted() <= before + 2, "{} at once", upstream.accepted() - before);
    upstream.is(Weather::Pass, Weather::Pass);
    assert_eq!(brief(&client.until_ready()), "T E[ERROR 57014] Z[I]");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    drop(storm);
    house.all_is_well();
}

#[test]
fn f101_cancel_while_a_session_is_restored() {
    let house = House::new(1);
    let (mut one, mut two) = (house.client(), house.client());
    one.ask("set work_mem = '5MB'");
    two.ask("set work_mem = '6MB'");
    // Each takes the server from the other, so each query stands behind pgweir's own.
    for round in 0..100 {
        for (client, expected) in [(&mut one, "5MB"), (&mut two, "6MB")] {
            client.tell(&query("show work_mem"));
            client.cancel();
            let heard = brief(&client.until_ready());
            let whole = format!("T D[{expected}] C[SHOW] Z[I]");
            assert!(heard == whole || heard.ends_with("E[ERROR 57014] Z[I]"), "round {round}: {heard}");
        }
    }
    assert_eq!((one.value("show work_mem"), two.value("show work_mem")), ("5MB".into(), "6MB".into()));
    house.all_is_well();
}
