//! The catalogue of functions and triggers: when it changes elsewhere, can't be read, or is large.

use std::time::Instant;

use super::kit::{House, eventually};

const LOUD: &str = "create or replace function f() returns text language sql \
                    as $$select set_config('app.loud', 'x', false)$$";
const HEARD: &str = "select coalesce(nullif(current_setting('app.loud', true), ''), 'nothing')";

#[test]
fn a_change_that_passes_elsewhere_is_found_by_the_fingerprint() {
    let house = House::with(1, "timeouts.catalog_check = '20ms'");
    let mut director = house.director();
    director.ask("create function f() returns text language sql as $$select 'quiet'$$");
    let (mut a, mut b) = (house.client(), house.client());
    a.value("select f()");
    director.ask(LOUD);
    eventually("the function is known to set", || {
        a.value("select f()");
        let leaked = b.value(HEARD) != "nothing";
        // What was set before it was known stays on the server.
        let _ = b.ask("discard all");
        !leaked && a.value(HEARD) == "x"
    });
    drop((a, b));
    house.all_is_well();
}

#[test]
fn who_may_not_read_the_catalogue_is_asked_after_each_transaction() {
    let house = House::new(1);
    let mut director = house.director();
    director.ask(
        "create function f() returns text language sql as $$select set_config('work_mem', '9MB', false)$$",
    );
    director.ask("revoke select on pg_proc from public");
    let (mut a, mut b) = (house.client(), house.client());
    for _ in 0..3 {
        a.value("select f()");
        assert_eq!(b.value("show work_mem"), "4MB");
        assert_eq!(a.value("show work_mem"), "9MB");
    }
    drop((a, b));
    house.all_is_well();
}

#[test]
fn a_locked_catalogue_keeps_nobody_waiting() {
    let house = House::new(1);
    let mut director = house.director();
    director.ask("begin; lock table pg_policy in access exclusive mode");
    let mut client = house.client();
    client.value("select set_config('app.x', '1', false)");
    assert_eq!(house.client().value("select coalesce(current_setting('app.x', true), '')"), "");
    assert_eq!(client.value("show app.x"), "1");
    director.ask("rollback");
    drop(client);
    house.all_is_well();
}

#[test]
fn without_tracking_nobody_reads_the_catalogue() {
    let house = House::with(1, "pool.session_state = 'off'");
    let mut director = house.director();
    let mut client = house.client();
    client.value("select 1");
    let seen = "select count(*) from pg_stat_activity where usename = 'app' and datname = current_database() \
                and query <> 'select 1'";
    assert_eq!(director.value(seen), "0");
    drop(client);
    house.all_is_well();
}

/// Prints how long clients wait for the first reading, and what it costs in memory.
#[test]
#[ignore = "on demand: makes 20 000 functions"]
fn twenty_thousand_functions() {
    let house = House::new(1);
    let mut director = house.director();
    director.ask("do $do$ declare body text := repeat(E'perform count(*) from pg_class where oid > 1; -- one line of a body\\n', 15);
         begin for i in 1..20000 loop
           execute format('create function f_%s() returns int language plpgsql as %L', i,
             format(E'begin\\n%s return f_%s(); end', body, i + 1));
         end loop; end $do$",
    );
    director.ask("create function f_20001() returns int language sql as $$select length(set_config('app.loud', 'x', false))$$",
    );
    let before = house.metric("pgweir_process_resident_memory_bytes");
    let (mut a, mut b) = (house.client(), house.client());
    a.value("select 1");
    let began = Instant::now();
    assert_eq!(a.value("select f_19990()"), "1");
    let waited = began.elapsed();
    assert_eq!(b.value(HEARD), "nothing");
    assert_eq!(a.value(HEARD), "x");
    let began = Instant::now();
    a.value("create or replace function g() returns int language sql as 'select 1'; select 1");
    a.value("select 1");
    let again = began.elapsed();
    let after = house.metric("pgweir_process_resident_memory_bytes");
    eprintln!("read in {waited:?}, again after a change in {again:?}, memory {before} -> {after} bytes");
    drop((a, b));
    house.all_is_well();
}
