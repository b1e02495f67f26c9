//! The process: signals, limits of the system, a log that nobody reads, a bad start.

use std::fs::{OpenOptions, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use pgweir::demo::cluster::free_port;
use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::*;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::kit::{Client, House, brief, eventually};

/// Idle, in a transaction, queued behind it: what each hears when pgweir is told to stop.
fn drained_by(signal: Signal) {
    let mut house = House::new(1);
    house.client().ask("create table t (v int)");
    let (mut idle, mut working, mut queued) = (house.client(), house.client(), house.client());
    working.ask("begin");
    queued.tell(&query("select count(*) from t"));
    house.metric_becomes("pgweir_pool_clients_waiting", 1);
    assert!(house.http("/readyz").starts_with("HTTP/1.1 200"));
    house.signal(signal);
    assert_eq!(brief(&idle.until_closed()), "E[FATAL 57P01]");
    eventually("it is not ready", || house.http("/readyz").starts_with("HTTP/1.1 503"));
    assert!(house.http("/healthz").starts_with("HTTP/1.1 200"));
    assert!(house.http("/metrics").contains("pgweir_pool_clients_waiting"));
    eventually("nobody new is accepted", || TcpStream::connect(house.address()).is_err());
    assert_eq!(working.ask("insert into t values (1)"), "C[INSERT 0 1] Z[T]");
    working.tell(&query("commit"));
    assert_eq!(brief(&working.until_closed()), "C[COMMIT] Z[I] E[FATAL 57P01]");
    assert_eq!(brief(&queued.until_closed()), "T D[1] C[SELECT 1] Z[I] E[FATAL 57P01]");
    assert_eq!(house.ended().code(), Some(0));
}

#[test]
fn f61_sigterm_drains() {
    drained_by(Signal::TERM);
}

#[test]
fn f61_the_deadline_ends_the_rest() {
    let mut house = House::with(1, "shutdown.timeout = '300ms'");
    let (mut working, mut queued) = (house.client(), house.client());
    working.ask("begin");
    queued.tell(&query("select 1"));
    house.metric_becomes("pgweir_pool_clients_waiting", 1);
    house.signal(Signal::TERM);
    assert_eq!(brief(&working.until_closed()), "E[FATAL 57P01]");
    assert_eq!(brief(&queued.until_closed()), "E[FATAL 57P01]");
    assert_eq!(house.ended().code(), Some(0));
    house.backends_become(0, "true");
}

#[test]
fn f62_sigint_drains() {
    drained_by(Signal::INT);
}

#[test]
fn f62_the_second_signal_stops_at_once() {
    let mut house = House::with(1, "shutdown.timeout = '3h'");
    let mut working = house.client();
    working.ask("begin");
    house.signal(Signal::INT);
    eventually("it drains", || house.http("/readyz").starts_with("HTTP/1.1 503"));
    assert!(working.heard_nothing());
    house.signal(Signal::INT);
    assert_eq!(brief(&working.until_closed()), "E[FATAL 57P01]");
    house.ended();
    house.backends_become(0, "true");
}

#[test]
fn f63_sigkill_and_a_new_start() {
    let mut house = House::new(4);
    house.client().ask("create table t (v int)");
    let mut told = 0;
    let mut open: Vec<_> = (0..4).map(|_| house.client()).collect();
    for client in &mut open {
        client.ask("insert into t values (1)");
        told += 1;
        client.ask("begin");
        client.ask("insert into t values (2)");
    }
    house.signal(Signal::KILL);
    house.ended();
    // At the same address, which connections of the one that was killed may still hold.
    let (mut again, _) = running(program(&house, &house.address().to_string(), "127.0.0.1:0"), house.place());
    assert_eq!(house.client().value("select count(*) from t"), told.to_string());
    house.backends_become(0, "state <> 'idle'");
    again.kill().expect("it runs");
    again.wait().expect("it ends");
}

#[test]
fn f64_a_bug_in_one_task() {
    let house = House::new(3);
    house.client().ask("create table t (v int)");
    let mut bystander = house.client();
    bystander.ask("begin");
    let pid = bystander.value("select pg_backend_pid()");
    // In a transaction, in an answer that is under way, and in a batch of its own.
    for (number, before) in ["begin; insert into t values (1)", "select pg_sleep(600)", ""].iter().enumerate()
    {
        let mut unlucky = house.client();
        unlucky.tell(&[query(before), query("-- pgweir, panic")].concat());
        let heard = brief(&unlucky.until_closed());
        assert!(heard.ends_with("E[FATAL XX000]"), "{before:?}: {heard}");
        house.metric_becomes("pgweir_panics_total", number as u64 + 1);
        // Its server ends; nobody else's does.
        house.backends_become(0, &format!("state <> 'idle' and pid <> {pid}"));
    }
    assert_eq!(bystander.value("select pg_backend_pid()"), pid);
    assert_eq!(bystander.ask("commit"), "C[COMMIT] Z[I]");
    drop(bystander);
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    assert!(house.pooler.log().contains("a bug of pgweir ended one client"));
    house.metric_becomes("pgweir_client_connections", 0);
    house.all_is_well_but_for_the_panic();
}

fn limit(house: &House, resource: Resource, value: u64) {
    let pid = i32::try_from(house.pooler.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    prlimit(pid, resource, limit).expect("it is ours");
}

#[test]
fn f65_descriptors_run_out() {
    let house = House::new(2);
    let mut steady = house.client();
    steady.ask("select 1");
    limit(&house, Resource::Nofile, 64);
    let crowd: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(house.address()).ok()).collect();
    assert!(crowd.len() > 64, "the kernel accepts for it");
    for _ in 0..20 {
        assert_eq!(steady.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    }
    drop(crowd);
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

/// However many clients come, servers can be opened and the figures be looked at.
#[test]
fn f65_clients_leave_descriptors_to_others() {
    let mut house = House::new(2);
    let files = tempfile::tempdir().expect("a folder");
    let script = files.path().join("pgweir");
    let program = env!("CARGO_BIN_EXE_pgweir");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n 160\nexec {program} \"$@\"\n")).expect("a script");
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("it is ours");
    let log = files.path().join("log");
    house.pooler = Pooler::start(&script, &house.url(), &["--pool-size", "2"], &log).expect("a pooler");
    let place = house.place();
    let mut clients = Vec::new();
    let told = loop {
        match Client::connect(&place, &[]) {
            Ok(client) => clients.push(client),
            Err(told) => break told.to_string(),
        }
    };
    // 160, less two servers, forty pinned ones and 64 for all else; of these, each sixth is for a login.
    assert_eq!(clients.len(), 45);
    assert!(told.contains("53300") && told.contains("all 45 client connections are in use"), "{told}");
    assert!(house.pooler.log().contains("too few open files"), "{}", house.pooler.log());
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(house.address())).collect();
    assert_eq!(clients[44].ask("begin"), "C[BEGIN] Z[T]");
    assert_eq!(clients[43].ask("begin"), "C[BEGIN] Z[T]");
    assert!(house.metric("pgweir_logins_total") >= 45);
    drop(crowd);
}

