//! The catalogue of functions and triggers: when it changes elsewhere, can't be read, or is large.

use std::time::Instant;

use super::house::{House, ask, eventually, row};

const LOUD: &str = "create or replace function f() returns text language sql \
                    as $$select set_config('app.loud', 'x', false)$$";
const HEARD: &str = "select coalesce(nullif(current_setting('app.loud', true), ''), 'nothing')";

#[test]
fn a_change_that_passes_elsewhere_is_found_by_the_fingerprint() {
    let house = House::new("[pool]\nsize = 1\n[timeouts]\ncatalog_check = \"20ms\"");
    let mut director = house.director();
    ask(&mut director, "create function f() returns text language sql as $$select 'quiet'$$");
    let (mut a, mut b) = (house.client(), house.client());
    row(&mut a, "select f()");
    ask(&mut director, LOUD);
    eventually("the function is known to set", || {
        row(&mut a, "select f()");
        let leaked = row(&mut b, HEARD) != "DataRow [\"nothing\"]";
        // What was set before it was known stays on the server.
        let _ = ask(&mut b, "discard all");
        !leaked && row(&mut a, HEARD) == "DataRow [\"x\"]"
    });
    drop((a, b));
    house.all_is_well();
}

#[test]
fn who_may_not_read_the_catalogue_is_asked_after_each_transaction() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    ask(
        &mut director,
        "create function f() returns text language sql as $$select set_config('work_mem', '9MB', false)$$",
    );
    ask(&mut director, "revoke select on pg_proc from public");
    let (mut a, mut b) = (house.client(), house.client());
    for _ in 0..3 {
        row(&mut a, "select f()");
        assert_eq!(row(&mut b, "show work_mem"), "DataRow [\"4MB\"]");
        assert_eq!(row(&mut a, "show work_mem"), "DataRow [\"9MB\"]");
    }
    drop((a, b));
    house.all_is_well();
}

#[test]
fn a_locked_catalogue_keeps_nobody_waiting() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    ask(&mut director, "begin; lock table pg_policy in access exclusive mode");
    let mut client = house.client();
    row(&mut client, "select set_config('app.x', '1', false)");
    assert_eq!(
        row(&mut house.client(), "select coalesce(current_setting('app.x', true), '')"),
        "DataRow [\"\"]"
    );
    assert_eq!(row(&mut client, "show app.x"), "DataRow [\"1\"]");
    ask(&mut director, "rollback");
    drop(client);
    house.all_is_well();
}

#[test]
fn without_tracking_nobody_reads_the_catalogue() {
    let house = House::new("[pool]\nsize = 1\nsession_state = \"off\"");
    let mut director = house.director();
    let mut client = house.client();
    row(&mut client, "select 1");
    let seen = "select count(*) from pg_stat_activity where usename = 'app' and query <> 'select 1'";
    assert_eq!(row(&mut director, seen), "DataRow [\"0\"]");
    drop(client);
    house.all_is_well();
}

/// Prints how long clients wait for the first reading, and what it costs in memory.
#[test]
#[ignore = "on demand: makes 20 000 functions"]
fn twenty_thousand_functions() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    ask(
        &mut director,
        "do $do$ declare body text := repeat(E'perform count(*) from pg_class where oid > 1; -- one line of a body\\n', 15);
         begin for i in 1..20000 loop
           execute format('create function f_%s() returns int language plpgsql as %L', i,
             format(E'begin\\n%s return f_%s(); end', body, i + 1));
         end loop; end $do$",
    );
    ask(
        &mut director,
        "create function f_20001() returns int language sql as $$select length(set_config('app.loud', 'x', false))$$",
    );
    let before = house.metric("process_resident_memory_bytes");
    let (mut a, mut b) = (house.client(), house.client());
    row(&mut a, "select 1");
    let began = Instant::now();
    assert_eq!(row(&mut a, "select f_19990()"), "DataRow [\"1\"]");
    let waited = began.elapsed();
    assert_eq!(row(&mut b, HEARD), "DataRow [\"nothing\"]");
    assert_eq!(row(&mut a, HEARD), "DataRow [\"x\"]");
    let began = Instant::now();
    row(&mut a, "create or replace function g() returns int language sql as 'select 1'; select 1");
    row(&mut a, "select 1");
    let again = began.elapsed();
    let after = house.metric("process_resident_memory_bytes");
    eprintln!("read in {waited:?}, again after a change in {again:?}, memory {before} -> {after} bytes");
    drop((a, b));
    house.all_is_well();
}
