//! Real drivers can't tell pgweir from PostgreSQL: each program in `tests/drivers/` runs on a direct connection,
//! which proves the program, and then through pgweir with two servers, which proves pgweir.
//!
//! `scripts/test.sh` installs the drivers and links them as `target/drivers`.
#![allow(clippy::disallowed_methods)]

use std::{
    env,
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pgweir::demo::{
    cluster::{Cluster, ROLE, Recipe},
    pooler::Pooler,
};

#[path = "drivers/tokio_postgres_client.rs"]
mod tokio_postgres_client;

/// A program that takes longer hangs; the slowest needs a few seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// PostgreSQL, and pgweir in front of it.
struct Pair {
    // Dropped in this order.
    pooler: Pooler,
    cluster: Cluster,
}

impl Pair {
    fn new(servers: u32) -> Self {
        let programs = env::var_os("PGWEIR_TEST_PGBIN").map(PathBuf::from);
        let cluster = Cluster::new(&Recipe { programs, ..Recipe::default() }).expect("a cluster");
        let log = cluster.socket_directory().join("pgweir.log");
        let arguments = ["--pool-size".to_owned(), servers.to_string()];
        let pooler = Pooler::start(Path::new(env!("CARGO_BIN_EXE_pgweir")), &cluster.url(), &arguments, &log);
        Self { pooler: pooler.expect("a pooler"), cluster }
    }

    /// Runs `program` directly and then through pgweir.
    fn prove(&self, mut program: impl FnMut(&str) -> Command) {
        run("on a direct connection", program(&self.cluster.url()));
        run("through pgweir", program(&self.pooled_url()));
    }

    fn pooled_url(&self) -> String {
        format!("postgres://{ROLE}:{}@{}/{ROLE}", self.cluster.password(), self.pooler.address())
    }
}

/// Runs a program to its end, which has to be a good one; gives what it printed.
fn run(how: &str, mut command: Command) -> String {
    let mut printed = tempfile::tempfile().expect("a temporary file");
    let stream = || printed.try_clone().expect("a second handle");
    command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().expect("it still runs");
                break child.wait().expect("it can be waited for");
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    printed.rewind().and_then(|()| printed.read_to_string(&mut text)).expect("what it printed");
    assert!(status.success(), "{how}: {status}\n{text}");
    text
}

/// A file that `scripts/test.sh` installs for a driver.
fn installed(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/drivers").join(path);
    assert!(file.exists(), "{} is missing: scripts/test.sh installs it and runs this test", file.display());
    file
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

/// A Python program, with the environment that has the drivers.
fn python(name: &str) -> impl Fn(&str) -> Command {
    let interpreter = installed("python/bin/python");
    let program = program(name);
    move |url| {
        let mut command = Command::new(&interpreter);
        command.arg("-B").arg(&program).env("DATABASE_URL", url);
        command
    }
}

#[test]
fn psycopg() {
    Pair::new(2).prove(python("psycopg_client.py"));
}

#[test]
fn asyncpg() {
    Pair::new(2).prove(python("asyncpg_client.py"));
}

#[test]
fn node_postgres() {
    let modules = installed("node/node_modules");
    Pair::new(2).prove(|url| {
        let mut command = Command::new("node");
        command.arg(program("node_postgres_client.js")).env("NODE_PATH", &modules).env("DATABASE_URL", url);
        command
    });
}

#[test]
fn psql() {
    Pair::new(2).prove(|url| {
        let mut command = Command::new("bash");
        command.arg(program("psql.sh")).env("DATABASE_URL", url);
        command
    });
}

#[tokio::test]
async fn tokio_postgres() {
    let pair = Pair::new(2);
    tokio_postgres_client::run(&pair.cluster.url()).await;
    tokio_postgres_client::run(&pair.pooled_url()).await;
}

#[test]
fn pgbench_simple() {
    pgbench("simple");
}

#[test]
fn pgbench_extended() {
    pgbench("extended");
}

#[test]
fn pgbench_prepared() {
    pgbench("prepared");
}

/// 500 clients over ten servers, twenty TPC-B transactions each, and not one error.
///
/// In its prepared mode pgbench waits for each Parse before it looks at its other clients. Were there fewer threads
/// than clients, one such wait could be for a server that a client of the same thread holds in its transaction.
fn pgbench(mode: &str) {
    let pair = Pair::new(10);
    let pgbench = |arguments: &[&str], url: &str| {
        let mut command = Command::new("pgbench");
        command.args(arguments).arg(url);
        command
    };
    run("initialising", pgbench(&["--initialize", "--quiet", "--scale=10"], &pair.cluster.url()));
    let load = ["--no-vacuum", "--client=500", "--jobs=500", "--transactions=20", "--protocol", mode];
    let report = run("500 clients", pgbench(&load, &pair.pooled_url()));
    assert!(report.contains("number of transactions actually processed: 10000/10000"), "{report}");
    for complaint in ["ERROR", "FATAL", "aborted"] {
        assert!(!report.contains(complaint), "{report}");
    }
}
