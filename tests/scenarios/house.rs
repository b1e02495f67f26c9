//! The house in which scenarios are played: PostgreSQL, a pgweir with one server and a pgweir with two.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::play::{BROKEN, Stage, Transcript, play, query};
use pgweir_testkit::script::Scenario;

/// PostgreSQL, and a pgweir of each kind in front of it.
pub(crate) struct House {
    // Dropped in this order.
    one: Pooler,
    two: Pooler,
    cluster: Cluster,
    played: AtomicU32,
    version: OnceLock<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    OneServer,
    TwoServersAndNoise,
}

impl House {
    /// `config`: keys of pgweir, as TOML.
    pub(crate) fn new(config: &str) -> Self {
        let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
        let settings = vec!["max_prepared_transactions = 5".to_owned()];
        let cluster = Cluster::new(&Recipe { programs, settings, ..Recipe::default() }).expect("a cluster");
        let file = cluster.socket_directory().join("pgweir.toml").display().to_string();
        std::fs::write(&file, config).expect("a configuration");
        let pooler = |size: &str| {
            let log = cluster.socket_directory().join(format!("pgweir-{size}.log"));
            let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
            let arguments = ["--config", &file, "--pool-size", size];
            Pooler::start(program, &cluster.url(), &arguments, &log).expect("a pooler")
        };
        Self {
            one: pooler("1"),
            two: pooler("2"),
            cluster,
            played: AtomicU32::new(0),
            version: OnceLock::new(),
        }
    }

    /// Plays a scenario in a database of its own. Files are copied in a tenth of the time that pages take, with
    /// nothing durable.
    pub(crate) fn play(&self, scenario: &Scenario, way: Way) -> Transcript {
        let database = format!("scenario_{}", self.played.fetch_add(1, Ordering::Relaxed));
        let strategy = if self.version() < 15 { "" } else { "strategy file_copy" };
        self.administer(&format!("create database {database} owner {ROLE} {strategy}"));
        let transcript = self.play_in(&database, scenario, way);
        self.roll_back_prepared(&database);
        self.administer(&format!("drop database {database} with (force)"));
        transcript
    }

    /// Runs SQL as superuser; it has to succeed.
    pub(crate) fn administer(&self, sql: &str) {
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
    pub(crate) fn version(&self) -> u32 {
        *self.version.get_or_init(|| {
            let sql = "select current_setting('server_version_num')::int / 10000";
            self.column("postgres", sql)[0].parse().expect("a number")
        })
    }

    /// Prepared transactions, which would keep their database.
    fn roll_back_prepared(&self, database: &str) {
        let sql = "select gid from pg_prepared_xacts where database = current_database()";
        for gid in self.column(database, sql) {
            let answer = query(&mut self.superuser(database), &format!("rollback prepared '{gid}'"));
            assert!(answer.expect("an answer").iter().all(|message| message.tag != b'E'), "{gid}");
        }
    }

    /// The only column of a query.
    fn column(&self, database: &str, sql: &str) -> Vec<String> {
        let answer = query(&mut self.superuser(database), sql).expect("an answer");
        let rows = answer.iter().filter(|message| message.tag == b'D');
        // Behind the number of columns and the value's length.
        rows.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned()).collect()
    }

    /// A superuser who is directly connected.
    pub(crate) fn superuser(&self, database: &str) -> Client {
        let place = Place {
            address: self.cluster.address(),
            user: SUPERUSER.into(),
            password: self.cluster.password().into(),
            database: database.into(),
        };
        Client::connect(&place, &[]).expect("a superuser")
    }
}

/// Whether a reply didn't come, or one came that isn't of the protocol.
pub(crate) fn is_broken(heard: &[String]) -> bool {
    heard.iter().any(|line| line.starts_with(BROKEN))
}
