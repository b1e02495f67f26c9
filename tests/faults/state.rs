//! F: state, and modes of pools.

use pgweir::demo::cluster::Recipe;

use super::house::{House, ask, row};

#[test]
fn f80_nothing_of_a_session_is_left_for_the_next_client() {
    let house = House::new("[pool]\nsize = 1");
    ask(&mut house.director(), "create role r80; grant r80 to app");
    let marks = [
        "set role r80",
        "set search_path = 'elsewhere'",
        "set statement_timeout = '1h'",
        "create temp table mark (a int)",
        "select pg_advisory_lock(80)",
        "prepare mark as select 1",
        "listen mark",
        "begin; declare mark cursor with hold for select 1; commit",
        "select set_config('app.mark', 'x', false)",
        "do $$begin set work_mem = '77MB'; end$$",
    ];
    let probe = "select current_user, current_setting('search_path'), current_setting('statement_timeout'), \
                 to_regclass('pg_temp.mark'), (select count(*) from pg_locks where locktype = 'advisory'), \
                 (select count(*) from pg_prepared_statements where from_sql), \
                 (select count(*) from pg_listening_channels()), (select count(*) from pg_cursors where is_holdable), \
                 coalesce(current_setting('app.mark', true), ''), current_setting('work_mem')";
    let fresh = row(&mut house.client(), probe);
    for mark in marks {
        let mut client = house.client();
        ask(&mut client, mark);
        drop(client);
        assert_eq!(row(&mut house.client(), probe), fresh, "after {mark:?}");
    }
    house.all_is_well();
}

#[test]
fn session_mode_keeps_one_server_for_a_client() {
    let house = House::new("[pool]\nsize = 2\nmode = \"session\"");
    let (mut a, mut b) = (house.client(), house.client());
    let pid = row(&mut a, "select pg_backend_pid()");
    let other = row(&mut b, "select pg_backend_pid()");
    assert_ne!(pid, other);
    for _ in 0..5 {
        assert_eq!(row(&mut a, "select pg_backend_pid()"), pid);
        assert_eq!(row(&mut b, "select pg_backend_pid()"), other);
    }
    ask(&mut a, "set work_mem = '5MB'");
    drop((a, b));
    assert_eq!(row(&mut house.client(), "show work_mem"), "DataRow [\"4MB\"]");
}

#[test]
fn statement_mode_allows_no_transactions() {
    let house = House::new("[pool]\nsize = 1\nmode = \"statement\"");
    let mut client = house.client();
    row(&mut client, "select 1");
    client.send(&super::house::simple("begin")).expect("a query");
    let error = loop {
        let message = client.receive().expect("a reply");
        if message.tag == b'E' {
            break message;
        }
    };
    assert_eq!(error.sqlstate().as_deref(), Some("0A000"));
    house.all_is_well();
}

#[test]
fn f98b_more_statements_than_a_server_keeps() {
    let house = House::new("[pool]\nsize = 1\nserver_statements = 2");
    use postgres_protocol::message::frontend as f;
    let mut client = house.client();
    let mut bytes = bytes::BytesMut::new();
    for number in 0..5 {
        f::parse(&format!("s{number}"), &format!("select {number}"), [], &mut bytes).expect("a message");
    }
    f::sync(&mut bytes);
    for round in 0..100 {
        let number = round % 5;
        f::bind(
            "",
            &format!("s{number}"),
            [],
            [] as [&str; 0],
            |_, _| Ok(postgres_protocol::IsNull::No),
            [],
            &mut bytes,
        )
        .ok()
        .expect("a message");
        f::execute("", 0, &mut bytes).expect("a message");
        f::sync(&mut bytes);
    }
    client.send(&bytes).expect("all at once");
    let (mut ready, mut rows) = (0, Vec::new());
    while ready < 101 {
        let message = client.receive().expect("a reply");
        assert_ne!(message.tag, b'E', "{}", message.line());
        ready += u32::from(message.tag == b'Z');
        if message.tag == b'D' {
            rows.push(message.line());
        }
    }
    let expected: Vec<String> = (0..100).map(|round| format!("DataRow [\"{}\"]", round % 5)).collect();
    assert_eq!(rows, expected);
    // What a pipeline uses isn't closed within it; the next Parse finds too many.
    bytes.clear();
    f::parse("another", "select 'another'", [], &mut bytes).expect("a message");
    f::sync(&mut bytes);
    client.send(&bytes).expect("one more");
    while client.receive().expect("a reply").tag != b'Z' {}
    let kept = row(&mut client, "select count(*) from pg_prepared_statements where name ~ '^_pgweir_[0-9]'");
    assert!(kept == "DataRow [\"2\"]" || kept == "DataRow [\"3\"]", "{kept}");
    drop(client);
    house.all_is_well();
}

#[test]
fn f80b_a_temporary_slot_ends_with_its_client() {
    let settings = vec!["wal_level = replica".to_owned(), "max_wal_senders = 5".to_owned()];
    let house = House::with(Recipe { settings, ..Recipe::default() }, "[pool]\nsize = 1");
    let mut director = house.director();
    ask(&mut director, "alter role app replication");
    let mut client = house.client();
    row(&mut client, "select pg_create_physical_replication_slot('mark', false, true)");
    assert_eq!(row(&mut director, "select count(*) from pg_replication_slots"), "DataRow [\"1\"]");
    // The server is pinned by now, so nothing but the count says that there is a slot.
    row(&mut client, "select 1");
    drop(client);
    assert_eq!(row(&mut house.client(), "select 'next'"), "DataRow [\"next\"]");
    assert_eq!(row(&mut director, "select count(*) from pg_replication_slots"), "DataRow [\"0\"]");
    house.all_is_well();
}
