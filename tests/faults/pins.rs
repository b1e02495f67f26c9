//! Servers that are pinned to clients: a pool that is full of them.

use pgweir_testkit::frontend::*;

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
fn a_client_that_can_do_without_its_server_stays_when_that_is_lost() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("create table counted (id serial)");
    client.ask("insert into counted default values");
    eventually("it keeps its server", || house.servers("pinned") == 1);
    assert_eq!(house.terminate(), 1);
    eventually("the pool knows", || house.servers("pinned") == 0);
    assert_eq!(client.ask("select count(*) from counted"), "T D[1] C[SELECT 1] Z[I]");
    assert_eq!(client.ask("select currval('counted_id_seq')"), "T E[ERROR 55000] Z[I]");
    house.all_is_well();
}

#[test]
fn servers_that_clients_can_do_without_serve_others_under_a_ceiling() {
    let house = House::with(5, "limits.max_servers = 2\npool.queue_timeout = '5s'");
    house.client().ask("create table t (v int)");
    let mut keepers: Vec<_> = (0..2).map(|_| house.client()).collect();
    keepers.iter_mut().for_each(|keeper| drop(keeper.ask("begin")));
    for text in ["insert into t values (1)", "commit"] {
        keepers.iter_mut().for_each(|keeper| drop(keeper.ask(text)));
    }
    eventually("each keeps one", || house.servers("pinned") == 2);
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    drop(keepers);
    house.all_is_well();
}

#[test]
fn a_client_that_leaves_takes_no_statements_of_others_along() {
    let house = House::new(1);
    let mut other = house.client();
    other.say(&[parse("kept", "select 42 as kept", &[]), sync()].concat());
    // What texts do isn't known before.
    eventually("the dictionary was read", || house.servers("idle") == 1);
    let leave: [&[&str]; 6] = [
        &["select pg_advisory_lock(7)"],
        &["create temp table t (a int)", "listen x"],
        &["begin", "set local work_mem = '7MB'", "set lock_timeout = '7s'"],
        &["begin", "declare c cursor with hold for select 1", "commit", "set role app"],
        &["begin", "select pg_advisory_lock(8)", "create temp table u (a int)"],
        &["set idle_session_timeout = '300ms'", "begin"],
    ];
    for texts in leave {
        let mut client = house.client();
        texts.iter().for_each(|text| assert!(!client.ask(text).contains("E["), "{text}"));
        drop(client);
        eventually("it has left", || house.servers("pinned") + house.servers("active") == 0);
        let count = "select count(*) from pg_prepared_statements where statement like '%42 as kept'";
        assert_eq!(other.value(count), "1", "{texts:?}");
        let left = "select concat_ws(':', (select count(*) from pg_locks where locktype = 'advisory'),
            (select count(*) from pg_class where relpersistence = 't' and relnamespace = pg_my_temp_schema()),
            (select count(*) from pg_cursors where is_holdable), (select count(*) from pg_listening_channels()),
            current_setting('work_mem'), current_setting('lock_timeout'), current_setting('idle_session_timeout'))";
        assert_eq!(other.value(left), "0:0:0:0:4MB:0:0", "{texts:?}");
    }
    house.all_is_well();
}

#[test]
fn pinned_clients_are_listed_with_their_reasons_until_the_pin_ends() {
    let house = House::new(2);
    let listed = || -> Vec<serde_json::Value> {
        let page = house.http("/pins.json");
        let body = page.split_once("\r\n\r\n").map_or(&*page, |(_, body)| body);
        let page: serde_json::Value = serde_json::from_str(body).expect("JSON");
        page["pins"].as_array().expect("a list").clone()
    };
    assert!(listed().is_empty());
    let mut client = house.client();
    client.ask("set application_name = 'locker'; select pg_advisory_lock(7)");
    eventually("it is listed", || listed().len() == 1);
    let backend: i64 = client.value("select pg_backend_pid()").parse().unwrap();
    client.ask("create temp table t (a int)");
    let reasons = |pin: &serde_json::Value| {
        let reasons = pin["reasons"].as_array().expect("reasons").iter();
        reasons.map(|reason| reason["reason"].as_str().expect("a word").to_owned()).collect::<Vec<_>>()
    };
    eventually("for both", || reasons(&listed()[0]) == ["advisory_lock", "temporary_object"]);
    let pin = &listed()[0];
    assert_eq!((pin["client"].as_i64(), pin["server"].as_i64()), (Some(client.pid().into()), Some(backend)));
    assert_eq!((&pin["user"], &pin["application"]), (&"app".into(), &"locker".into()));
    client.ask("drop table t; select pg_advisory_unlock(7)");
    eventually("the pin has ended", || listed().is_empty());
    client.ask("select pg_advisory_lock(7)");
    eventually("it is listed again", || listed().len() == 1);
    house.terminate();
    eventually("its server was lost", || listed().is_empty());
    let mut other = house.client();
    other.ask("select pg_advisory_lock(8)");
    eventually("the other is listed", || listed().len() == 1);
    drop(other);
    eventually("it has left", || listed().is_empty());
    house.all_is_well();
}

#[test]
fn connections_of_dblink_pin_until_they_are_closed() {
    let house = House::new(2);
    let mut director = house.director();
    director.ask("create schema \"Far away\"; grant usage on schema \"Far away\" to public");
    director.ask("create extension dblink schema \"Far away\"");
    director.ask(
        "create function close_link(text) returns text language sql
        as $$select \"Far away\".dblink_disconnect($1)$$",
    );
    let address = house.postgres().address();
    let link = format!(
        "host={} port={} dbname={} user=app password={}",
        address.ip(),
        address.port(),
        house.database,
        house.postgres().password()
    );
    let is_pinned = |count| eventually("as many are pinned", || house.servers("pinned") == count);
    let client = || {
        let mut client = house.client();
        client.ask("set search_path = 'Far away', public");
        client
    };
    let mut named = client();
    let open_one = format!("select dblink_connect('one', '{link}')");
    let use_one = "select * from dblink('one', 'select 1') as t(a int)";
    assert_eq!(named.value(&open_one), "OK");
    is_pinned(1);
    assert_eq!(named.value(&format!("select dblink_connect('two', '{link}')")), "OK");
    assert_eq!(named.value(use_one), "1");
    assert_eq!(named.value("select dblink_disconnect('two')"), "OK");
    assert_eq!(named.value(use_one), "1");
    is_pinned(1);
    assert_eq!(named.value("select close_link('one')"), "OK");
    is_pinned(0);
    assert_eq!(named.value(&open_one), "OK");
    named.terminate();
    is_pinned(0);
    let mut others = [client(), client()];
    others.iter_mut().for_each(|other| drop(other.ask("begin")));
    let none_is_open = "select dblink_get_connections() is null";
    assert!(others.iter_mut().all(|other| other.value(none_is_open) == "t"));
    drop(others);
    // One without a name can't be asked for.
    let mut unnamed = client();
    assert_eq!(unnamed.value(&format!("select dblink_connect('{link}')")), "OK");
    assert_eq!(unnamed.value("select dblink_disconnect()"), "OK");
    assert_eq!(unnamed.value("select 1"), "1");
    is_pinned(1);
    drop(unnamed);
    is_pinned(0);
    house.all_is_well();
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
