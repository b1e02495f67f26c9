//! A: clients that misbehave.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use super::house::{House, ask, begin, eventually, row, runs, simple, sqlstate, to_the_end};

#[test]
fn f1_a_connection_that_says_nothing_is_closed() {
    let house = House::new("[timeouts]\nlogin = \"1s\"");
    let mut silent = house.stranger();
    let mut slow = house.stranger();
    slow.write_all(&[0]).expect("a byte");
    to_the_end(&mut silent);
    to_the_end(&mut slow);
    house.all_is_well();
}

#[test]
fn f3_a_client_that_vanishes_in_its_transaction_leaves_nothing() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f3 (a int)");
    ask(&mut client, "begin");
    ask(&mut client, "insert into f3 values (1)");
    drop(client);
    assert_eq!(row(&mut house.client(), "select count(*) from f3"), "DataRow [\"0\"]");
    house.all_is_well();
}

#[test]
fn f4_a_query_whose_client_vanished_is_cancelled_and_its_slot_stays_taken_meanwhile() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    for _ in 0..6 {
        let mut client = house.client();
        begin(&mut client, "select pg_sleep(600)");
        eventually("the query runs", || runs(&mut director, "select pg_sleep(600)"));
        drop(client);
        eventually("the query was cancelled", || {
            let backends = "select count(*) <= 1 from pg_stat_activity where usename = 'app'";
            assert_eq!(row(&mut director, backends), "DataRow [\"t\"]", "never more backends than the limit");
            !runs(&mut director, "select pg_sleep(600)")
        });
    }
    house.all_is_well();
}

#[test]
fn f5_half_a_message_reaches_no_server() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    client.send(&simple("select 'never sent'")[..9]).expect("half a query");
    assert_eq!(row(&mut house.client(), "select 'other'"), "DataRow [\"other\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f7_a_client_that_only_stops_asking_gets_its_answer() {
    let house = House::new("[pool]\nsize = 1");
    // No login by SCRAM here: the point is what stands on the wire.
    let mut raw = logged_in(&house);
    raw.write_all(&simple("select 'answered' from pg_sleep(0.3)")).expect("a query");
    raw.shutdown(Shutdown::Write).expect("half a close");
    let answer = to_the_end(&mut raw);
    assert!(String::from_utf8_lossy(&answer).contains("answered"), "{:?}", String::from_utf8_lossy(&answer));
    house.all_is_well();
}

/// A raw connection of a client that is logged in.
fn logged_in(house: &House) -> std::net::TcpStream {
    house.client().into_stream()
}

#[test]
fn f8_a_client_that_does_not_read_holds_up_nobody_else() {
    let house = House::new("[pool]\nsize = 2\n[timeouts]\nwrite_stall = \"1s\"");
    let mut director = house.director();
    let mut deaf = house.client();
    begin(&mut deaf, "select repeat('x', 1000) from generate_series(1, 1000000)");
    for _ in 0..50 {
        assert_eq!(row(&mut house.client(), "select 'served'"), "DataRow [\"served\"]");
    }
    eventually("the write stall limit ends it", || {
        row(
            &mut director,
            "select count(*) from pg_stat_activity where query like 'select repeat%' and state = 'active' and pid <> pg_backend_pid()",
        ) == "DataRow [\"0\"]"
    });
    house.all_is_well();
}

#[test]
fn f10_and_f11_pauses_have_their_limits() {
    let house = House::new(
        "[pool]\nsize = 1\n[timeouts]\nidle_in_transaction = \"300ms\"\nclient_idle = \"600ms\"\ntransaction = \"900ms\"",
    );
    let mut paused = house.client();
    ask(&mut paused, "begin");
    let end = paused.receive().expect("an error");
    assert_eq!(end.sqlstate().as_deref(), Some("25P03"));
    let mut idle = house.client();
    let end = idle.receive().expect("an error");
    assert_eq!(end.sqlstate().as_deref(), Some("57P05"));
    let mut busy = house.client();
    busy.send(&simple("begin; select pg_sleep(30)")).expect("a query");
    let answer = std::iter::from_fn(|| busy.receive().ok()).collect::<Vec<_>>();
    assert_eq!(sqlstate(&answer).as_deref(), Some("25P03"));
    house.all_is_well();
}

#[test]
fn a_query_that_takes_too_long_is_cancelled_and_says_why() {
    let house = House::new("[pool]\nsize = 1\n[timeouts]\nquery = \"300ms\"");
    let mut client = house.client();
    let answer = ask(&mut client, "select pg_sleep(600)");
    assert!(answer.iter().any(|line| line.contains("57014") && line.contains("query timeout")), "{answer:?}");
    assert_eq!(row(&mut client, "select 'stays'"), "DataRow [\"stays\"]");
    house.all_is_well();
}

#[test]
fn f12_ten_thousand_queries_in_one_write() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    let queries = simple("select 1").repeat(10_000);
    let writer = {
        let mut stream = client.stream().try_clone().expect("a second handle");
        std::thread::spawn(move || stream.write_all(&queries).expect("all are taken"))
    };
    let mut ready = 0;
    while ready < 10_000 {
        ready += u32::from(client.receive().expect("a reply").tag == b'Z');
    }
    writer.join().expect("the writer");
    house.all_is_well();
}

#[test]
fn f18_connecting_and_leaving_leaves_nothing_behind() {
    let house = House::new("[pool]\nsize = 2\n[auth]\nmethod = \"trust\"");
    let files = || house.metric("pgweir_process_open_fds");
    ask(&mut house.client(), "select 1");
    let before = files();
    for _ in 0..500 {
        let mut client = house.client();
        client.send(b"X\0\0\0\x04").expect("a goodbye");
    }
    eventually("all files are closed", || files() <= before + 2);
    eventually("no client is left", || house.metric("pgweir_client_connections") == 0);
    house.all_is_well();
}

