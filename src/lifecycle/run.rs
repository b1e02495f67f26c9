//! Builds the house from a plan, opens the doors, serves until it is asked to stop.

use std::hash::RandomState;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::certificates::{CertificateError, Certificates};
use super::drain::Strings;
use super::signals::Signals;
use super::{files, pulse, rules, vacate};
use crate::auth::keyring::Keyring;
use crate::auth::roster::{BadVerifier, Roster};
use crate::client::admission::Admission;
use crate::client::card::{self, Registry};
use crate::client::entrance::Entrance;
use crate::client::house::{Catalogs, Database, Databases, House};
use crate::client::life;
use crate::client::login::{HeldBack, Rules};
use crate::config::auth::AuthError;
use crate::config::{self, Listen, Plan};
use crate::meter::counters::Counters;
use crate::net::dial::Dialer;
use crate::net::listen::{Address, BindError, Listener};
use crate::net::options::TcpOptions;
use crate::observe::board::Board;
use crate::observe::http::{Http, HttpError, Serving};
use crate::observe::log;
use crate::observe::process::About;
use crate::observe::readiness::Readiness;
use crate::observe::watch::Watch;
use crate::server::connect::Connector;
use crate::server::derive::Deriver;
use crate::server::lookup::{Asker, Desk, Lookup, Lookups, Window};
use crate::server::pools::Pools;

/// Threads that derive keys from passwords.
const DERIVING: usize = 2;

/// Why pgweir did not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("can't start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("can't set signal handlers: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Verifier(#[from] BadVerifier),
    #[error(transparent)]
    Tls(#[from] CertificateError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
}

/// Runs until it is told to stop; exit code 0 then, 1 when it can't start.
pub fn run(mut plan: Plan) -> ExitCode {
    let log = log::start(&log_settings(&plan)).ok();
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    files::fit(&mut plan);
    match serve(plan, log.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(plan: Plan, log: Option<&log::Log>) -> Result<(), StartError> {
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)?;
    runtime.block_on(async {
        let strings = Strings {
            readiness: Arc::new(Readiness::new(plan.http.ready_needs_upstream)),
            ..Strings::default()
        };
        let certificates = Certificates::read(&plan)?;
        let house = Arc::new(build(&plan, &strings, &certificates)?);
        count_panics(&house);
        let mut signals = Signals::listen().map_err(StartError::Signals)?;
        let watch = Arc::new(Watch::new(Instant::now(), plan.advice_window, house.counters.clone()));
        let _http = open_http(&plan, &house, &strings, &watch, log)?;
        let listener = Listener::bind(&addresses(&plan), TcpOptions::default()).await?;
        tokio::spawn({
            let house = house.clone();
            async move { house.rules.derive_ahead().await }
        });
        tokio::spawn(pulse::beat(house.clone(), watch));
        tokio::spawn(vacate::on_demand(house.clone()));
        look_for_changes(&house, plan.catalog_check);
        tokio::spawn(
            certificates
                .watch(house.counters.clone(), signal(SignalKind::hangup()).map_err(StartError::Signals)?),
        );
        let hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
        let (admission, counters) = (house.rules.admission.clone(), house.counters.clone());
        tokio::spawn(rules::watch(
            plan.auth.clone(),
            plan.client_tls.verifies_clients(),
            admission,
            counters,
            hangup,
        ));
        open_doors(&plan, listener, &house, &strings);
        strings.run(&plan.shutdown, |cx| signals.poll_stop(cx)).await;
        Ok(())
    })
}

fn build(plan: &Plan, strings: &Strings, certificates: &Certificates) -> Result<House, StartError> {
    let deriver = Arc::new(Deriver::new(DERIVING));
    let counters = Arc::new(Counters::default());
    let connector = Arc::new(Connector {
        dialer: Dialer::new(TcpOptions::default()),
        deriver: deriver.clone(),
        counters: counters.clone(),
    });
    let keyring = Arc::default();
    let rules = Rules {
        admission: Arc::new(Admission::new(plan.auth.rules(plan.client_tls.verifies_clients())?)),
        roster: Arc::new(Roster::new(&plan.users, instance_secret(plan)?)?),
        lookups: lookups(plan, certificates, &connector, &keyring),
        keyring,
        deriver,
        timeout: plan.deadlines.login,
        tls: certificates.inbound.clone(),
        counters: counters.clone(),
        held_back: HeldBack::new(plan.client_limits.failed_logins_per_source),
    };
    let readiness = strings.readiness.clone();
    Ok(House {
        entrance: Entrance::new(&plan.client_limits),
        rules,
        registry: Registry::default(),
        databases: databases(plan, certificates),
        passwords: plan.users.clone(),
        pools: Pools::new(plan.totals.clone()),
        epochs: Arc::default(),
        vacate: Arc::default(),
        connector,
        limits: plan.client_limits.clone(),
        deadlines: plan.deadlines.clone(),
        counters,
        on_upstream: Arc::new(move |answers| readiness.upstream(answers)),
        clients: AtomicU32::new(0),
        draining: strings.drain.clone(),
        homes: DashMap::new(),
        catalogs: Catalogs::default(),
        hasher: RandomState::new(),
    })
}

/// What made-up salts are made of.
fn instance_secret(plan: &Plan) -> Result<[u8; 32], StartError> {
    let mut secret = [0; 32];
    match &plan.auth.mock_secret {
        Some(given) => secret = Sha256::digest(given.expose()).into(),
        None => getrandom::fill(&mut secret).map_err(StartError::Random)?,
    }
    Ok(secret)
}

/// A panic ends one client and its server, by the drop of its lease; it is counted and told in the log.
fn count_panics(house: &Arc<House>) {
    let counters = house.counters.clone();
    std::panic::set_hook(Box::new(move |panic| {
        counters.panics.inc();
        tracing::error!(%panic, "a bug of pgweir ended one client");
    }));
}

fn databases(plan: &Plan, certificates: &Certificates) -> Databases {
    let database = |database: &config::Database| Database {
        upstream: Arc::new(database.upstream.clone()),
        tls: certificates.outbound(&database.name),
        pool: database.pool.clone(),
    };
    Databases {
        named: plan.databases.named.iter().map(|(name, found)| (name.clone(), database(found))).collect(),
        wildcard: plan.databases.wildcard.as_ref().map(database),
    }
}

/// Databases at one place that ask in the same way share a connection.
fn lookups(
    plan: &Plan,
    certificates: &Certificates,
    connector: &Arc<Connector>,
    keyring: &Arc<Keyring>,
) -> Lookups {
    let mut shared: Vec<Arc<Lookup>> = Vec::new();
    let mut window = |database: &config::Database| {
        let config::Lookup { user, password_command, passwords, dbname, query } = database.lookup.clone()?;
        let asker = Asker { user, database: dbname, password_command, passwords, query };
        let tls = certificates.outbound(&database.name);
        let desk = Desk::beside(&database.upstream, asker, tls, database.pool.connect_timeout);
        let known = shared.iter().find(|known| known.is_at(&desk)).cloned();
        let lookup = known.unwrap_or_else(|| {
            let lookup = Lookup::new(desk, connector.clone(), keyring.clone());
            shared.push(lookup.clone());
            lookup
        });
        Some(Window { lookup, database: database.upstream.database.clone() })
    };
    Lookups {
        named: plan.databases.named.iter().map(|(name, found)| (name.clone(), window(found))).collect(),
        wildcard: plan.databases.wildcard.as_ref().and_then(window),
    }
}

/// From time to time somebody should look for changes of each database's catalogue, and of what sessions begin with.
/// Nobody does where nobody works.
fn look_for_changes(house: &Arc<House>, period: Option<Duration>) {
    let Some(period) = period else { return };
    let house = house.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(period).await;
            house.catalogs.set_due();
            house.homes.iter().for_each(|home| home.known.set_due());
        }
    });
}

