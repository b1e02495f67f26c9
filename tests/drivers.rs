//! Real drivers can't tell pgweir from PostgreSQL: each program in `tests/drivers/` runs on a direct connection,
//! which proves the program, and then through pgweir with two servers, which proves pgweir.
//!
//! `scripts/test.sh` installs the drivers and links them as `target/drivers`.
#![allow(clippy::disallowed_methods)]

use std::process::Command;

use pair::{Pair, installed, program, run};

#[path = "drivers/pair.rs"]
mod pair;
#[path = "drivers/tokio_postgres_client.rs"]
mod tokio_postgres_client;

/// A Python program, with the environment that has the drivers.
fn python(name: &str) -> impl Fn(&str) -> Command {
    let interpreter = installed("drivers/python/bin/python");
    let program = program("drivers").join(name);
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
    let modules = installed("drivers/node/node_modules");
    Pair::new(2).prove(|url| {
        let mut command = Command::new("node");
        command
            .arg(program("drivers/node_postgres_client.js"))
            .env("NODE_PATH", &modules)
            .env("DATABASE_URL", url);
        command
    });
}

#[test]
fn pgjdbc() {
    Pair::new(2).prove(|url| {
        let mut command = pair::pgjdbc();
        command.env("DATABASE_URL", url);
        command
    });
}

#[test]
fn psql() {
    Pair::new(2).prove(|url| {
        let mut command = Command::new("bash");
        command.arg(program("drivers/psql.sh")).env("DATABASE_URL", url);
        command
    });
}

#[test]
fn pg_dump() {
    Pair::new(2).prove(|url| {
        let mut command = Command::new("bash");
        command.arg(program("drivers/pg_dump.sh")).env("DATABASE_URL", url);
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
