//! pgbench as the source of load: what it ran, and how long each transaction took.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use crate::house::{House, Pooler};
use crate::{Outcome, process};

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
    /// One that gives a number of a sequence.
    Insert,
    /// Each client sets something of its own once, which its later transactions have.
    OwnSetting,
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

/// What happened between two looks at the pooler: behind the logins, before the end.
pub(crate) struct Report {
    /// Of each transaction, in microseconds, sorted.
    latencies_us: Vec<u64>,
    pub(crate) took: Duration,
    /// Of the pooler's process.
    pub(crate) cpu: Duration,
}

/// The pooler's CPU time at a moment since 1970.
type Look = (Duration, Duration);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl Report {
    /// `finished`: when each transaction was, since 1970, and the microseconds that it took.
    fn of(looks: &[Look], finished: &[(Duration, u64)]) -> Option<Self> {
        let first = finished.iter().map(|(at, _)| *at).min()?;
        let last = finished.iter().map(|(at, _)| *at).max()?;
        let within: Vec<&Look> = looks.iter().filter(|(at, _)| (first..=last).contains(at)).collect();
        let ((from, cpu_before), (to, cpu)) = (**within.first()?, **within.last()?);
        let counted = finished.iter().filter(|(at, _)| (from..to).contains(at));
        let mut latencies_us: Vec<u64> = counted.map(|(_, us)| *us).collect();
        latencies_us.sort_unstable();
        let report = Self { latencies_us, took: to - from, cpu: cpu - cpu_before };
        (!report.latencies_us.is_empty()).then_some(report)
    }

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
    let mut command = pooler.client(house, "pgbench");
    command
        .current_dir(folder.path())
        .args(["--no-vacuum", "--define=mine=0", "--log", "--file"])
        .arg(&script);
    command.args(["--protocol", order.protocol.name(), "--time", &order.seconds.to_string()]);
    command.args(["--client", &order.clients.to_string(), "--jobs", &order.clients.min(2).to_string()]);
    if order.reconnect {
        command.arg("--connect");
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut looks = Vec::new();
    while child.try_wait()?.is_none() {
        looks.push((UNIX_EPOCH.elapsed()?, process::cpu(pooler.pid())?));
        thread::sleep(LOOK);
    }
    said("pgbench", child.wait_with_output()?)?;
    let mut finished = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path != script {
            finished.extend(fs::read_to_string(path)?.lines().filter_map(transaction));
        }
    }
    Report::of(&looks, &finished).ok_or_else(|| "pgbench finished no transaction".into())
}

/// A line of pgbench's log: client, number, microseconds, script, and when it ended, in seconds and microseconds.
fn transaction(line: &str) -> Option<(Duration, u64)> {
    let mut fields = line.split(' ').map(|field| field.parse().ok());
    let (took, end) = (fields.nth(2)??, fields.nth(1)??);
    Some((Duration::from_secs(end) + Duration::from_micros(fields.next()??), took))
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
            Self::Insert => "INSERT INTO counted (name) VALUES ('one more');\n",
            Self::OwnSetting => {
                "\\if :mine = 0\nSET app.tenant = :client_id;\n\\set mine 1\n\\else\nSELECT 1;\n\\endif\n"
            }
            Self::Rows => "SELECT id, name FROM items WHERE id <= 5000;\n",
        }
    }
}

/// Runs a program to its end; what it said on stdout, or on stderr if that was an error.
pub(crate) fn succeed(command: &mut Command) -> Outcome<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    said(&program, output)
}

fn said(program: &str, output: Output) -> Outcome<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let error = told.lines().find(|line| line.contains("error") || line.contains("ERROR"));
    Err(format!("{program}: {}", error.or_else(|| told.lines().last()).unwrap_or("failed")).into())
}
