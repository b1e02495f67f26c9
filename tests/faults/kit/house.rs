//! PostgreSQL with pgweir in front of it, and what the cases look at.

use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitStatus;

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::{Client, PATIENCE, Place};
use pgweir_testkit::frontend::query;
use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{self, Postgres};
use super::{Network, eventually};

/// A case's own pgweir in front of a database of its own.
pub struct House {
    // Dropped in this order.
    pub pooler: Pooler,
    postgres: Option<Postgres>,
    pub database: String,
    password: String,
    _files: tempfile::TempDir,
}

// -- building

impl House {
    /// With `size` servers.
    pub fn new(size: u32) -> Self {
        Self::with(size, "")
    }

    /// And whatever else `settings` say: TOML with dotted keys.
    pub fn with(size: u32, settings: &str) -> Self {
        Self::behind(None, size, settings)
    }

    /// With a network between pgweir and PostgreSQL that does as it is told.
    pub fn behind_network(size: u32, settings: &str) -> (Network, Self) {
        let network = Network::to(cluster::shared().address());
        let house = Self::behind(Some(network.address), size, settings);
        (network, house)
    }

    fn behind(upstream: Option<SocketAddr>, size: u32, settings: &str) -> Self {
        let shared = cluster::shared();
        let database = cluster::new_database(shared);
        let upstream = upstream.unwrap_or_else(|| shared.address());
        Self::before(upstream, Some(Postgres::Shared(shared)), &database, size, settings)
    }

    /// In front of a cluster of its own: to stop it, crash it, fill it.
    pub fn of(recipe: Recipe, size: u32, settings: &str) -> Self {
        let cluster = cluster::make(recipe);
        let upstream = cluster.address();
        Self::before(upstream, Some(Postgres::Own(Box::new(cluster))), ROLE, size, settings)
    }

    /// In front of something that is no PostgreSQL, and lets in whoever comes.
    pub fn before_fake(upstream: impl Display, size: u32, settings: &str) -> Self {
        let settings = format!("auth.method = 'trust'\npool.session_state = 'off'\n{settings}");
        Self::before(upstream, None, "fake", size, &settings)
    }

    /// The way to `postgres` leads over `upstream`.
    pub fn before(
        upstream: impl Display,
        postgres: Option<Postgres>,
        database: &str,
        size: u32,
        settings: &str,
    ) -> Self {
        let password = postgres.as_deref().map_or("secret", Cluster::password).to_owned();
        let files = tempfile::tempdir().expect("a temporary folder");
        fs::write(files.path().join("pgweir.toml"), format!("pool.size = {size}\n{settings}"))
            .expect("a configuration");
        let url = format!("postgres://{ROLE}:{password}@{upstream}/{database}");
        let pooler = start(files.path(), &url);
        Self { pooler, postgres, database: database.to_owned(), password, _files: files }
    }

    /// Where PostgreSQL is, for a pgweir.
    pub fn url(&self) -> String {
        format!("postgres://{ROLE}:{}@{}/{}", self.password, self.postgres().address(), self.database)
    }

    pub fn postgres(&self) -> &Cluster {
        self.postgres.as_ref().expect("there is a PostgreSQL")
    }

    /// The cluster of this house alone.
    pub fn own_postgres(&mut self) -> &mut Cluster {
        match &mut self.postgres {
            Some(Postgres::Own(cluster)) => cluster,
            _ => panic!("the cluster belongs to others, too"),
        }
    }
}

fn start(folder: &Path, url: &str) -> Pooler {
    let arguments = ["--config".into(), folder.join("pgweir.toml").into_os_string()];
    let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
    Pooler::start(program, url, &arguments, &folder.join("pgweir.log")).expect("a pooler")
}

// -- clients

impl House {
    pub fn address(&self) -> SocketAddr {
        self.pooler.address()
    }

    pub fn place(&self) -> Place {
        let (password, database) = (self.password.clone(), self.database.clone());
        Place { address: self.address(), user: ROLE.into(), password, database }
    }

    /// A client of pgweir.
    pub fn client(&self) -> Client {
        Client::connect(&self.place(), &[]).expect("a login")
    }

    /// Why a login is refused: severity and SQLSTATE stand in front.
    pub fn refusal(&self, parameters: &[(&str, &str)]) -> String {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let parameters: Vec<_> = parameters.iter().map(own).collect();
        Client::connect(&self.place(), &parameters).expect_err("no login").to_string()
    }

