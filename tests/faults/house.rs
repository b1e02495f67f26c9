//! PostgreSQL with pgweir in front of it, and what the cases look at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::{Client, Due, Place};
use pgweir_testkit::message::Message;
use pgweir_testkit::play::query;

use super::network_proxy::Network;

/// What isn't true by then never will be.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct House {
    // Dropped in this order.
    pub pooler: Pooler,
    pub cluster: Cluster,
}

impl House {
    /// With one server, and whatever else `settings` (TOML) says.
    pub fn new(settings: &str) -> Self {
        Self::with(Recipe::default(), settings)
    }

    pub fn with(recipe: Recipe, settings: &str) -> Self {
        let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
        let cluster = Cluster::new(&Recipe { programs, ..recipe }).expect("a cluster");
        let pooler = start(&cluster, settings);
        Self { pooler, cluster }
    }

    pub fn place(&self) -> Place {
        self.place_at(self.pooler.address())
    }

    pub fn place_at(&self, address: SocketAddr) -> Place {
        let password = self.cluster.password().to_owned();
        Place { address, user: ROLE.into(), password, database: ROLE.into() }
    }

    /// With a network between pgweir and PostgreSQL that does as it is told.
    pub fn behind(settings: &str) -> (Self, Network) {
        let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
        let cluster = Cluster::new(&Recipe { programs, ..Recipe::default() }).expect("a cluster");
        let network = Network::to(cluster.address());
        let url = format!("postgres://{ROLE}:{}@{}/{ROLE}", cluster.password(), network.address());
        let pooler = start_at(&cluster, &url, settings);
        (Self { pooler, cluster }, network)
    }

    /// A client of pgweir.
    pub fn client(&self) -> Client {
        Client::connect(&self.place(), &[]).expect("a login")
    }

    /// A superuser on a direct connection.
    pub fn director(&self) -> Client {
        let place = Place { user: SUPERUSER.into(), ..self.place_at(self.cluster.address()) };
        Client::connect(&place, &[]).expect("a direct login")
    }

    /// A raw connection to pgweir that has said nothing.
    pub fn stranger(&self) -> TcpStream {
        let stream = TcpStream::connect(self.pooler.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// One figure of `/metrics`; the sum over its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.http("/metrics");
        let samples = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        samples
            .map(|line| {
                line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0) as u64
            })
            .sum()
    }

    /// Servers in one state.
    pub fn servers(&self, state: &str) -> u64 {
        let page = self.http("/metrics");
        let wanted = format!("state=\"{state}\"");
        let samples =
            page.lines().filter(|line| line.starts_with("pgweir_pool_servers{") && line.contains(&wanted));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    pub fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.pooler.http()).expect("the HTTP endpoint");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let request = format!("GET {path} HTTP/1.1\r\nHost: pgweir\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Nothing was mixed up, and nothing is left over.
    pub fn all_is_well(&self) {
        assert_eq!(self.metric("pgweir_protocol_desync_total"), 0);
        assert_eq!(self.metric("pgweir_panics_total"), 0);
        eventually("no server is lent", || self.servers("active") == 0 && self.servers("pinned") == 0);
        assert_eq!(row(&mut self.client(), "select 'well'"), "DataRow [\"well\"]");
    }
}

pub fn start(cluster: &Cluster, settings: &str) -> Pooler {
    start_at(cluster, &cluster.url(), settings)
}

/// With an upstream that is not the cluster itself.
pub fn start_at(cluster: &Cluster, url: &str, settings: &str) -> Pooler {
    let file = cluster.socket_directory().join("pgweir.toml");
    std::fs::write(&file, settings).expect("a configuration");
    let log = cluster.socket_directory().join("pgweir.log");
    let arguments = ["--config".into(), file.into_os_string()];
    Pooler::start(Path::new(env!("CARGO_BIN_EXE_pgweir")), url, &arguments, &log).expect("a pooler")
}

/// Waits until something is true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// What a query is answered with.
pub fn ask(client: &mut Client, sql: &str) -> Vec<String> {
    query(client, sql).expect("an answer").iter().map(Message::line).collect()
}

/// The first row of an answer.
pub fn row(client: &mut Client, sql: &str) -> String {
    let answer = ask(client, sql);
    let row = answer.iter().find(|line| line.starts_with("DataRow"));
    row.unwrap_or_else(|| panic!("{sql}: {answer:?}")).clone()
}

/// The SQLSTATE of the error that an answer holds.
pub fn sqlstate(messages: &[Message]) -> Option<String> {
    messages.iter().find(|message| message.tag == b'E').and_then(Message::sqlstate)
}

/// Sends a query and doesn't wait.
pub fn begin(client: &mut Client, sql: &str) {
    client.request(&simple(sql), Some(Due::Query)).expect("a request");
}

pub fn simple(sql: &str) -> Vec<u8> {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
    message.extend_from_slice(sql.as_bytes());
    message.push(0);
    message
}

/// Whether the director sees a backend running `sql`.
pub fn runs(director: &mut Client, sql: &str) -> bool {
    let seen = format!(
        "select count(*) > 0 from pg_stat_activity where query = '{sql}' and state = 'active' and pid <> pg_backend_pid()"
    );
    row(director, &seen) == "DataRow [\"t\"]"
}

/// Everything that comes until the other side closes.
pub fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut all);
    all
}
