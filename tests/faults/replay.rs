//! Settings that are replayed in front of a request which doesn't wait for the answer.

use pgweir::demo::cluster::Recipe;
use pgweir_testkit::frontend::*;

use super::kit::{House, Weather, brief, eventually};

const SEEN: &str = "T D[5MB] C[SHOW] Z[I]";

#[test]
fn a_replay_costs_no_round_trip() {
    let (network, house) = House::behind_network(1, "");
    let (mut one, mut other) = (house.client(), house.client());
    one.ask("set work_mem = '5MB'; set timezone = 'Asia/Tokyo'");
    assert_eq!(other.value("show work_mem"), "4MB");
    // Nothing comes back, so whatever waits for an answer sends nothing.
    network.is(Weather::Pass, Weather::Stall);
    one.tell(&query("select pg_sleep(600), current_setting('work_mem')"));
    house.backends_become(1, "state = 'active' and query like '%pg_sleep%'");
    one.cancel();
    network.is(Weather::Pass, Weather::Pass);
    assert_eq!(brief(&one.until_ready()), "T E[ERROR 57014] Z[I]");
    assert_eq!(one.ask("show work_mem"), SEEN);
    assert_eq!(
        other.value("show timezone"),
        other.value("select reset_val from pg_settings where name = 'TimeZone'")
    );
    house.all_is_well();
}

#[test]
fn a_cancel_does_not_hit_the_replay() {
    let (network, house) = House::behind_network(1, "");
    let (mut one, mut other) = (house.client(), house.client());
    one.ask("set work_mem = '5MB'");
    other.ask("select 1");
    network.is(Weather::Stall, Weather::Pass);
    one.tell(&query("select pg_sleep(2), current_setting('work_mem')"));
    eventually("it has a server", || house.servers("active") == 1);
    one.cancel();
    house.metric_becomes("pgweir_cancels_received_total", 1);
    assert_eq!(house.metric("pgweir_cancels_sent_total"), 0, "the replay is under way");
    network.is(Weather::Pass, Weather::Pass);
    house.metric_becomes("pgweir_cancels_sent_total", 1);
    // It may come a moment before the request begins.
    let answer = brief(&one.until_ready());
    assert!(["T E[ERROR 57014] Z[I]", "T D[,5MB] C[SELECT 1] Z[I]"].contains(&&*answer), "{answer}");
    assert_eq!(one.ask("show work_mem"), SEEN);
    house.all_is_well();
}

#[test]
fn a_request_behind_a_replay_that_fails_does_not_run() {
    let house = House::of(Recipe::default(), 1, "");
    let mut director = house.director();
    if director.value("select current_setting('server_version_num')::int < 150000") == "t" {
        // The rights to settings can't be taken back there.
        return;
    }
    director.ask("create table done (a int); grant all on done to app");
    director.ask("grant set on parameter log_min_duration_statement to app");
    let (mut one, mut other) = (house.client(), house.client());
    one.ask("set log_min_duration_statement = '7s'");
    other.ask("select 1");
    director.ask("revoke set on parameter log_min_duration_statement from app");
    let refused = "E[ERROR 57P03] Z[I]";
    for _ in 0..2 {
        one.tell(&query("insert into done values (1)"));
        let answer = one.until_ready();
        assert_eq!(brief(&answer), refused);
        assert!(answer[0].line().contains("permission denied to set parameter"), "{answer:?}");
        one.tell(&unnamed("insert into done values (2)"));
        assert_eq!(brief(&one.until_ready()), refused);
    }
    assert_eq!(director.value("select count(*) from done"), "0");
    house.all_is_well();
}

#[test]
fn a_server_that_can_not_take_on_a_setting_any_more_is_replaced() {
    let house = House::new(1);
    let (mut one, mut other) = (house.client(), house.client());
    one.ask("set temp_buffers = '3MB'");
    other.ask("create temp table t as select 1 as a; drop table t");
    assert_eq!(one.value("show temp_buffers"), "3MB");
    assert_eq!(other.value("show temp_buffers"), "8MB");
    house.all_is_well();
}
