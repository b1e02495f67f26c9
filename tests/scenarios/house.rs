//! The house in which scenarios are played: PostgreSQL, a pgweir with one server and a pgweir with two.

use std::path::Path;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    OneServer,
    TwoServersAndNoise,
}

impl House {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn play(&self, scenario: &Scenario, way: Way) -> Transcript {
        let database = format!("scenario_{}", self.played.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("create database {database} owner {ROLE}"));
        let transcript = self.play_in(&database, scenario, way);
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
