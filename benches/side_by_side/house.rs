//! PostgreSQL with the data of the loads, and the poolers in front of it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir::demo::pooler;

use crate::pgbouncer::PgBouncer;
use crate::work::Access;
use crate::{Outcome, pgbench};

/// Servers of each pool.
const SERVERS: u32 = 20;

const DATA: &str = "
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100000) AS i;
CREATE TABLE bulk AS SELECT repeat('x', 999) AS line FROM generate_series(1, 100000);
CREATE UNLOGGED TABLE sink (line text);
CREATE UNLOGGED TABLE counted (id serial, name text);
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
pub(crate) struct Pooler {
    program: Running,
    access: Access,
}

enum Running {
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
        Files::make(&house.cluster)?;
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

    pub(crate) fn open(&self, contestant: &Contestant, access: Access) -> Outcome<Pooler> {
        self.open_with(contestant, access, "")
    }

    /// A pgweir with further `settings`, in TOML.
    pub(crate) fn open_with(
        &self,
        contestant: &Contestant,
        access: Access,
        settings: &str,
    ) -> Outcome<Pooler> {
        let program = match contestant {
            Contestant::PgBouncer(program) => {
                Running::PgBouncer(PgBouncer::start(program, &self.cluster, SERVERS, access)?)
            }
            Contestant::Pgweir(program) => Running::Pgweir(self.open_pgweir(program, access, settings)?),
        };
        Ok(Pooler { program, access })
    }

    /// As it comes, but for the size of the pool, the limit of clients, how they come in, and what else is said.
    fn open_pgweir(&self, program: &Path, access: Access, settings: &str) -> Outcome<pooler::Pooler> {
        let (method, tls) = match access {
            Access::Trust => ("trust", String::new()),
            Access::Scram => ("scram-sha-256", String::new()),
            Access::Tls => {
                let Files { certificate, key } = Files::beside(&self.cluster);
                let client =
                    format!("tls.client.cert_file = {certificate:?}\ntls.client.key_file = {key:?}\n");
                ("trust", format!("{client}tls.client.mode = \"require\"\ntls.server.mode = \"require\"\n"))
            }
        };
        let file = self.cluster.socket_directory().join("pgweir.toml");
        let text = format!(
            "auth.method = \"{method}\"\npool.size = {SERVERS}\nlimits.max_clients = 20000\n\
             limits.max_logins = 2000\n{tls}{settings}"
        );
        fs::write(&file, text)?;
        let log = self.cluster.socket_directory().join("pgweir.log");
        let arguments = ["--config".as_ref(), file.as_os_str()];
        Ok(pooler::Pooler::start(program, &self.cluster.url(), &arguments, &log)?)
    }
}

/// The certificate that PostgreSQL and the poolers show.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn beside(cluster: &Cluster) -> Self {
        let folder = cluster.socket_directory();
        Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    /// Makes it, and lets PostgreSQL use it.
    fn make(cluster: &Cluster) -> Outcome<()> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let files = Self::beside(cluster);
        let owner = fs::metadata(cluster.socket_directory())?;
        for (path, text) in
            [(&files.certificate, made.cert.pem()), (&files.key, made.signing_key.serialize_pem())]
        {
            fs::write(path, text)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            chown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
        let setting = |name, path: &Path| format!("ALTER SYSTEM SET {name} = '{}'", path.display());
        let mut psql = Command::new(cluster.binaries().program("psql"));
        psql.env("PGPASSWORD", cluster.password()).env("PGHOST", cluster.address().ip().to_string());
        psql.env("PGPORT", cluster.address().port().to_string());
        psql.args(["-q", "-U", SUPERUSER, "-d", SUPERUSER]);
        psql.args(["-c", &setting("ssl_cert_file", &files.certificate)]);
        psql.args(["-c", &setting("ssl_key_file", &files.key), "-c", "ALTER SYSTEM SET ssl = on"]);
        pgbench::succeed(psql.args(["-o", "/dev/null", "-c", "SELECT pg_reload_conf()"]))?;
        Ok(())
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
    /// One of PostgreSQL's clients, to connect to it.
    pub(crate) fn client(&self, house: &House, program: &str) -> Command {
        let mut command = house.client(program, self.address());
        command.env("PGSSLMODE", if self.access == Access::Tls { "require" } else { "disable" });
        command
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.program {
            Running::PgBouncer(pooler) => pooler.address(),
            Running::Pgweir(pooler) => pooler.address(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.program {
            Running::PgBouncer(pooler) => pooler.pid(),
            Running::Pgweir(pooler) => pooler.pid(),
        }
    }
}
