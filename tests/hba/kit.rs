//! A PostgreSQL with rules of ours, a pgweir, and logins that report their outcome.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pgweir::auth::respond::AllowedMethods;
use pgweir::auth::secret::Secret;
use pgweir::demo::cluster::{Cluster, Recipe};
use pgweir::demo::pooler::Pooler;
use pgweir::net::dial::Dialer;
use pgweir::net::tls::outbound::{Mode, Outbound, Settings};
use pgweir::server::connect::{ConnectError, Connector, Established, Target};
use pgweir::server::derive::Deriver;
use pgweir::server::upstream::{Host, Upstream};
use pgweir::wire::error::ErrorFields;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::authority::{Authority, Folder};

/// What came of a login: in, or the SQLSTATE and the text.
pub type Outcome = Result<(), (String, String)>;

/// One try to log in.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    pub host: Host,
    pub tls: Settings,
    pub database: &'a str,
    pub user: &'a str,
    pub password: &'a str,
}

impl Login<'_> {
    pub async fn run(&self) -> Outcome {
        self.established().await.map(drop).map_err(refusal)
    }

    /// Logs in and runs a query.
    pub async fn query(&self) -> Outcome {
        let mut server = self.established().await.map_err(refusal)?;
        server.stream.write_all(b"Q\0\0\0\x0dselect 1\0").await.unwrap();
        loop {
            let tag = server.stream.read_u8().await.unwrap();
            let mut body = vec![0; server.stream.read_u32().await.unwrap() as usize - 4];
            server.stream.read_exact(&mut body).await.unwrap();
            match tag {
                b'E' => {
                    let fields = ErrorFields::read(&body);
                    return Err((fields.code.unwrap().to_string(), fields.message_text().to_string()));
                }
                b'Z' => return Ok(()),
                _ => {}
            }
        }
    }

    async fn established(&self) -> Result<Established, ConnectError> {
        let allowed = AllowedMethods { scram: true, md5: true, cleartext: true, none: true };
        let (hosts, tls) = (vec![self.host.clone()], self.tls.clone());
        let upstream = Upstream { hosts, tls, allowed, ..Upstream::default() };
        let tls = Outbound::new(&upstream.tls, upstream.tcp_hosts()).expect("usable files");
        let password = Secret::new(self.password);
        let target = Target {
            upstream: &upstream,
            database: self.database,
            user: self.user,
            password: Some(&password),
            passfile: None,
            keyring: None,
            profile: &[],
            minor: 0,
            tls: Some(&tls),
        };
        // One for all: it remembers the keys of passwords.
        static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| {
            let deriver = Arc::new(Deriver::new(1));
            Connector { dialer: Dialer::default(), deriver, counters: Arc::default() }
        });
        CONNECTOR.connect(&target, Instant::now() + Duration::from_secs(30)).await
    }
}

fn refusal(error: ConnectError) -> (String, String) {
    match error {
        ConnectError::Refused { sqlstate, message } => (sqlstate.to_string(), message),
        error => ("none".to_owned(), error.to_string()),
    }
}

/// How a login uses TLS.
pub fn tls(mode: Mode, direct: bool) -> Settings {
    Settings { mode: Some(mode), direct, ..Settings::default() }
}

pub fn tcp(address: std::net::SocketAddr) -> Host {
    Host::Tcp { name: address.ip().to_string(), port: address.port() }
}

/// Runs statements as the superuser.
pub async fn run(cluster: &Cluster, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&cluster.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // CREATE DATABASE stands alone.
    for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

/// A number, as the superuser sees it.
pub async fn count(cluster: &Cluster, sql: &str) -> i64 {
    let (client, connection) =
        tokio_postgres::connect(&cluster.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

pub fn recipe() -> Recipe {
    Recipe { programs: std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into), ..Recipe::default() }
}

/// The same, with TLS and a CA for clients' certificates.
pub fn recipe_with_tls(ca: &Authority) -> Recipe {
    let pair = ca.issue(&["localhost"]);
    let files = [("server.crt", pair.certificate), ("server.key", pair.key), ("ca.crt", ca.certificate())];
    Recipe {
        settings: vec!["ssl = on".into(), "ssl_ca_file = 'ca.crt'".into()],
        files: files.map(|(name, text)| (name.to_owned(), text)).into(),
        ..recipe()
    }
}

/// Runs pgweir by a configuration file.
pub fn start(folder: &Folder, text: &str, arguments: &[&str]) -> Pooler {
    let file = folder.write("pgweir.toml", text).display().to_string();
    let arguments = [&["--config", &file], arguments].concat();
    let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
    let log = (0..).map(|number| folder.path(&format!("pgweir-{number}.log"))).find(|path| !path.exists());
    Pooler::start(program, "", &arguments, &log.expect("there are many")).unwrap()
}

/// Waits until the log holds so many lines with `text`.
pub fn told(pooler: &Pooler, text: &str, times: usize) {
    let began = Instant::now();
    while pooler.log().matches(text).count() < times {
        assert!(began.elapsed() < Duration::from_secs(20), "never told: {text}\n{}", pooler.log());
    }
}
