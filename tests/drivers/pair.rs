//! PostgreSQL with pgweir in front of it, and programs that are run against both. Shared by the tests of drivers and
//! of applications.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{
    env,
    io::{Read, Seek},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pgweir::demo::{
    cluster::{Cluster, ROLE, Recipe},
    pooler::Pooler,
};

/// A program that takes longer hangs; the slowest needs a few seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// PostgreSQL, and pgweir in front of it.
pub struct Pair {
    // Dropped in this order.
    pooler: Pooler,
    pub cluster: Cluster,
}

impl Pair {
    pub fn new(servers: u32) -> Self {
        let programs = env::var_os("PGWEIR_TEST_PGBIN").map(PathBuf::from);
        let cluster = Cluster::new(&Recipe { programs, ..Recipe::default() }).expect("a cluster");
        let log = cluster.socket_directory().join("pgweir.log");
        let arguments = ["--pool-size".to_owned(), servers.to_string()];
        let pooler = Pooler::start(Path::new(env!("CARGO_BIN_EXE_pgweir")), &cluster.url(), &arguments, &log);
        Self { pooler: pooler.expect("a pooler"), cluster }
    }

    /// Runs `program` directly and then through pgweir.
    pub fn prove(&self, mut program: impl FnMut(&str) -> Command) {
        run("on a direct connection", program(&self.cluster.url()));
        run("through pgweir", program(&self.pooled_url()));
    }

    /// Where pgweir's HTTP endpoint is.
    pub fn http(&self) -> SocketAddr {
        self.pooler.http()
    }

    pub fn pooled_url(&self) -> String {
        self.pooled_url_of(ROLE)
    }

    /// Where the ordinary role reaches another database through pgweir.
    pub fn pooled_url_of(&self, database: &str) -> String {
        format!("postgres://{ROLE}:{}@{}/{database}", self.cluster.password(), self.pooler.address())
    }

    /// Where it reaches that database directly.
    pub fn direct_url_of(&self, database: &str) -> String {
        format!("postgres://{ROLE}:{}@{}/{database}", self.cluster.password(), self.cluster.address())
    }
}

/// Runs a program to its end, which has to be a good one; gives what it printed.
pub fn run(how: &str, mut command: Command) -> String {
    let mut printed = tempfile::tempfile().expect("a temporary file");
    let stream = || printed.try_clone().expect("a second handle");
    command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().expect("it still runs");
                break child.wait().expect("it can be waited for");
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    printed.rewind().and_then(|()| printed.read_to_string(&mut text)).expect("what it printed");
    assert!(status.success(), "{how}: {status}\n{text}");
    text
}

/// A file that `scripts/test.sh` installs, below `target/`.
pub fn installed(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(file.exists(), "{} is missing: scripts/test.sh installs it and runs this test", file.display());
    file
}

/// A file below `tests/`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The program on pgjdbc, which needs no compiler's output: `java` reads its source.
pub fn pgjdbc() -> Command {
    let mut command = Command::new("java");
    // It lives for seconds: what makes it faster later only costs time.
    command
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(installed("drivers/pgjdbc/usr/share/java/postgresql.jar"))
        .arg(program("drivers/pgjdbc_client.java"));
    command
}
