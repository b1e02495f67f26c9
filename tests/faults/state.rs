//! State of sessions: prepared statements, settings, COPY, messages of any size, modes of pools.

use pgweir::demo::cluster::Recipe;
use pgweir_testkit::client::Client;
use pgweir_testkit::frontend::*;
use pgweir_testkit::message::Message;

use super::kit::{House, brief, eventually};

/// Bind, Execute, Sync of a prepared statement.
fn run(name: &str, values: &[&str]) -> Vec<u8> {
    [bind("", name, values), execute("", 0), sync()].concat()
}

#[test]
fn f80_no_session_state_reaches_the_next_client() {
    let house = House::new(1);
    let mut admin = house.director();
    admin.ask("create role f80_role");
    admin.ask("grant f80_role to app");
    let kinds: [(&str, &str, &str); 11] = [
        ("role", "set role f80_role", "select current_user"),
        ("session authorization", "set session authorization app", "select session_user, current_user"),
        ("search_path", "set search_path = pg_catalog", "show search_path"),
        ("setting", "set work_mem = '7MB'", "show work_mem"),
        ("set_config", "select set_config('work_mem', '8MB', false)", "show work_mem"),
        ("SET in DO", "do $$begin set work_mem = '9MB'; end$$", "show work_mem"),
        ("temporary table", "create temp table t (v int)", "select to_regclass('pg_temp.t')"),
        (
            "SQL PREPARE",
            "prepare p as select 1",
            "select count(*) from pg_prepared_statements where name = 'p'",
        ),
        ("WITH HOLD", "declare c cursor with hold for select 1", "select count(*) from pg_cursors"),
        ("LISTEN", "listen f80", "select * from pg_listening_channels()"),
        (
            "advisory lock",
            "select pg_advisory_lock(80)",
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
        ),
    ];
    for (kind, set, probe) in kinds {
        let fresh = house.direct().ask(probe);
        let (mut owner, mut next, mut later) = (house.client(), house.client(), house.client());
        let done = owner.ask(set);
        assert!(!done.contains("E["), "{kind}: {done}");
        let owned = owner.ask(probe);
        if kind != "session authorization" {
            assert_ne!(owned, fresh, "{kind}: the probe shows it");
        }
        assert_eq!(next.ask(probe), fresh, "{kind}: another client");
        assert_eq!(owner.ask(probe), owned, "{kind}: its owner keeps it");
        owner.terminate();
        for _ in 0..2 {
            assert_eq!(next.ask(probe), fresh, "{kind}: another client, afterwards");
            assert_eq!(later.ask(probe), fresh, "{kind}: a third client, afterwards");
        }
    }
    admin.ask("drop owned by f80_role; drop role f80_role");
    house.all_is_well();
}

#[test]
fn f84_a_batch_needs_more_statements_than_the_server_keeps() {
    let house = House::with(1, "pool.server_statements = 2");
    let mut client = house.client();
    for number in 0..5 {
        client.say(&[parse(&format!("s{number}"), &format!("select {number}"), &[]), sync()].concat());
    }
    for _ in 0..3 {
        let batch: Vec<u8> =
            (0..5).flat_map(|n| [bind("", &format!("s{n}"), &[]), execute("", 0)].concat()).collect();
        let expected: Vec<_> = (0..5).map(|n| format!("2 D[{n}] C[SELECT 1]")).collect();
        assert_eq!(client.say(&[batch, sync()].concat()), format!("{} Z[I]", expected.join(" ")));
    }
    // In one write, so that each is judged while the others are under way.
    let batches: Vec<u8> = (0..100).flat_map(|n| run(&format!("s{}", n % 5), &[])).collect();
    client.tell(&batches);
    for n in 0..100 {
        assert_eq!(brief(&client.until_ready()), format!("2 D[{}] C[SELECT 1] Z[I]", n % 5));
    }
    // The next one makes good for what the batches were allowed.
    assert_eq!(client.say(&[parse("more", "select 'more'", &[]), sync()].concat()), "1 Z[I]");
    let kept = "select count(*) from pg_prepared_statements where name ~ '^_pgweir_[0-9]'";
    assert_eq!(client.value(kept), "2");
    house.all_is_well();
}

