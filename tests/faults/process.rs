//! E: the process.

use std::process::Command;
use std::time::Duration;

use super::house::{House, PATIENCE, ask, begin, eventually, row, sqlstate, start};

fn signal(house: &House, name: &str) {
    let status = Command::new("kill").args([name, &house.pooler.pid().to_string()]).status().expect("kill");
    assert!(status.success());
}

#[test]
fn f61_a_drain_lets_transactions_finish_and_sends_the_idle_away() {
    let mut house = House::new("[pool]\nsize = 2");
    let mut idle = house.client();
    let mut working = house.client();
    ask(&mut working, "create table f61 (a int)");
    ask(&mut working, "begin");
    ask(&mut working, "insert into f61 values (1)");
    signal(&house, "-TERM");
    let goodbye = idle.receive().expect("a word");
    assert_eq!(goodbye.sqlstate().as_deref(), Some("57P01"));
    assert!(house.http("/readyz").starts_with("HTTP/1.1 503"));
    assert!(house.http("/healthz").starts_with("HTTP/1.1 200"));
    assert!(house.http("/metrics").starts_with("HTTP/1.1 200"));
    assert_eq!(ask(&mut working, "commit")[0], "CommandComplete COMMIT");
    assert_eq!(working.receive().expect("a word").sqlstate().as_deref(), Some("57P01"));
    let mut status = None;
    eventually("it ends", || {
        status = house.pooler.ended().expect("a status");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert_eq!(row(&mut house.director(), "select 1"), "DataRow [\"1\"]");
}

#[test]
fn f62_a_second_signal_stops_now() {
    let mut house = House::new("[pool]\nsize = 1");
    let mut working = house.client();
    ask(&mut working, "begin");
    signal(&house, "-INT");
    eventually("it drains", || house.http("/readyz").starts_with("HTTP/1.1 503"));
    signal(&house, "-INT");
    assert_eq!(working.receive().expect("a word").sqlstate().as_deref(), Some("57P01"));
    eventually("it ends", || house.pooler.ended().expect("a status").is_some());
}

#[test]
fn f61b_the_drain_has_a_deadline() {
    let mut house = House::new("[pool]\nsize = 1\n[shutdown]\ntimeout = \"300ms\"");
    let mut working = house.client();
    ask(&mut working, "begin");
    signal(&house, "-TERM");
    assert_eq!(working.receive().expect("a word").sqlstate().as_deref(), Some("57P01"));
    eventually("it ends", || house.pooler.ended().expect("a status").is_some());
}

#[test]
fn f63_killed_and_started_again() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f63 (a int)");
    ask(&mut client, "begin");
    ask(&mut client, "insert into f63 values (1)");
    let House { pooler, cluster } = house;
    drop(pooler);
    let pooler = start(&cluster, "[pool]\nsize = 1");
    let house = House { pooler, cluster };
    assert_eq!(row(&mut house.client(), "select count(*) from f63"), "DataRow [\"0\"]");
    house.all_is_well();
}

#[test]
fn f74_a_port_in_use_is_one_clear_line() {
    let house = House::new("");
    let output = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .args(["--listen", &house.pooler.address().to_string(), "--http", "127.0.0.1:0"])
        .env("DATABASE_URL", house.cluster.url())
        .env_remove("PGWEIR_TEST_PGBIN")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&house.pooler.address().to_string()), "{said}");
    house.all_is_well();
}

#[test]
fn limits_of_clients_are_told() {
    let house = House::new("[limits]\nmax_clients = 2");
    let _held = (house.client(), house.client());
    let refused = pgweir_testkit::client::Client::connect(&house.place(), &[]).expect_err("full").to_string();
    assert!(refused.contains("53300"), "{refused}");
}

#[test]
fn a_stop_within_the_time_that_it_was_given() {
    let house = House::new("");
    let House { pooler, cluster: _cluster } = house;
    let status = pooler.stop(PATIENCE + Duration::from_secs(1)).expect("a status");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn f61c_queued_clients_are_served_while_draining() {
    let mut house = House::new("[pool]\nsize = 1");
    let mut holder = house.client();
    ask(&mut holder, "begin");
    let mut queued = house.client();
    begin(&mut queued, "select 'served'");
    eventually("it waits", || house.metric("pgweir_pool_clients_waiting") == 1);
    signal(&house, "-TERM");
    eventually("it drains", || house.http("/readyz").starts_with("HTTP/1.1 503"));
    ask(&mut holder, "commit");
    let answer = queued.settle().expect("an answer");
    assert_eq!(sqlstate(&answer), None);
    eventually("it ends", || house.pooler.ended().expect("a status").is_some());
}

#[test]
fn f67_a_log_that_nobody_reads_stops_nothing() {
    let house = House::new("");
    let port = pgweir::demo::cluster::free_port().expect("a port");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .args(["--listen", &format!("127.0.0.1:{port}"), "--http", "127.0.0.1:0", "--log-level", "trace"])
        .env("DATABASE_URL", house.cluster.url())
        .env_remove("PGWEIR_TEST_PGBIN")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let place = house.place_at(([127, 0, 0, 1], port).into());
    eventually("it listens", || std::net::TcpStream::connect(place.address).is_ok());
    // Each login is a few lines at this level; a pipe holds 64 KiB.
    for _ in 0..300 {
        let mut client = pgweir_testkit::client::Client::connect(&place, &[]).expect("a login");
        assert_eq!(row(&mut client, "select 1"), "DataRow [\"1\"]");
    }
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

#[test]
fn f65_more_connections_than_files() {
    let house = House::new("");
    let port = pgweir::demo::cluster::free_port().expect("a port");
    let command = format!(
        "ulimit -n 80; exec {} --listen 127.0.0.1:{port} --http 127.0.0.1:0",
        env!("CARGO_BIN_EXE_pgweir")
    );
    let mut child = Command::new("bash")
        .args(["-c", &command])
        .env("DATABASE_URL", house.cluster.url())
        .env_remove("PGWEIR_TEST_PGBIN")
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    let place = house.place_at(([127, 0, 0, 1], port).into());
    eventually("it listens", || std::net::TcpStream::connect(place.address).is_ok());
    let mut first = pgweir_testkit::client::Client::connect(&place, &[]).expect("a login");
    row(&mut first, "select 1");
    let crowd: Vec<_> = (0..200).filter_map(|_| std::net::TcpStream::connect(place.address).ok()).collect();
    assert_eq!(row(&mut first, "select 'served'"), "DataRow [\"served\"]", "whoever is in is served");
    drop(crowd);
    eventually("newcomers get in again", || pgweir_testkit::client::Client::connect(&place, &[]).is_ok());
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}