fn open_http(
    plan: &Plan,
    house: &Arc<House>,
    strings: &Strings,
    watch: &Arc<Watch>,
    log: Option<&log::Log>,
) -> Result<Option<Serving>, StartError> {
    let Some(address) = &plan.http.listen else { return Ok(None) };
    let (pools, servers, clients) = (house.clone(), house.clone(), house.clone());
    let board = Board {
        about: About {
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
            limits: plan.client_limits.clone(),
        },
        counters: house.counters.clone(),
        readiness: strings.readiness.clone(),
        pools: Box::new(move || pools.pools.all().iter().map(|pool| pool.snapshot()).collect()),
        servers: Box::new(move || {
            let all = servers.pools.all();
            all.iter()
                .map(|pool| (pool.database().to_owned(), pool.user().to_owned(), pool.servers()))
                .collect()
        }),
        watch: watch.clone(),
        pinned: Box::new(move || clients.registry.pinned(Instant::now())),
        dropped_lines: log.map(log::Log::dropped_lines),
    };
    let http = Http::bind(&address.to_string())?;
    tracing::info!(address = %http.address(), "metrics and health");
    Ok(Some(http.serve(Arc::new(board))?))
}

/// Accepts clients until the listeners are to close, and passes a drain on to those that are in.
fn open_doors(plan: &Plan, mut listener: Listener, house: &Arc<House>, strings: &Strings) {
    for address in &plan.listen {
        tracing::info!(%address, "listening");
    }
    let (close, clients, accepting) = (strings.close.clone(), strings.clients.clone(), house.clone());
    strings.listeners.spawn(async move {
        while let Some(stream) = close.run_until_cancelled(listener.accept()).await {
            clients.spawn(life::serve(Box::new(stream), accepting.clone()));
        }
    });
    let (drain, end, house) = (strings.drain.clone(), strings.end.clone(), house.clone());
    tokio::spawn(async move {
        drain.cancelled().await;
        house.registry.signal_all(card::Signals::DRAIN);
        end.cancelled().await;
        house.registry.signal_all(card::Signals::KILL);
    });
    strings.readiness.accepting();
}

fn addresses(plan: &Plan) -> Vec<Address> {
    let address = |listen: &Listen| match listen {
        Listen::Tcp(tcp) => Address::Tcp { host: tcp.host.clone(), port: tcp.port },
        Listen::Unix { directory, port } => Address::Unix { directory: directory.clone(), port: *port },
    };
    plan.listen.iter().map(address).collect()
}

fn log_settings(plan: &Plan) -> log::LogSettings {
    log::LogSettings {
        format: match plan.log.format {
            config::LogFormat::Text => log::Format::Text,
            config::LogFormat::Json => log::Format::Json,
        },
        level: plan.log.level.into(),
        ..log::LogSettings::default()
    }
}