#[test]
fn f85_the_server_is_replaced_between_parse_and_bind() {
    let house = House::new(1);
    let mut client = house.client();
    for name in ["named", ""] {
        assert_eq!(client.say(&[parse(name, "select $1::int", &[]), sync()].concat()), "1 Z[I]");
        assert_eq!(house.terminate(), 1);
        assert_eq!(client.say(&run(name, &["7"])), "2 D[7] C[SELECT 1] Z[I]", "{name:?}");
    }
    house.all_is_well();
}

#[test]
fn f89_copy_out_to_a_client_that_stops() {
    let house = House::with(2, "timeouts.write_stall = '1s'");
    let mut stalled = house.client();
    stalled.narrow();
    stalled.tell(&query("copy (select repeat('x', 100000) from generate_series(1, 10000)) to stdout"));
    house.backends_become(1, "wait_event = 'ClientWrite'");
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.backends_become(0, "query like 'copy%' and state = 'active'");
    house.all_is_well();
}

#[test]
fn f90_copy_both_has_no_place_in_a_pool() {
    let house = House::new(1);
    let mut client = house.client();
    // Only a connection that began as replication may; this one is an ordinary one to the server.
    assert_eq!(client.ask("start_replication physical 0/0"), "E[ERROR 42601] Z[I]");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f91_large_messages_pass_through() {
    const SIZE: usize = 200 << 20;
    let house = House::new(1);
    let mut client = house.client();
    client.ask("select 1");
    let before = house.resident();
    let flat = |what: &str| {
        let grown = house.resident().saturating_sub(before);
        assert!(grown < 4 << 20, "{what}: memory grew by {grown} bytes");
    };
    client.tell(&query(&format!("select repeat('x', {SIZE})")));
    assert_eq!(client.hear(b'D').pop().map(|row| row.body.len()), Some(2 + 4 + SIZE));
    assert_eq!(brief(&client.until_ready()), "C[SELECT 1] Z[I]");
    flat("DataRow");

    let large = "x".repeat(SIZE);
    let length = format!("D[{SIZE}] C[SELECT 1] Z[I]");
    let batch =
        [parse("", "select length($1)", &[25]), bind("", "", &[&large]), execute("", 0), sync()].concat();
    assert_eq!(client.say(&batch), format!("1 2 {length}"));
    flat("Bind");
    assert_eq!(client.ask(&format!("select length('{large}')")), format!("T {length}"));
    flat("Query");
    house.all_is_well();
}

#[test]
fn f92_large_statements_have_a_budget() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("select 1");
    let before = house.resident();
    let large = format!("select '{}'", "x".repeat(10 << 20));
    for number in 0..20 {
        let batch =
            [parse(&format!("s{number}"), &large, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
        assert_eq!(client.say(&batch), "E[ERROR 54000] Z[I]");
    }
    let grown = house.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
    assert_eq!(client.say(&unnamed("select 1")), "1 2 D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f93_as_many_parameters_and_statements_as_there_may_be() {
    let house = House::new(1);
    let parameters: Vec<_> = (1..=65_535).map(|n| format!("(${n})")).collect();
    let values = vec!["1"; 65_535];
    let count = format!("select count(*) from (values {}) as v", parameters.join(","));
    let many: String = (0..1000).map(|n| format!("select {n};")).collect();
    let requests =
        [[parse("", &count, &[]), bind_all(&values), execute("", 0), sync()].concat(), query(&many)];
    for request in requests {
        assert_eq!(house.client().say(&request), house.direct().say(&request));
    }
    house.all_is_well();
}

/// Bind with as many parameters as the protocol can count.
fn bind_all(values: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    body.extend(u16::try_from(values.len()).expect("a count").to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

#[test]
fn f80_a_temporary_slot_ends_with_its_client() {
    let settings = vec!["wal_level = replica".to_owned(), "max_wal_senders = 5".to_owned()];
    let house = House::of(Recipe { settings, ..Recipe::default() }, 1, "");
    let mut director = house.director();
    director.ask("alter role app replication");
    let mut client = house.client();
    client.value("select pg_create_physical_replication_slot('mark', false, true)");
    assert_eq!(director.value("select count(*) from pg_replication_slots"), "1");
    // The server is pinned by now, so nothing but the count says that there is a slot.
    client.ask("select 1");
    drop(client);
    assert_eq!(house.client().value("select 'next'"), "next");
    eventually("it is gone", || director.value("select count(*) from pg_replication_slots") == "0");
    house.all_is_well();
}

#[test]
fn session_mode_keeps_one_server_for_a_client() {
    let house = House::with(2, "pool.mode = 'session'");
    let (mut one, mut two) = (house.client(), house.client());
    let pids = (one.value("select pg_backend_pid()"), two.value("select pg_backend_pid()"));
    assert_ne!(pids.0, pids.1);
    for _ in 0..5 {
        assert_eq!(one.value("select pg_backend_pid()"), pids.0);
        assert_eq!(two.value("select pg_backend_pid()"), pids.1);
    }
    one.ask("set work_mem = '5MB'");
    drop((one, two));
    assert_eq!(house.client().value("show work_mem"), "4MB");
}

#[test]
fn statement_mode_allows_no_transactions() {
    let house = House::with(1, "pool.mode = 'statement'");
    let mut client = house.client();
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    client.tell(&query("begin"));
    assert!(brief(&client.until_closed()).ends_with("E[FATAL 0A000]"));
    house.all_is_well();
}

#[test]
fn a_configuration_that_is_read_again_while_pgweir_asks_is_told() {
    let house = House::of(Recipe::default(), 1, "");
    let (mut director, mut client) = (house.director(), house.client());
    director.ask("select pg_advisory_lock(1)");
    client.tell(&query("select set_config('work_mem', '5MB', false), pg_advisory_xact_lock(1)"));
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    eventually("it waits", || director.value(waits) == "1");
    director.ask("alter system set intervalstyle = 'iso_8601'");
    director.ask("select pg_reload_conf()");
    eventually("the configuration was read", || director.value("show intervalstyle") == "iso_8601");
    // The server reads it before its next command, which is a question of pgweir's own.
    director.ask("select pg_advisory_unlock(1)");
    client.until_ready();
    client.tell(&query("select 1"));
    let heard: Vec<_> = client.until_ready().iter().map(Message::line).collect();
    assert!(heard.contains(&"ParameterStatus IntervalStyle=iso_8601".to_owned()), "{heard:?}");
    drop(client);
    house.all_is_well();
}

#[test]
fn n42_a_new_value_in_the_configuration_reaches_those_who_set_none() {
    let house = House::of(Recipe::default(), 1, "");
    let (mut director, mut plain, mut own) = (house.director(), house.client(), house.client());
    own.ask("set timezone = 'Asia/Tokyo'");
    plain.ask("select 1");
    director.ask("alter system set timezone = 'America/New_York'");
    director.ask("select pg_reload_conf()");
    eventually("the configuration was read", || director.value("show timezone") == "America/New_York");
    eventually("its server has read it", || plain.value("show timezone") == "America/New_York");
    assert_eq!(own.value("show timezone"), "Asia/Tokyo");
    assert_eq!(plain.value("show timezone"), "America/New_York");
    own.tell(&query("reset timezone"));
    let heard: Vec<_> = own.until_ready().iter().map(Message::line).collect();
    assert!(heard.contains(&"ParameterStatus TimeZone=America/New_York".to_owned()), "{heard:?}");
    plain.ask("select 1");
    assert_eq!(own.value("show timezone"), "America/New_York");
    house.all_is_well();
}

#[test]
fn the_welcome_of_a_forgotten_profile_tells_of_no_other_client() {
    let house = House::new(2);
    let connect = |timeout: u32| {
        let profile = [("lock_timeout".to_owned(), timeout.to_string())];
        Client::greeted(&house.place(), &profile).expect("a login")
    };
    let (mut own, _) = connect(0);
    own.ask("set timezone = 'Asia/Tokyo'; begin");
    // As many profiles as are remembered.
    (1..=256).for_each(|other| drop(connect(other)));
    own.ask("commit");
    let (_, welcome) = connect(0);
    let told: Vec<_> = welcome.iter().map(Message::line).collect();
    assert!(!told.contains(&"ParameterStatus TimeZone=Asia/Tokyo".to_owned()), "{told:?}");
    drop(own);
    house.all_is_well();
}
