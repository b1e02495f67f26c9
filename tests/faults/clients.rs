//! Clients that misbehave: they vanish, stall, trickle, flood.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use pgweir::demo::cluster::ROLE;
use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::*;
use socket2::{Domain, Socket, Type};

use super::kit::{Client, House, brief, eventually};

#[test]
fn f1_nothing_is_said_after_connecting() {
    let house = House::with(1, "timeouts.login = '300ms'");
    let mut silent = Client::silent(house.address());
    assert_eq!(brief(&silent.until_closed()), "E[FATAL 08P01]");
}

#[test]
fn f2_a_startup_message_trickles_in() {
    let house = House::with(1, "timeouts.login = '500ms'");
    let mut slow = Client::silent(house.address());
    let message = startup(&[("user", ROLE), ("database", &"x".repeat(5000))]);
    // The deadline is for the login as a whole: bytes that keep coming don't move it.
    let mut bytes = message.iter();
    eventually("it is closed", || {
        let sent = bytes.next().is_some_and(|&byte| slow.send(&[byte]).is_ok());
        !sent || !slow.heard_nothing()
    });
    assert!(bytes.len() > 0, "it wasn't heard to its end");
}

#[test]
fn f3_client_vanishes_in_a_transaction() {
    let house = House::new(1);
    house.client().ask("create table t (v int)");
    let mut client = house.client();
    client.ask("begin");
    assert_eq!(client.ask("insert into t values (1)"), "C[INSERT 0 1] Z[T]");
    client.vanish();
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f4_client_vanishes_while_its_query_runs() {
    let house = House::new(1);
    for _ in 0..6 {
        let mut client = house.client();
        client.tell(&query("select pg_sleep(600)"));
        house.backends_become(1, "state = 'active' and query like '%pg_sleep%'");
        client.vanish();
        // Its slot stays taken meanwhile: PostgreSQL never sees more backends than the limit.
        eventually("it was cancelled", || {
            assert!(house.backends("true") <= 1);
            house.backends("state = 'active' and query like '%pg_sleep%'") == 0
        });
    }
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f5_client_vanishes_within_a_message() {
    let house = House::new(1);
    house.client().ask("create table t (v int)");
    let whole = query("insert into t values (1)");
    for length in [1, 3, 5, 12, whole.len() - 1] {
        let mut client = house.client();
        client.tell(&whole[..length]);
        client.vanish();
    }
    // Messages too large for any buffer, so that they have begun to pass through.
    let large = query(&format!("insert into t values (1) -- {}", "x".repeat(500_000)));
    let call = message(b'F', &[0; 500_000]);
    for begun in [&large[..400_000], &call[..400_000]] {
        let mut client = house.client();
        client.tell(begun);
        client.vanish();
        assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    }
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f6_client_vanishes_between_bind_and_sync() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("create table t (v int)");
    let insert = [parse("i", "insert into t values (1)", &[]), bind("", "i", &[]), execute("", 0)].concat();
    client.tell(&[insert, parse("s", "select 1", &[]), bind("", "s", &[]), flush()].concat());
    assert_eq!(brief(&client.hear(b'1')), "1");
    assert_eq!(brief(&client.hear(b'1')), "2 C[INSERT 0 1] 1");
    client.vanish();
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    let batch = [parse("s", "select 1", &[]), bind("", "s", &[]), execute("", 0), sync()].concat();
    for _ in 0..2 {
        assert_eq!(house.client().say(&batch), "1 2 D[1] C[SELECT 1] Z[I]");
    }
    house.all_is_well();
}

#[test]
fn f7_client_ends_its_half_after_a_query() {
    let house = House::new(1);
    let mut client = house.client();
    client.tell(&query("select pg_sleep(0.2), 1"));
    client.half_close();
    assert_eq!(brief(&client.until_closed()), "T D[,1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f7_client_ends_its_half_within_a_request() {
    let house = House::new(1);
    house.client().ask("create table t (v int)");
    let insert = query("insert into t values (1)");
    let long = query(&format!("insert into t values (1) -- {}", "x".repeat(500_000)));
    let batch = [parse("", "insert into t values (1)", &[]), bind("", "", &[]), execute("", 0)].concat();
    let copy = [query("copy t from stdin"), copy_data("1\n")].concat();
    for unfinished in [&insert[..20], &long[..400_000], &batch, &copy] {
        let mut client = house.client();
        client.tell(unfinished);
        client.half_close();
        client.until_closed();
        assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    }
    house.all_is_well();
}

#[test]
fn f8_client_reads_nothing_of_a_large_answer() {
    let house = House::with(2, "timeouts.write_stall = '1s'");
    let mut stalled = house.client();
    stalled.narrow();
    let before = house.resident();
    stalled.tell(&query("select repeat('x', 100000) from generate_series(1, 10000)"));
    house.backends_become(1, "wait_event = 'ClientWrite'");
    assert!(house.resident() < before + (8 << 20), "back-pressure, not buffers");
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    // The limit ends both sides.
    house.backends_become(0, "query like '%repeat%' and state = 'active'");
    house.metric_becomes("pgweir_client_connections_closed_total{reason=\"timeout\"}", 1);
    house.all_is_well();
}

#[test]
fn f9_client_reads_a_byte_now_and_then() {
    let house = House::with(2, "timeouts.write_stall = '1s'");
    let mut slow = house.client();
    slow.narrow();
    slow.tell(&query("select repeat('x', 100000) from generate_series(1, 10000)"));
    // The limit asks for progress, not for a sign of life.
    eventually("it is closed", || {
        slow.sip(1);
        house.metric("pgweir_client_connections_closed_total{reason=\"timeout\"}") == 1
    });
    house.backends_become(0, "query like '%repeat%' and state = 'active'");
    house.all_is_well();
}

#[test]
fn f9_client_that_reads_slowly_and_steadily_is_served() {
    let house = House::with(2, "timeouts.write_stall = '3s'");
    // With segments as on a real network: on the loopback one is as large as a window.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_tcp_mss(1400).expect("a length");
    socket.connect(&house.address().into()).expect("it accepts");
    let mut steady = Client::over(socket.into()).expect("a client");
    steady.tell(&startup(&[("user", ROLE), ("database", &house.database)]));
    steady.log_in(&house.place()).expect("a login");
    let (rows, length) = (300, 100_000);
    let answer = rows * length;
    steady.tell(&query(&format!("select repeat('x', {length}) from generate_series(1, {rows})")));
    // Far less than the kernel wants to see gone before it calls the socket writable again; and for longer than
    // the limit.
    let (began, mut read) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(7) {
        read += steady.sip(10_000);
        thread::sleep(Duration::from_millis(50)); // a reader with work to do
    }
    assert!(read > 100_000 && read < answer / 10, "{read}");
    let mut chunk = vec![0; 1 << 20];
    while read < answer {
        let more = steady.stream().read(&mut chunk).expect("more");
        assert!(more > 0, "cut after {read} bytes");
        read += more;
    }
    house.all_is_well();
}

#[test]
fn f10_client_is_idle_in_a_transaction() {
    let house = House::with(1, "timeouts.idle_in_transaction = '300ms'");
    let mut client = house.client();
    client.ask("create table t (v int)");
    client.ask("begin");
    client.ask("insert into t values (1)");
    assert_eq!(brief(&client.until_closed()), "E[FATAL 25P03]");
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f11_client_is_idle() {
    let house = House::with(1, "timeouts.client_idle = '300ms'");
    let mut client = house.client();
    assert_eq!(brief(&client.until_closed()), "E[FATAL 57P05]");
}

#[test]
fn f11b_client_is_idle_and_keeps_its_server() {
    for (mode, holds) in [("transaction", "select pg_advisory_lock(7)"), ("session", "select 1")] {
        let house = House::with(1, &format!("timeouts.client_idle = '300ms'\npool.mode = '{mode}'"));
        let mut client = house.client();
        client.ask(holds);
        assert_eq!(brief(&client.until_closed()), "E[FATAL 57P05]", "{mode}");
        assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
        house.all_is_well();
    }
}

#[test]
fn a_transaction_has_its_limit() {
    let house = House::with(1, "timeouts.transaction = '500ms'");
    let mut client = house.client();
    client.tell(&query("begin; select pg_sleep(600)"));
    assert!(brief(&client.until_closed()).ends_with("E[FATAL 25P03]"));
    house.all_is_well();
}

#[test]
fn a_query_that_takes_too_long_is_cancelled_and_says_why() {
    let house = House::with(1, "timeouts.query = '300ms'");
    let mut client = house.client();
    client.tell(&query("select pg_sleep(600)"));
    let heard = client.until_ready();
    assert_eq!(brief(&heard), "T E[ERROR 57014] Z[I]");
    assert!(heard[1].field('M').contains("query timeout"), "{}", heard[1].line());
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f12_client_pipelines_ten_thousand_queries_before_it_reads() {
    let house = House::new(1);
    let mut client = house.client();
    let count = 10_000;
    let batch = unnamed("select repeat('x', 1000)").repeat(count);
    let mut writer = client.stream().try_clone().expect("a second handle");
    // Both sides fill: whoever waits for the other to read first would wait for ever.
    let writing = thread::spawn(move || Write::write_all(&mut writer, &batch).expect("it reads"));
    eventually("answers come", || !client.heard_nothing());
    for _ in 0..count {
        let tags: Vec<_> = client.until_ready().iter().map(|message| message.tag).collect();
        assert_eq!(tags, b"12DCZ");
    }
    writing.join().expect("all was sent");
    house.all_is_well();
}

#[test]
fn f16_flush_and_then_a_pause() {
    let house = House::with(1, "timeouts.idle_in_transaction = '300ms'");
    let mut client = house.client();
    client.tell(&[parse("", "select 1", &[]), bind("", "", &[]), flush()].concat());
    assert_eq!(brief(&client.until_closed()), "1 2 E[FATAL 25P03]");
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f17_goodbye_in_a_transaction() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("create table t (v int)");
    client.ask("begin");
    client.ask("insert into t values (1)");
    client.terminate();
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f18_clients_come_and_go() {
    let house = House::with(1, "auth.method = 'trust'");
    let mut steady = house.client();
    let churn = |count: usize| {
        for _ in 0..count {
            house.client().terminate();
        }
        house.metric_becomes("pgweir_client_connections", 1);
    };
    churn(500);
    let (fds, memory) = (house.metric("pgweir_process_open_fds"), house.resident());
    churn(2000);
    assert_eq!(steady.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    eventually("no descriptor is left open", || house.metric("pgweir_process_open_fds") <= fds + 1);
    assert!(house.resident() < memory + (4 << 20), "{memory} bytes grew to {}", house.resident());
    house.all_is_well();
}

#[test]
fn f19_client_prepares_statements_without_end() {
    let house = House::with(1, "limits.client_statements = '64KiB'");
    let mut client = house.client();
    let mut refused = None;
    for number in 0..10_000 {
        let answer =
            client.say(&[parse(&format!("s{number}"), &format!("select {number}"), &[]), sync()].concat());
        if answer != "1 Z[I]" {
            refused = Some((number, answer));
            break;
        }
    }
    let (number, answer) = refused.expect("a limit");
    assert_eq!(answer, "E[ERROR 54000] Z[I]");
    assert!(number > 10, "{number}");
    // What stands still works, and what goes makes room.
    assert_eq!(
        client.say(&[bind("", "s0", &[]), execute("", 0), sync()].concat()),
        "2 D[0] C[SELECT 1] Z[I]"
    );
    assert_eq!(
        client.say(&[close(b'S', "s0"), parse("new", "select 'n'", &[]), sync()].concat()),
        "3 1 Z[I]"
    );
    assert_eq!(house.client().say(&[parse("s", "select 1", &[]), sync()].concat()), "1 Z[I]");
    house.all_is_well();
}

#[test]
fn f20_replication_is_asked_for() {
    let house = House::new(1);
    for kind in ["true", "database"] {
        assert!(house.refusal(&[("replication", kind)]).contains("FATAL | 0A000"), "{kind}");
    }
    house.all_is_well();
}

/// There is no console: its usual names are those of databases, and its words are PostgreSQL's to judge.
#[test]
fn f119_nobody_can_tell_pgweir_what_to_do() {
    let house = House::new(2);
    for database in ["pgbouncer", "pgweir", "pgcat"] {
        let told = Client::connect(&Place { database: database.into(), ..house.place() }, &[]);
        let told = told.expect_err("no such database").to_string();
        assert!(told.contains("3D000"), "{told}");
    }
    let mut client = house.client();
    for command in ["show pools", "kill_client 1", "kill app", "shutdown", "pause", "reload", "disable app"] {
        let answer = client.ask(command);
        assert!(answer.starts_with("E[ERROR 42"), "{command}: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/metrics", "/status.json", "/shutdown"] {
            let mut stream = TcpStream::connect(house.pooler.http()).expect("the HTTP endpoint");
            write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 40"), "{method} {path}: {answer}");
        }
    }
    house.all_is_well();
}
