//! Applications can't tell pgweir from PostgreSQL: each program in `tests/apps/` runs unchanged, with its framework's
//! default settings, on a direct connection and then through pgweir in transaction mode with two servers, between which
//! strangers are at work. What it prints has to be equal, and no stranger may see anything of it.
//!
//! `scripts/test.sh` installs what they need and links it as `target/apps`.
#![allow(clippy::disallowed_methods)]

use std::process::Command;

use pair::{Pair, installed, program, run};
use strangers::Strangers;

#[path = "drivers/pair.rs"]
mod pair;
#[path = "apps/strangers.rs"]
mod strangers;

/// Servers that the application shares with the strangers.
const SERVERS: u32 = 2;

/// What an administrator gives the applications' role: that it may make databases (test runners do), and a role that it
/// may take on.
const ROLES: &str = "alter role app createdb; create role app_owner; grant app_owner to app";

/// Runs each of `programs` in a new database, directly and then through pgweir among strangers.
fn same_both_ways(programs: &[&str]) {
    let pair = Pair::new(SERVERS);
    strangers::execute(&pair.cluster.superuser_url(), ROLES);
    for database in ["direct", "pooled"] {
        let create = format!("create database {database} owner app_owner");
        strangers::execute(&pair.cluster.superuser_url(), &create);
    }
    for program in programs {
        let direct = run("on a direct connection", command(program, &pair.direct_url_of("direct")));
        let strangers = Strangers::begin(&pair.pooled_url_of("pooled"));
        let pooled = run("through pgweir", command(program, &pair.pooled_url_of("pooled")));
        strangers.end();
        assert_same(&direct, &pooled);
    }
}

/// The first difference, with what stands around it.
fn assert_same(direct: &str, pooled: &str) {
    assert!(!direct.is_empty(), "the program printed nothing");
    let (direct, pooled) = (lines(direct), lines(pooled));
    let longer = direct.len().max(pooled.len());
    if let Some(at) = (0..longer).find(|&at| direct.get(at) != pooled.get(at)) {
        let excerpt = |lines: &[&str]| {
            let around = at.saturating_sub(3).min(lines.len())..(at + 4).min(lines.len());
            lines[around].join("\n")
        };
        let (direct, pooled) = (excerpt(&direct), excerpt(&pooled));
        panic!("line {} differs\n== directly\n{direct}\n== through pgweir\n{pooled}", at + 1);
    }
}

/// Without how long test runners say that it took.
fn lines(printed: &str) -> Vec<&str> {
    let untimed = |line: &'_ str| match line.rsplit_once(" in ") {
        Some((ran, _)) if ran.starts_with("Ran ") => ran.len(),
        _ => line.len(),
    };
    printed.lines().map(|line| &line[..untimed(line)]).collect()
}

/// `NAME=value … program argument …`, as in a shell: a program below `tests/apps/`, with what it needs.
fn command(line: &str, url: &str) -> Command {
    let mut words = line.split_whitespace().peekable();
    let mut environment = vec![("DATABASE_URL", url)];
    while let Some(variable) = words.peek().and_then(|word| word.split_once('=')) {
        environment.push(variable);
        words.next();
    }
    let file = program("apps").join(words.next().expect("a program"));
    let mut command = if file.extension().is_some_and(|extension| extension == "js") {
        let mut node = Command::new("node");
        node.env("NODE_PATH", installed("apps/node/node_modules"));
        node
    } else {
        let mut python = Command::new(installed("apps/python/bin/python"));
        python.arg("-B");
        python
    };
    command.envs(environment).arg(file).args(words);
    command
}

#[test]
fn asyncpg() {
    same_both_ways(&["asyncpg_app.py"]);
}

#[test]
fn psycopg() {
    same_both_ways(&["psycopg_app.py"]);
}

#[test]
fn sqlalchemy() {
    same_both_ways(&[
        "sqlalchemy_app.py psycopg",
        "sqlalchemy_app.py psycopg_async",
        "sqlalchemy_app.py asyncpg",
    ]);
}

#[test]
fn node_postgres() {
    same_both_ways(&["node_postgres_app.js"]);
}

#[test]
fn postgres_js() {
    same_both_ways(&["postgres_js_app.js"]);
}

/// Migrations, then the story with each way of keeping connections, then the migrations back.
#[test]
fn django() {
    same_both_ways(&[
        "DJANGO_CONNECTIONS=role django/manage.py migrate --no-color",
        "django/manage.py story",
        "DJANGO_CONNECTIONS=persistent django/manage.py story",
        "DJANGO_CONNECTIONS=pool django/manage.py story",
        "DJANGO_CONNECTIONS=prepared django/manage.py story",
        "DJANGO_CONNECTIONS=role django/manage.py story",
        "django/manage.py migrate --no-color shop zero",
    ]);
}

/// It makes a database, migrates it, tests in it and drops it.
#[test]
fn django_test_runner() {
    same_both_ways(&["django/manage.py test shop --no-input --no-color"]);
}

/// A database is a copy of another, for each worker.
#[test]
fn django_parallel_test_runner() {
    same_both_ways(&["django/manage.py test shop --no-input --no-color --parallel=2"]);
}
