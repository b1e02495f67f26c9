//! Each scenario of `tests/scenarios/` reads the same on direct connections, through pgweir with one server, and
//! through pgweir with two servers and a stranger who takes one between any two lines.
//!
//! `PGWEIR_SCENARIO=text` plays only the scenarios whose name contains the text.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::play::{BROKEN, Stage, Transcript, play, query};
use pgweir_testkit::script::{Line, Scenario, read};

/// PostgreSQL, and a pgweir of each kind in front of it.
struct House {
    // Dropped in this order.
    one: Pooler,
    two: Pooler,
    cluster: Cluster,
    played: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    OneServer,
    TwoServersAndNoise,
}

impl House {
    fn new() -> Self {
        let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
        let settings = vec!["max_prepared_transactions = 5".to_owned()];
        let cluster = Cluster::new(&Recipe { programs, settings, ..Recipe::default() }).expect("a cluster");
        let pooler = |size: &str| {
            let log = cluster.socket_directory().join(format!("pgweir-{size}.log"));
            let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
            Pooler::start(program, &cluster.url(), &["--pool-size", size], &log).expect("a pooler")
        };
        Self { one: pooler("1"), two: pooler("2"), cluster, played: AtomicU32::new(0) }
    }

    /// Plays a scenario in a database of its own.
    fn play(&self, scenario: &Scenario, way: Way) -> Transcript {
        let database = format!("scenario_{}", self.played.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("create database {database} owner {ROLE}"));
        let transcript = self.play_in(&database, scenario, way);
        self.administer(&format!("drop database {database} with (force)"));
        transcript
    }

    fn administer(&self, sql: &str) {
        let answer = query(&mut self.superuser("postgres"), sql).expect("an answer");
        assert!(answer.iter().all(|message| message.tag != b'E'), "{sql}: {answer:?}");
    }

    fn play_in(&self, database: &str, scenario: &Scenario, way: Way) -> Transcript {
        let address = match way {
            Way::Direct => self.cluster.address(),
            Way::OneServer => self.one.address(),
            Way::TwoServersAndNoise => self.two.address(),
        };
        let place = Place {
            address,
            user: ROLE.into(),
            password: self.cluster.password().into(),
            database: database.into(),
        };
        let noise = way == Way::TwoServersAndNoise;
        play(scenario, Stage { place, director: self.superuser(database), noise })
    }

    /// PostgreSQL's major version.
    fn version(&self) -> u32 {
        let sql = "select current_setting('server_version_num')::int / 10000";
        let answer = query(&mut self.superuser("postgres"), sql).expect("an answer");
        let row = answer.iter().find(|message| message.tag == b'D').expect("a row");
        let digits = String::from_utf8_lossy(&row.body[6..]).into_owned();
        digits.parse().expect("a number")
    }

    fn superuser(&self, database: &str) -> Client {
        let place = Place {
            address: self.cluster.address(),
            user: SUPERUSER.into(),
            password: self.cluster.password().into(),
            database: database.into(),
        };
        Client::connect(&place, &[]).expect("a superuser")
    }
}

/// Plays a file; panics with everything that differed.
fn all_alike(file: &str, text: &str) {
    let wanted = std::env::var("PGWEIR_SCENARIO").unwrap_or_default();
    let scenarios: Vec<Scenario> = read(text).into_iter().filter(|one| one.name.contains(&wanted)).collect();
    if scenarios.is_empty() {
        return;
    }
    let house = House::new();
    let mut report = String::new();
    let version = house.version();
    for scenario in &scenarios {
        if version >= 18 && scenario.name.ends_with("(before 18)") {
            continue;
        }
        let direct = house.play(scenario, Way::Direct);
        // A scenario that doesn't read alike on direct connections proves nothing.
        for way in [Way::Direct, Way::OneServer, Way::TwoServersAndNoise] {
            let other = house.play(scenario, way);
            for (line, (direct, other)) in scenario.lines.iter().zip(direct.iter().zip(&other)) {
                let unlike = direct != other && (line.differs.is_none() || way == Way::Direct);
                if unlike || is_broken(direct) || is_broken(other) {
                    report.push_str(&difference(file, scenario, way, line, direct, other));
                }
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

fn is_broken(heard: &[String]) -> bool {
    heard.iter().any(|line| line.starts_with(BROKEN))
}

fn difference(
    file: &str,
    scenario: &Scenario,
    way: Way,
    line: &Line,
    direct: &[String],
    pooled: &[String],
) -> String {
    let list = |lines: &[String]| lines.iter().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        "\n{file}, {way:?}: {}\n  line {}: {}\n    direct:\n{}    through pgweir:\n{}",
        scenario.name,
        line.number,
        line.text,
        list(direct),
        list(pooled)
    )
}

macro_rules! files {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            all_alike(stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        })*
    };
}

files! {
    statements names pipelines protocol cursors copy copies
    settings startup functions replaced identity
    pins temporary locks notifications sequences
}

/// What pgweir can't do yet: each file says what is missing. A scenario that reads alike moves up.
#[test]
#[ignore = "what pgweir can't do yet"]
fn later() {
    for file in std::fs::read_dir("tests/scenarios/later").expect("a folder of scenarios") {
        let file = file.expect("a scenario file").path();
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        all_alike(&file.display().to_string(), &text);
    }
}
