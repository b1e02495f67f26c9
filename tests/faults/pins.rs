//! Servers that are pinned to clients: a pool that is full of them.

use super::house::{House, ask, eventually, row};

#[test]
fn a_pool_full_of_pins_says_so() {
    let house = House::new("[pool]\nsize = 2\npinned_servers = 0\nqueue_timeout = \"1s\"");
    let (mut locker, mut maker, mut waiter) = (house.client(), house.client(), house.client());
    row(&mut locker, "select pg_advisory_lock(7)");
    ask(&mut maker, "create temp table kept (a int)");
    eventually("both are pinned", || house.servers("pinned") == 2);
    let refused = ask(&mut waiter, "select 1");
    assert!(refused[0].starts_with("Error ERROR | 57P03"), "{refused:?}");
    let pins = "servers pinned to clients: 2 (1 advisory_lock, 1 temporary_object)";
    assert!(refused[0].contains(pins), "{refused:?}");
    row(&mut locker, "select pg_advisory_unlock(7)");
    assert_eq!(row(&mut waiter, "select 'served'"), "DataRow [\"served\"]");
    drop(maker);
    house.all_is_well();
}
