//! PostgreSQL with the data of the loads, and the poolers in front of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgweir::demo::cluster::{Cluster, ROLE, Recipe};
use pgweir::demo::pooler;

use crate::pgbouncer::PgBouncer;
use crate::work::Login;
use crate::{Outcome, pgbench};

/// Servers of each pool.
const SERVERS: u32 = 20;

const DATA: &str = "
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100000) AS i;
CREATE TABLE bulk AS SELECT repeat('x', 999) AS line FROM generate_series(1, 100000);
CREATE UNLOGGED TABLE sink (line text);
VACUUM ANALYZE items; VACUUM ANALYZE bulk";

pub(crate) struct House {
    pub(crate) cluster: Cluster,
}

/// A program that may stand in front of PostgreSQL.
pub(crate) enum Contestant {
    PgBouncer(PathBuf),
    Pgweir(PathBuf),
}

/// One that runs. Drop ends it.
pub(crate) enum Pooler {
    PgBouncer(PgBouncer),
    Pgweir(pooler::Pooler),
}

pub(crate) struct Pair {
    pub(crate) rival: Pooler,
    pub(crate) ours: Pooler,
}

impl House {
    pub(crate) fn new() -> Outcome<Self> {
        let recipe = Recipe { max_connections: Some(8 * SERVERS), ..Recipe::default() };
        let house = Self { cluster: Cluster::new(&recipe)? };
        let statements = DATA.split(';').flat_map(|sql| ["-c", sql]);
        pgbench::succeed(house.client("psql", house.cluster.address()).arg("-q").args(statements))?;
        Ok(house)
    }

    /// One of PostgreSQL's clients, as the role of the loads.
    pub(crate) fn client(&self, program: &str, address: SocketAddr) -> Command {
        let beside = self.cluster.binaries().program(program);
        let mut command = Command::new(if beside.is_file() { beside } else { program.into() });
        command.env("PGHOST", address.ip().to_string()).env("PGPORT", address.port().to_string());
        command.env("PGUSER", ROLE).env("PGDATABASE", ROLE).env("PGPASSWORD", self.cluster.password());
        command
    }

    pub(crate) fn open(&self, contestant: &Contestant, login: Login) -> Outcome<Pooler> {
        match contestant {
            Contestant::PgBouncer(program) => {
                Ok(Pooler::PgBouncer(PgBouncer::start(program, &self.cluster, SERVERS, login)?))
            }
            Contestant::Pgweir(program) => self.open_pgweir(program, login).map(Pooler::Pgweir),
        }
    }

    /// As it comes, but for the size of the pool, the limit of clients, and how they log in.
    fn open_pgweir(&self, program: &Path, login: Login) -> Outcome<pooler::Pooler> {
        let method = match login {
            Login::Trust => "trust",
            Login::Scram => "scram-sha-256",
        };
        let file = self.cluster.socket_directory().join(format!("{method}.toml"));
        let text = format!(
            "auth.method = \"{method}\"\npool.size = {SERVERS}\nlimits.max_clients = 20000\nlimits.max_logins = 2000\n"
        );
        fs::write(&file, text)?;
        let log = self.cluster.socket_directory().join("pgweir.log");
        let arguments = ["--config".as_ref(), file.as_os_str()];
        Ok(pooler::Pooler::start(program, &self.cluster.url(), &arguments, &log)?)
    }
}

impl Contestant {
    /// By the program's name.
    pub(crate) fn at(program: &Path) -> Self {
        match program.file_name().is_some_and(|name| name.to_string_lossy().contains("pgbouncer")) {
            true => Self::PgBouncer(program.to_owned()),
            false => Self::Pgweir(program.to_owned()),
        }
    }

    /// The first line of what it says of itself.
    pub(crate) fn version(&self) -> Outcome<String> {
        let (Self::PgBouncer(program) | Self::Pgweir(program)) = self;
        let told = pgbench::succeed(Command::new(program).arg("--version"))?;
        Ok(told.lines().next().unwrap_or_default().to_owned())
    }
}

impl Pooler {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::PgBouncer(pooler) => pooler.address(),
            Self::Pgweir(pooler) => pooler.address(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::PgBouncer(pooler) => pooler.pid(),
            Self::Pgweir(pooler) => pooler.pid(),
        }
    }
}
