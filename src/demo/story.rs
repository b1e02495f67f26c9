//! The demo in three acts: many clients straight to PostgreSQL, the same clients through pgweir, the sums.
//!
//! Depends on the rest of the room. Invariant: whichever way the story ends, its processes and files go with the
//! values that own them.

use std::{
    env, io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Options,
    cluster::{self, Cluster, ROLE, Recipe, SUPERUSER},
    load::{self, Crowd, Live, Report},
    pooler::{self, Pooler},
    screen::Screen,
    session::{Failure, Login, Session},
};

/// The cluster accepts this many connections, or what the pool and PostgreSQL's reserved ones need.
const MAX_CONNECTIONS: u32 = 30;
const RESERVED_CONNECTIONS: u32 = 10;
/// How often the numbers on the screen change.
const LOOK: Duration = Duration::from_millis(250);
/// pgweir's clients are gone when it is stopped, so it has nothing to wait for.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Backends that serve the clients; the observer's own is the superuser's.
const COUNT_SERVERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";

#[derive(Debug, Error)]
pub(super) enum Error {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Pooler(#[from] pooler::Error),
    #[error("the demo's own connection to PostgreSQL failed: {0}")]
    Observer(#[from] Failure),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Panicked(#[from] JoinError),
}

/// Looks at PostgreSQL over a connection of its own while others work.
struct Observer {
    session: Session,
    most_servers: u64,
}

/// Tells the story; says whether pooling did what it promises.
pub(super) async fn tell(options: &Options, screen: &mut Screen) -> Result<bool, Error> {
    let max_connections = MAX_CONNECTIONS.max(options.servers + RESERVED_CONNECTIONS);
    screen.heading(format_args!("1. A throw-away PostgreSQL with max_connections = {max_connections}"));
    let recipe = Recipe {
        programs: options.programs.clone(),
        max_connections: Some(max_connections),
        ..Recipe::default()
    };
    let cluster = spawn_blocking(move || Cluster::new(&recipe)).await??;
    let login =
        |user, address| Login { address, user, database: ROLE, password: cluster.password().to_owned() };
    let direct = login(ROLE, cluster.address());
    Session::open(&direct).await?.query(&load::schema()).await?;
    let mut observer = Observer::new(&login(SUPERUSER, cluster.address())).await?;
    let version = observer.session.query("SHOW server_version").await?.unwrap_or_default();
    screen.line(format_args!("PostgreSQL {version} listens on {}", cluster.address()));

    screen.heading(format_args!("2. {} clients straight to it", options.clients));
    alone(options, screen, &direct).await;
    observer.wait_until_no_server_is_left().await?;

    screen.heading(format_args!(
        "3. {} clients through pgweir, over {} servers, for {} s",
        options.clients, options.servers, options.seconds
    ));
    let pooler = start_pooler(options, &cluster).await?;
    let pooled = login(ROLE, pooler.address());
    screen.line(format_args!("pgweir listens on {}", pooler.address()));
    let (report, connected) = together(options, screen, &pooled, &mut observer).await?;
    let good = sums(options, screen, &report, connected, &mut observer).await?;
    if !good {
        screen.heading("What pgweir logged");
        screen.line(pooler.log().trim_end().replace('\n', "\n  "));
    }

    if options.keep {
        keep(screen, &cluster, &pooler).await;
    }
    spawn_blocking(move || pooler.stop(STOP_LIMIT)).await??;
    Ok(good)
}

/// Act two: without a pooler most clients don't get in.
async fn alone(options: &Options, screen: &mut Screen, login: &Login) {
    let Crowd { sessions, refused, refusal } =
        load::connect(login, options.clients as usize, &Arc::default()).await;
    screen.line(format_args!("{} got in, {refused} were refused", sessions.len()));
    if let Some(refusal) = refusal {
        screen.line(format_args!("\"{refusal}\""));
    }
}

/// Act three: logs all clients in through pgweir, then lets them work.
async fn together(
    options: &Options,
    screen: &mut Screen,
    login: &Login,
    observer: &mut Observer,
) -> Result<(Report, usize), Error> {
    let live = Arc::new(Live::default());
    let crowd =
        observer.watch(screen, "login", &live, load::connect(login, options.clients as usize, &live)).await?;
    let connected = crowd.sessions.len();
    if let Some(refusal) = crowd.refusal {
        screen.verdict(false, format_args!("{} were refused: {refusal}", crowd.refused));
    }
    let duration = Duration::from_secs(options.seconds.into());
    let report = observer.watch(screen, "work", &live, load::work(crowd.sessions, duration, &live)).await?;
    Ok((report, connected))
}

/// The closing table, and whether it adds up.
async fn sums(
    options: &Options,
    screen: &mut Screen,
    report: &Report,
    connected: usize,
    observer: &mut Observer,
) -> Result<bool, Error> {
    let payments = observer.count(load::COUNT_PAYMENTS).await?;
    screen.table(&[
        ("clients connected", connected.to_string()),
        ("server connections, at most", observer.most_servers.to_string()),
        ("transactions", report.transactions().to_string()),
        ("transactions per second", format!("{:.0}", report.per_second())),
        ("latency p50, ms", format!("{:.1}", report.percentile_ms(50))),
        ("latency p99, ms", format!("{:.1}", report.percentile_ms(99))),
        ("errors", report.errors.to_string()),
    ]);
    if let Some(error) = &report.error {
        screen.verdict(false, error);
    }
    let all_in = connected == options.clients as usize;
    let within = observer.most_servers <= options.servers.into();
    let exact = payments == report.transactions() as u64;
    screen.verdict(all_in, "every client got in");
    let servers = options.servers;
    screen.verdict(within, format_args!("{servers} connections to PostgreSQL were enough, at every look"));
    screen
        .verdict(exact, format_args!("{payments} payments in the table, {} commits", report.transactions()));
    Ok(all_in && within && exact && report.errors == 0)
}

/// Waits for ever: the signal that ends the demo drops the whole story.
async fn keep(screen: &mut Screen, cluster: &Cluster, pooler: &Pooler) {
    screen.heading("Still running, until Ctrl-C");
    screen.line(format_args!(
        "DATABASE_URL=postgres://{ROLE}:{}@{}/{ROLE}",
        cluster.password(),
        pooler.address()
    ));
    screen.line(format_args!("metrics      http://{}/metrics", pooler.http()));
    screen.line(format_args!("PostgreSQL   {}", cluster.url()));
    std::future::pending().await
}

async fn start_pooler(options: &Options, cluster: &Cluster) -> Result<Pooler, Error> {
    let program = env::current_exe()?;
    let upstream = cluster.url();
    let log = cluster.socket_directory().join("pgweir.log");
    let arguments = ["--pool-size".to_owned(), options.servers.to_string()];
    Ok(spawn_blocking(move || Pooler::start(&program, &upstream, &arguments, &log)).await??)
}

impl Observer {
    async fn new(login: &Login) -> Result<Self, Error> {
        Ok(Self { session: Session::open(login).await?, most_servers: 0 })
    }

    /// Runs `work` to its end, counts servers and shows numbers meanwhile.
    async fn watch<T>(
        &mut self,
        screen: &mut Screen,
        phase: &str,
        live: &Live,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = look.tick() => {
                    let servers = self.count(COUNT_SERVERS).await?;
                    self.most_servers = self.most_servers.max(servers);
                    screen.live(format_args!(
                        "{phase:5} {:4.1} s  {} clients, {servers} servers, {} transactions, {} errors",
                        start.elapsed().as_secs_f32(),
                        live.connected.load(Relaxed),
                        live.transactions.load(Relaxed),
                        live.errors.load(Relaxed),
                    ));
                }
            }
        };
        screen.settle();
        Ok(outcome)
    }

    /// A backend outlives its client by a moment; those of act two must not count in act three.
    async fn wait_until_no_server_is_left(&mut self) -> Result<(), Error> {
        let mut look = interval(Duration::from_millis(10));
        while self.count(COUNT_SERVERS).await? > 0 {
            look.tick().await;
        }
        Ok(())
    }

    async fn count(&mut self, sql: &str) -> Result<u64, Error> {
        let value = self.session.query(sql).await?;
        value.and_then(|text| text.parse().ok()).ok_or(Error::Observer(Failure::Unexpected("no number")))
    }
}