#[test]
fn f19_statements_have_a_budget() {
    let house = House::new("[pool]\nsize = 1\n[limits]\nclient_statements = \"64KiB\"");
    let mut client = house.client();
    let long = format!("select 1 /* {} */", "x".repeat(10_000));
    let mut answers = Vec::new();
    for number in 0..10 {
        let mut bytes = bytes::BytesMut::new();
        postgres_protocol::message::frontend::parse(&format!("s{number}"), &long, [], &mut bytes)
            .expect("a Parse");
        client.request(&bytes, Some(pgweir_testkit::client::Due::Parse)).expect("a request");
        client.request(b"S\0\0\0\x04", Some(pgweir_testkit::client::Due::Sync)).expect("a Sync");
        answers.push(sqlstate(&client.settle().expect("an answer")));
    }
    assert!(answers[..6].iter().all(Option::is_none), "{answers:?}");
    assert_eq!(answers[9].as_deref(), Some("54000"));
    assert_eq!(row(&mut client, "select 'stays'"), "DataRow [\"stays\"]");
    house.all_is_well();
}

#[test]
fn f20_replication_is_refused() {
    let house = House::new("");
    let refused =
        pgweir_testkit::client::Client::connect(&house.place(), &[("replication".into(), "true".into())]);
    assert!(refused.expect_err("no login").to_string().contains("0A000"));
    house.all_is_well();
}

#[test]
fn f98_a_queued_client_can_be_cancelled_and_waiting_has_its_limit() {
    let house = House::new("[pool]\nsize = 1\nqueue_timeout = \"2s\"");
    let mut holder = house.client();
    ask(&mut holder, "begin");
    let mut queued = house.client();
    begin(&mut queued, "select 'queued'");
    eventually("it waits", || house.metric("pgweir_pool_clients_waiting") == 1);
    pgweir_testkit::client::cancel(house.pooler.address(), &queued.cancel_request()).expect("a cancel");
    assert_eq!(sqlstate(&queued.settle().expect("an answer")).as_deref(), Some("57014"));
    assert_eq!(house.metric("pgweir_pool_clients_waiting"), 0);
    let late = pgweir_testkit::play::query(&mut queued, "select 'too late'").expect("an answer");
    assert_eq!(sqlstate(&late).as_deref(), Some("57P03"));
    ask(&mut holder, "rollback");
    assert_eq!(row(&mut queued, "select 'served'"), "DataRow [\"served\"]");
    drop((holder, queued));
    std::thread::sleep(Duration::ZERO);
    house.all_is_well();
}

#[test]
fn f99_and_f100_cancels_that_mean_nobody_do_nothing() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    let mut client = house.client();
    let mut wrong = client.cancel_request();
    *wrong.last_mut().expect("a key") ^= 1;
    begin(&mut client, "select 'unharmed' from pg_sleep(1)");
    eventually("it runs", || runs(&mut director, "select ''unharmed'' from pg_sleep(1)"));
    for _ in 0..200 {
        pgweir_testkit::client::cancel(house.pooler.address(), &wrong).expect("an answer");
    }
    assert_eq!(sqlstate(&client.settle().expect("an answer")), None);
    house.all_is_well();
}

#[test]
fn f97_a_cancel_never_hits_the_next_client() {
    let house = House::new("[pool]\nsize = 1");
    let address = house.pooler.address();
    let mut cancelled = house.client();
    let mut other = house.client();
    let request = cancelled.cancel_request();
    for _ in 0..300 {
        begin(&mut cancelled, "select pg_sleep(0.002)");
        begin(&mut other, "select 'mine'");
        pgweir_testkit::client::cancel(address, &request).expect("a cancel");
        cancelled.settle().expect("an answer");
        assert_eq!(
            sqlstate(&other.settle().expect("an answer")),
            None,
            "the other client asked for no cancel"
        );
    }
    drop((cancelled, other));
    house.all_is_well();
}

#[test]
fn f6_a_batch_without_its_sync_dies_with_its_client() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f6 (a int)");
    let mut bytes = bytes::BytesMut::new();
    use postgres_protocol::message::frontend as f;
    f::parse("", "insert into f6 values (1)", [], &mut bytes).expect("a message");
    bytes.extend_from_slice(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0H\0\0\0\x04");
    client.send(&bytes).expect("a batch");
    while client.receive().expect("a reply").tag != b'C' {}
    drop(client);
    assert_eq!(row(&mut house.client(), "select count(*) from f6"), "DataRow [\"0\"]");
    house.all_is_well();
}

#[test]
fn f17_a_goodbye_in_a_transaction_rolls_it_back() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f17 (a int)");
    ask(&mut client, "begin");
    ask(&mut client, "insert into f17 values (1)");
    client.send(b"X\0\0\0\x04").expect("a goodbye");
    assert_eq!(row(&mut house.client(), "select count(*) from f17"), "DataRow [\"0\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f2_a_login_that_drips_has_the_same_deadline() {
    let house = House::new("[timeouts]\nlogin = \"1s\"");
    let mut dripping = house.stranger();
    // The length of a packet that never comes to its end, and then its bytes.
    let packet = [&[0, 0, 4, 0, 0, 3, 0, 0][..], &[b'x'; 1000]].concat();
    let mut bytes = packet.iter();
    eventually("it is closed in the middle", || {
        std::thread::park_timeout(Duration::from_millis(20));
        let next = *bytes.next().expect("the deadline comes long before the end");
        dripping.write_all(&[next]).is_err()
    });
    house.all_is_well();
}
