//! pgbench as the source of load: what it ran, and how long each transaction took.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::house::{House, Pooler};

/// In pgbench's words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    SelectOne,
    PrimaryKey,
    FourStatements,
    Rows,
}

pub(crate) struct Order {
    pub(crate) clients: u32,
    pub(crate) protocol: Protocol,
    pub(crate) script: Script,
    /// A connection for each transaction.
    pub(crate) reconnect: bool,
    pub(crate) seconds: u32,
}

pub(crate) struct Report {
    /// Of each transaction, in microseconds, sorted.
    latencies_us: Vec<u64>,
    /// From the first connection to the last answer.
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn transactions(&self) -> f64 {
        self.latencies_us.len() as f64
    }

    /// By nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies_us.len() * percent).div_ceil(100).saturating_sub(1);
        Duration::from_micros(self.latencies_us.get(rank).copied().unwrap_or_default())
    }
}

/// Loads a pooler. An error of any client is an error of the run.
pub(crate) fn run(house: &House, pooler: &Pooler, order: &Order) -> Outcome<Report> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script.sql");
    fs::write(&script, order.script.text())?;
    let mut command = house.client("pgbench", pooler.address());
    command.current_dir(folder.path()).args(["--no-vacuum", "--log", "--file"]).arg(&script);
    command.args(["--protocol", order.protocol.name(), "--time", &order.seconds.to_string()]);
    command.args(["--client", &order.clients.to_string(), "--jobs", &order.clients.min(2).to_string()]);
    if order.reconnect {
        command.arg("--connect");
    }
    let start = Instant::now();
    succeed(&mut command)?;
    let took = start.elapsed();
    let mut latencies_us = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path != script {
            // client, transaction, microseconds, …
            let text = fs::read_to_string(path)?;
            let fields = text.lines().filter_map(|line| line.split(' ').nth(2));
            latencies_us.extend(fields.filter_map(|field| field.parse::<u64>().ok()));
        }
    }
    latencies_us.sort_unstable();
    match latencies_us.is_empty() {
        true => Err("pgbench finished no transaction".into()),
        false => Ok(Report { latencies_us, took }),
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

impl Script {
    fn text(self) -> &'static str {
        match self {
            Self::SelectOne => "SELECT 1;\n",
            Self::PrimaryKey => "\\set id random(1, 100000)\nSELECT name FROM items WHERE id = :id;\n",
            Self::FourStatements => {
                "\\set id random(1, 100000)\nBEGIN;\nSELECT name FROM items WHERE id = :id;\nSELECT 1;\nCOMMIT;\n"
            }
            Self::Rows => "SELECT id, name FROM items WHERE id <= 5000;\n",
        }
    }
}

/// Runs a program to its end; what it said on stdout, or on stderr if that was an error.
pub(crate) fn succeed(command: &mut Command) -> Outcome<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let error = told.lines().find(|line| line.contains("error") || line.contains("ERROR"));
    Err(format!("{program}: {}", error.or(told.lines().last()).unwrap_or("failed")).into())
}
