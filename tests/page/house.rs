//! PostgreSQL, and pgweir in front of it whose end and return a test decides.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use pgweir::demo::{
    cluster::{Cluster, ROLE, Recipe},
    pooler::Pooler,
};
use tokio_postgres::{Client, NoTls};

pub struct House {
    pub cluster: Cluster,
}

impl House {
    pub fn new() -> Self {
        let programs = env::var_os("PGWEIR_TEST_PGBIN").map(PathBuf::from);
        let recipe = Recipe { programs, max_connections: Some(300), ..Recipe::default() };
        Self { cluster: Cluster::new(&recipe).expect("a cluster") }
    }

    /// A pgweir at these addresses, or where there is room.
    pub fn start(&self, addresses: Option<[SocketAddr; 2]>) -> Pooler {
        let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
        let (url, log) = (self.cluster.url(), self.file("pgweir.log"));
        let pooler = match addresses {
            Some(addresses) => Pooler::start_at(addresses, program, &url, &[""; 0], &log),
            None => Pooler::start(program, &url, &[""; 0], &log),
        };
        pooler.expect("a pooler")
    }

    /// A pgweir with a configuration of its own, which says where databases are.
    pub fn start_with(&self, configuration: &str) -> Pooler {
        let file = self.file("pgweir.toml");
        fs::write(&file, configuration).expect("a file");
        let arguments = ["--config".as_ref(), file.as_os_str()];
        let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
        Pooler::start(program, &self.cluster.url(), &arguments, &self.file("pgweir.log")).expect("a pooler")
    }

    /// A client of a database that has got an answer, for as long as the value lives.
    pub async fn client(&self, pooler: &Pooler, database: &str) -> Client {
        let url = format!("postgres://{ROLE}:{}@{}/{database}", self.cluster.password(), pooler.address());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a login");
        tokio::spawn(connection);
        client.batch_execute("select 1").await.expect("an answer");
        client
    }

    /// Clients of an application that ask for 30 ms of a server's time, pause, and ask again, until the test ends.
    pub async fn load(
        &self,
        pooler: &Pooler,
        database: &str,
        application: &str,
        clients: u64,
        pause_ms: u64,
    ) {
        for i in 0..clients {
            let client = self.client(pooler, database).await;
            client.batch_execute(&format!("set application_name = '{application}'")).await.expect("a name");
            tokio::spawn(async move {
                // Not all at the same time.
                let pause = Duration::from_millis(pause_ms + 7 * i);
                while client.batch_execute("select pg_sleep(0.03)").await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.cluster.socket_directory().join(name)
    }
}