    /// A client that has sent its StartupMessage and waits; [`Client::log_in`] does the rest.
    pub fn applicant(&self) -> Client {
        let mut client = Client::silent(self.address());
        client.tell(&pgweir_testkit::frontend::startup(&[("user", ROLE), ("database", &self.database)]));
        client
    }

    /// The same role without a pooler.
    pub fn direct(&self) -> Client {
        let place = cluster::place(self.postgres(), ROLE, &self.database);
        Client::connect(&place, &[]).expect("a direct login")
    }

    /// A superuser on a direct connection to the same database.
    pub fn director(&self) -> Client {
        let place = cluster::place(self.postgres(), SUPERUSER, &self.database);
        Client::connect(&place, &[]).expect("a direct login")
    }
}

// -- backends

/// Backends of pgweir's servers that match a condition on pg_stat_activity.
fn those(condition: &str) -> String {
    format!("from pg_stat_activity where usename = '{ROLE}' and datname = current_database() and {condition}")
}

impl House {
    pub fn backends(&self, condition: &str) -> u32 {
        let count = self.director().value(&format!("select count(*) {}", those(condition)));
        count.parse().expect("a number")
    }

    /// Waits until exactly `count` backends match.
    pub fn backends_become(&self, count: u32, condition: &str) {
        let mut director = self.director();
        let sql = format!("select count(*) {}", those(condition));
        eventually(condition, || director.value(&sql) == count.to_string());
    }

    /// Terminates all backends of pgweir's servers, and waits until they are gone; gives their number.
    pub fn terminate(&self) -> usize {
        let mut director = self.director();
        director.tell(&query(&format!("select pid, pg_terminate_backend(pid) {}", those("true"))));
        let answer = director.until_ready();
        let pids: Vec<_> =
            answer.iter().filter(|row| row.tag == b'D').map(|row| row.columns().remove(0)).collect();
        for pid in &pids {
            let sql = format!("select count(*) from pg_stat_activity where pid = {pid}");
            eventually("a terminated backend is gone", || director.value(&sql) == "0");
        }
        pids.len()
    }
}

// -- figures

impl House {
    pub fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.pooler.http()).expect("the HTTP endpoint");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: pgweir\r\nConnection: close\r\n\r\n")
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// One figure of `/metrics`, with its labels or as the sum over them.
    pub fn metric(&self, series: &str) -> u64 {
        sum(&self.http("/metrics"), |line| {
            line.strip_prefix(series).is_some_and(|rest| rest.starts_with([' ', '{']))
        })
    }

    pub fn metric_becomes(&self, series: &str, value: u64) {
        eventually(&format!("{series} {value}"), || self.metric(series) == value);
    }

    /// Servers in one state.
    pub fn servers(&self, state: &str) -> u64 {
        let state = format!("state=\"{state}\"");
        sum(&self.http("/metrics"), |line| line.starts_with("pgweir_pool_servers{") && line.contains(&state))
    }

    /// Bytes of memory that are resident.
    pub fn resident(&self) -> u64 {
        self.metric("pgweir_process_resident_memory_bytes")
    }

    /// Nothing is lent, nobody waits, nothing was mixed up, and a client is served.
    pub fn all_is_well(&self) {
        assert_eq!(self.metric("pgweir_panics_total"), 0, "{}", self.pooler.log());
        self.all_is_well_but_for_the_panic();
    }

    pub fn all_is_well_but_for_the_panic(&self) {
        assert_eq!(self.metric("pgweir_protocol_desync_total"), 0, "{}", self.pooler.log());
        self.metric_becomes("pgweir_pool_clients_waiting", 0);
        for state in ["active", "idle_in_transaction", "pinned", "closing"] {
            eventually(&format!("no server is {state}"), || self.servers(state) == 0);
        }
        if self.postgres.is_some() {
            assert_eq!(self.client().value("select 'well'"), "well");
        }
    }
}

/// The sum of the samples that are wanted.
fn sum(page: &str, wanted: impl Fn(&str) -> bool) -> u64 {
    let values = page.lines().filter(|line| wanted(line)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64
}

// -- the process

impl House {
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pooler.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end of the process.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("pgweir ends", || {
            status = self.pooler.ended().expect("it can be waited for");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- pgweir's log ----\n{}", self.pooler.log());
        }
    }
}
