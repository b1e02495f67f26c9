//! A throw-away PostgreSQL: made in a temporary folder, gone with the value. The one launcher of `pgweir demo`, of
//! the tests and of the benches.
//!
//! Depends on [`Binaries`] and the operating system; every call blocks (a new cluster takes about two seconds).
//! Invariants: it listens on 127.0.0.1 and in its own folder only; two clusters share nothing, so tests make theirs
//! in parallel; one that is dropped leaves neither process nor file.
//!
//! PostgreSQL refuses to run as root: if we are root, its programs run as `postgres`, else as `nobody`.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use super::{
    binaries::{Binaries, NotFound},
    home::{Home, random_hex},
};

/// The ordinary role of each cluster; it owns the database of the same name.
pub const ROLE: &str = "app";
/// The superuser, with the same password and the database of its own name.
pub const SUPERUSER: &str = "postgres";

/// How long a start may take, crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at a starting server.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Starts of a new cluster: another program may take the port between our choice and PostgreSQL's `bind`.
const PORT_TRIES: usize = 5;
/// Below the ports that Linux gives to outgoing connections, so that a stopped server finds its own again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// No durability, little memory. Nothing here changes what a client sees.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = '32MB'
wal_level = minimal
max_wal_senders = 0
";

/// What the cluster shall be. `Recipe::default()` is PostgreSQL as it comes.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    /// The folder of PostgreSQL's programs; `None` searches ([`Binaries::find`]).
    pub programs: Option<PathBuf>,
    /// Connections in all, three of them reserved for superusers; `None`: PostgreSQL's default, 100.
    pub max_connections: Option<u32>,
    /// Lines of `postgresql.conf`; they win over ours.
    pub settings: Vec<String>,
    /// Lines of `pg_hba.conf` ahead of the usual ones (SCRAM for everybody); the first match wins.
    pub hba: Vec<String>,
    /// Files in the data directory, by name, that only the server may read: a certificate, a key.
    pub files: Vec<(String, String)>,
}

/// A PostgreSQL of our own.
pub struct Cluster {
    // Declared first, so dropped first: the server ends before its folder goes.
    server: Option<Server>,
    binaries: Binaries,
    home: Home,
    password: String,
    port: u16,
}

/// How a server is told to stop, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended with 57P01, data is written.
    Fast,
    /// Sessions are cut; the next start recovers as after a crash.
    Immediate,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{program} failed ({status}):\n{text}")]
    Failed { program: &'static str, status: ExitStatus, text: String },
    #[error("PostgreSQL accepts no connection after {} s:\n{log}", START_LIMIT.as_secs())]
    NotReady { log: String },
}

impl Cluster {
    /// Makes a cluster and starts it; returns when it accepts connections.
    pub fn new(recipe: &Recipe) -> Result<Self, Error> {
        let binaries = Binaries::find(recipe.programs.as_deref())?;
        let home = Home::new().map_err(io_error("make a temporary folder"))?;
        let mut cluster = Self { server: None, binaries, home, password: random_hex(), port: 0 };
        cluster.initialise()?;
        cluster.configure(recipe).map_err(io_error("write PostgreSQL's configuration"))?;
        cluster.create_role()?;
        let mut tries = 0;
        loop {
            tries += 1;
            cluster.port = free_port().map_err(io_error("find a free port"))?;
            match cluster.start() {
                Err(Error::Failed { text, .. })
                    if tries < PORT_TRIES && text.contains("Address already in use") => {}
                outcome => return outcome.map(|()| cluster),
            }
        }
    }

    /// Starts a stopped server, on the port that it had. Returns when it accepts connections.
    pub fn start(&mut self) -> Result<(), Error> {
        assert!(self.server.is_none(), "the cluster runs already");
        let log = File::create(self.log_file()).map_err(io_error("write PostgreSQL's log"))?;
        let mut command = self.command("postgres");
        command.arg("-p").arg(self.port.to_string()).arg("-k").arg(self.socket_directory());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut server = Server(command.spawn().map_err(io_error("run postgres"))?);
        let deadline = Instant::now() + START_LIMIT;
        while !accepts_connections(&self.socket()) {
            if let Some(status) = server.0.try_wait().map_err(io_error("watch postgres"))? {
                return Err(Error::Failed { program: "postgres", status, text: self.log() });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { log: self.log() });
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server and waits for its end. Nothing happens if it doesn't run.
    pub fn stop(&mut self, how: Stop) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.stop(how).map(drop).map_err(io_error("stop postgres"))
    }

    /// Where an ordinary client connects: [`ROLE`] and its database.
    pub fn url(&self) -> String {
        self.url_of(ROLE)
    }

    /// Where the superuser connects.
    pub fn superuser_url(&self) -> String {
        self.url_of(SUPERUSER)
    }

    fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}:{}@{}/{user}", self.password, self.address())
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The password of both roles: hexadecimal digits.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The folder with `.s.PGSQL.PORT` in it. Only root and the server's user may enter.
    pub fn socket_directory(&self) -> &Path {
        self.home.path()
    }