#[test]
fn f66_memory_is_limited() {
    let house = House::new(2);
    house.client().ask("select 1");
    let status = std::fs::read_to_string(format!("/proc/{}/status", house.pooler.pid())).expect("/proc");
    let size = status.lines().find(|line| line.starts_with("VmSize:")).expect("VmSize");
    let size: u64 = size.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    limit(&house, Resource::As, (size << 10) + (64 << 20));
    let long = "x".repeat(20 << 20);
    for _ in 0..10 {
        let mut client = house.client();
        let heard = client.say(&[parse("s", &format!("select '{long}'"), &[]), sync()].concat());
        assert_eq!(heard, "E[ERROR 54000] Z[I]");
        assert_eq!(
            client.ask(&format!("select length('{long}')")),
            format!("T D[{}] C[SELECT 1] Z[I]", 20 << 20)
        );
    }
    house.all_is_well();
}

/// A second pgweir in front of the house's PostgreSQL, with all that it prints going to `output`.
fn printing_to(house: &House, output: impl Into<Stdio>, errors: impl Into<Stdio>) -> (Child, Place) {
    let port = free_port().expect("a free port");
    let mut command = program(house, &format!("127.0.0.1:{port}"), "127.0.0.1:0");
    command.args(["--log-level", "trace"]).stdout(output).stderr(errors);
    running(command, Place { address: ([127, 0, 0, 1], port).into(), ..house.place() })
}

/// A pgweir once it listens at `place`.
fn running(mut command: Command, place: Place) -> (Child, Place) {
    let child = command.spawn().expect("it runs");
    eventually("it listens", || TcpStream::connect(place.address).is_ok());
    (child, place)
}

fn program(house: &House, listen: &str, http: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.args(["--listen", listen, "--http", http]).env("DATABASE_URL", house.url());
    command.env_remove("PGWEIR_TEST_PGBIN");
    command
}

/// It serves, and it ends when it is told to.
fn serves_and_ends((mut child, place): (Child, Place)) {
    // Each login is a few lines at this level; a pipe holds 64 KiB.
    for _ in 0..300 {
        let mut client = Client::connect(&place, &[]).expect("a login");
        assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
        client.terminate();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().expect("a status");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn f67_the_log_is_full() {
    let house = House::new(1);
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    serves_and_ends(printing_to(&house, full(), full()));
}

#[test]
fn f67_nobody_reads_the_log() {
    let house = House::new(1);
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let output = writer.try_clone().expect("a second handle");
    serves_and_ends(printing_to(&house, output, writer));
}

#[test]
fn f74_the_port_is_taken() {
    let house = House::new(1);
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    let free = format!("127.0.0.1:{}", free_port().expect("a free port"));
    for (listen, http) in [(&taken, &free), (&free, &taken)] {
        let output = program(&house, listen, http).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let complaints: Vec<_> = said.lines().filter(|line| line.contains("in use")).collect();
        assert_eq!(complaints.len(), 1, "{said}");
        assert!(complaints[0].contains(&taken), "{said}");
    }
}

#[test]
fn clients_have_a_limit() {
    let house = House::with(1, "limits.max_clients = 2");
    let _held = (house.client(), house.client());
    assert!(house.refusal(&[]).starts_with("Error FATAL | 53300"));
}
