//! Servers that are pinned to clients: a pool that is full of them.

use super::kit::{House, brief, eventually};

#[test]
fn a_pool_full_of_pins_says_so() {
    let house = House::with(2, "pool.pinned_servers = 0\npool.queue_timeout = '1s'");
    let (mut locker, mut maker, mut waiter) = (house.client(), house.client(), house.client());
    locker.ask("select pg_advisory_lock(7)");
    maker.ask("create temp table kept (a int)");
    eventually("both are pinned", || house.servers("pinned") == 2);
    let refused = waiter.outcome("select 1");
    assert_eq!(brief(&refused), "E[ERROR 57P03] Z[I]");
    let pins = "servers pinned to clients: 2 (1 advisory_lock, 1 temporary_object)";
    assert!(refused[0].line().contains(pins), "{refused:?}");
    locker.ask("select pg_advisory_unlock(7)");
    assert_eq!(waiter.value("select 'served'"), "served");
    drop(maker);
    house.all_is_well();
}