    fn socket(&self) -> PathBuf {
        self.home.join(&format!(".s.PGSQL.{}", self.port))
    }

    pub fn data_directory(&self) -> PathBuf {
        self.home.join("data")
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// What the server has written to its log since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    fn initialise(&self) -> Result<(), Error> {
        let password = self.home.write("password", &self.password).map_err(io_error("write the password"))?;
        let mut initdb = self.command("initdb");
        initdb.args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"]);
        initdb.arg("--username").arg(SUPERUSER).arg("--pwfile").arg(password).stdin(Stdio::null());
        succeed("initdb", initdb.output().map_err(io_error("run initdb"))?).map(drop)
    }

    fn configure(&self, recipe: &Recipe) -> io::Result<()> {
        let mut settings =
            File::options().append(true).open(self.data_directory().join("postgresql.conf"))?;
        settings.write_all(SETTINGS.as_bytes())?;
        if let Some(connections) = recipe.max_connections {
            writeln!(settings, "max_connections = {connections}")?;
        }
        for line in &recipe.settings {
            writeln!(settings, "{line}")?;
        }
        for (name, text) in &recipe.files {
            self.home.write(&format!("data/{name}"), text)?;
        }
        // Written in place: the file keeps its owner.
        let path = self.data_directory().join("pg_hba.conf");
        let usual = fs::read_to_string(&path)?;
        fs::write(&path, format!("{}\n{usual}", recipe.hba.join("\n")))
    }

    /// In single-user mode, so that no client is needed here. It takes a statement a line.
    fn create_role(&self) -> Result<(), Error> {
        let mut command = self.command("postgres");
        command.arg("--single").arg("postgres");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().map_err(io_error("run postgres"))?;
        let statements = format!(
            "CREATE ROLE {ROLE} LOGIN PASSWORD '{}'\nCREATE DATABASE {ROLE} OWNER {ROLE}\n",
            self.password
        );
        let mut input = server.stdin.take().expect("stdin is a pipe");
        // If postgres died early, its own message is worth more than our broken pipe.
        let _ = input.write_all(statements.as_bytes());
        drop(input);
        let output = server.wait_with_output().map_err(io_error("watch postgres"))?;
        let status = output.status;
        let text = succeed("postgres --single", output)?;
        // Single-user mode goes on behind an error and ends with 0.
        if text.contains("ERROR:") || text.contains("FATAL:") {
            return Err(Error::Failed { program: "postgres --single", status, text });
        }
        Ok(())
    }

    /// One of PostgreSQL's programs, as the cluster's user, on the cluster's data.
    fn command(&self, program: &str) -> Command {
        let mut command = self.home.command(&self.binaries.program(program));
        command.env("PGDATA", self.data_directory());
        command
    }
}

/// The running postmaster. It stays in our process group: Ctrl-C in a terminal ends it with us, even if we are
/// killed before we can.
struct Server(Child);

impl Server {
    fn stop(&mut self, how: Stop) -> io::Result<ExitStatus> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        kill_process(Pid::from_child(&self.0), signal)?;
        self.0.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.stop(Stop::Immediate);
    }
}

/// A port that nobody uses now, for a listener that is opened soon.
pub fn free_port() -> io::Result<u16> {
    let mut attempt = 0;
    loop {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let port = PORTS.start + u16::from_ne_bytes(bytes) % (PORTS.end - PORTS.start);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) if attempt == 100 => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}

/// Whether a login gets an answer other than 57P03, "starting up". Asked on the socket in our folder, where nobody
/// else can answer; it is opened when the TCP port is bound.
fn accepts_connections(socket: &Path) -> bool {
    let answer = || -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = BytesMut::new();
        frontend::startup_message([("user", SUPERUSER)], &mut request)?;
        stream.write_all(&request)?;
        let mut answer = vec![0; 1];
        stream.read_exact(&mut answer)?;
        if answer == [b'E'] {
            stream.read_to_end(&mut answer)?;
        }
        Ok(answer)
    };
    answer().is_ok_and(|answer| !answer.windows(7).any(|field| field == b"C57P03\0"))
}

/// The program's messages, if it succeeded.
fn succeed(program: &'static str, output: Output) -> Result<String, Error> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(Error::Failed { program, status: output.status, text })
    }
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: what.to_owned(), source }
}
