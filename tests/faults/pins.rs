//! Servers that are pinned to clients: a pool that is full of them.

use super::kit::{House, brief, eventually};

#[test]
fn a_pool_full_of_pins_says_so() {
    let house = House::with(2, "pool.pinned_servers = 0\npool.queue_timeout = '1s'");
    let (mut locker, mut maker, mut waiter) = (house.client(), house.client(), house.client());
    locker.ask("select pg_advisory_lock(7)");
    maker.ask("create temp table kept (a int)");
    eventually("both are pinned", || house.servers("pinned") == 2);
    assert_eq!(house.metric("pgweir_pool_pins"), 2);
    let refused = waiter.outcome("select 1");
    assert_eq!(brief(&refused), "E[ERROR 57P03] Z[I]");
    let pins = "servers pinned to clients: 2 (1 advisory_lock, 1 temporary_object)";
    assert!(refused[0].line().contains(pins), "{refused:?}");
    locker.ask("select pg_advisory_unlock(7)");
    assert_eq!(waiter.value("select 'served'"), "served");
    drop(maker);
    house.all_is_well();
    assert_eq!(house.metric("pgweir_pool_pins"), 0);
    assert_eq!(house.metric("pgweir_pool_pins_total"), 2);
}

#[test]
fn the_log_says_once_for_each_reason_and_application_how_to_do_without() {
    let house = House::new(1);
    for _ in 0..3 {
        let mut client = house.client();
        client.ask("select pg_advisory_lock(7)");
        client.ask("select pg_advisory_unlock(7)");
    }
    house.client().ask("set application_name = 'other'; select pg_advisory_lock(7)");
    house.all_is_well();
    assert_eq!(house.metric("pgweir_pool_pins_total"), 4);
    let log = house.pooler.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("reason=advisory_lock")).collect();
    assert_eq!(told.len(), 2, "{log}");
    assert!(told.iter().all(|line| line.contains("pg_advisory_xact_lock")), "{told:?}");
    assert!(told[1].contains("other"), "{told:?}");
}
