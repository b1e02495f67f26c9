//! What all clients share: who may come in, where databases are, and the pools behind them.

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::card::Registry;
use super::deadline::Deadlines;
use super::entrance::Entrance;
use super::limits::ClientLimits;
use super::login::Rules;
use crate::auth::users::Users;
use crate::catalog::Epochs;
use crate::meter::counters::Counters;
use crate::net::tls::outbound::Outbound;
use crate::pool::settings::{Mode, PoolSettings, SessionState};
use crate::server::catalog::Catalog;
use crate::server::connect::Connector;
use crate::server::credentials::Credentials;
use crate::server::known::Known;
use crate::server::lend::{Blueprint, Pool};
use crate::server::listener::Listener;
use crate::server::open::Source;
use crate::server::pools::Pools;
use crate::server::upstream::{Host, Upstream};
use crate::session::exchange::{Limits, Shared};
use crate::session::pins::Reason;
use crate::session::sequences::Sequences;
use crate::session::settings::Interner;
use crate::session::statements::shared::Registry as Statements;
use crate::wire::fault::Fault;
use crate::wire::sqlstate::SqlState;

/// Where one database is, and what its pools may do.
#[derive(Clone, Debug)]
pub struct Database {
    pub upstream: Arc<Upstream>,
    pub tls: Option<Arc<Outbound>>,
    pub pool: PoolSettings,
}

/// The databases by the name that clients ask for.
#[derive(Debug, Default)]
pub struct Databases {
    pub named: HashMap<String, Database>,
    /// For every other name.
    pub wildcard: Option<Database>,
}

impl Databases {
    fn find(&self, name: &str) -> Option<&Database> {
        self.named.get(name).or(self.wildcard.as_ref())
    }
}

pub struct House {
    pub entrance: Entrance,
    pub rules: Rules,
    pub registry: Registry,
    pub databases: Databases,
    /// Passwords with which servers are logged in to, by user. Who has none here logs in by what they have proved.
    pub passwords: Users,
    pub pools: Pools,
    pub epochs: Arc<Epochs>,
    /// Rings when somebody may want a database that nobody else uses.
    pub vacate: Arc<Notify>,
    pub connector: Arc<Connector>,
    pub limits: ClientLimits,
    pub deadlines: Deadlines,
    pub counters: Arc<Counters>,
    /// Told after each attempt to open a server whether it worked.
    pub on_upstream: Arc<dyn Fn(bool) + Send + Sync>,
    pub clients: AtomicU32,
    /// Cancelled when clients that are at rest are to go.
    pub draining: CancellationToken,
    pub homes: DashMap<(String, String), Arc<Home>>,
    pub catalogs: Catalogs,
    pub hasher: RandomState,
}

/// What is known of the catalogue of each database, by where it is (clients may know it by several names) and by what is
/// to be known of it.
#[derive(Debug, Default)]
pub struct Catalogs(DashMap<(Vec<Host>, String, bool), Arc<Catalog>>);

impl Catalogs {
    fn of(&self, upstream: &Upstream, asked: &str, exact_names: bool) -> Arc<Catalog> {
        let database = upstream.database.as_deref().unwrap_or(asked);
        let place = (upstream.hosts.clone(), database.to_owned(), exact_names);
        let new = || Arc::new(Catalog::new(exact_names));
        self.0.entry(place).or_insert_with(new).clone()
    }

    /// Other ways than ours lead to a database, too: the next client that works there looks for changes.
    pub fn set_due(&self) {
        self.0.iter().for_each(|catalog| catalog.lexicon.set_due());
    }
}

/// What the clients of one database and user share.
pub struct Home {
    pub pool: Arc<Pool>,
    pub shared: Arc<Shared>,
    pub known: Arc<Known>,
    /// Listens for those of its clients that rest.
    pub listener: Listener,
    pub catalog: Arc<Catalog>,
    pub mode: Mode,
    pub vacate: Arc<Notify>,
    pub pins_told: PinsTold,
    pub deadlines: Deadlines,
    pub counters: Arc<Counters>,
}

/// Which pins the log has told of.
#[derive(Debug, Default)]
pub struct PinsTold(Mutex<HashSet<(Reason, Box<str>)>>);

/// Applications name themselves, so there may be any number of them.
const MOST_TOLD: usize = 256;

impl PinsTold {
    pub(super) fn is_news(&self, reason: Reason, application: &str) -> bool {
        let mut told = self.0.lock();
        told.len() < MOST_TOLD && told.insert((reason, application.into()))
    }
}

impl Home {
    /// pgweir told a client this.
    pub fn fault(&self, fault: &Fault) {
        self.counters.fault(fault);
        self.pool.note_error(fault.sqlstate());
    }

    /// PostgreSQL's own error went through to a client.
    pub(super) fn server_error(&self, code: SqlState) {
        self.counters.server_error(code);
        self.pool.note_server_error(code);
    }

    /// As pools are named in messages: database and user.
    pub fn name(&self) -> String {
        format!("{}/{}", self.pool.database(), self.pool.user())
    }
}

/// A client's place among [`ClientLimits::max_clients`].
pub(super) struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl House {
    /// `None` when the house is full.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let before = self.clients.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.clients);
        (before < self.limits.max_clients).then_some(place)
    }

    /// Where a user's clients of a database belong; `None` for a database that isn't configured.
    pub(super) fn home(&self, database: &str, user: &str) -> Option<Arc<Home>> {
        let key = (database.to_owned(), user.to_owned());
        if let Some(home) = self.homes.get(&key) {
            return Some(home.clone());
        }
        let found = self.databases.find(database)?;
        Some(self.homes.entry(key).or_insert_with(|| self.build(found, database, user)).clone())
    }

    fn build(&self, found: &Database, database: &str, user: &str) -> Arc<Home> {
        let settings = found.pool.clone();
        let exact_names = settings.session_state == SessionState::Strict;
        let catalog = self.catalogs.of(&found.upstream, database, exact_names);
        let shared = Arc::new(Shared {
            statements: Statements::new(self.limits.shared_statements),
            settings: Interner::default(),
            sequences: Sequences::new(settings.sequences),
            epochs: self.epochs.clone(),
            lexicon: catalog.lexicon.clone(),
            limits: Limits {
                statement_size: self.limits.statement_size as usize,
                client_statements: self.limits.client_statements,
                track_state: settings.session_state != SessionState::Off,
                exact_names,
            },
        });
        let known = Arc::new(Known::default());
        let source = Arc::new(self.source(found, database, user, &shared, &known));
        let (mode, on_upstream) = (settings.mode, self.on_upstream.clone());
        let pool = self.pools.get_or_start(database, user, || Blueprint {
            settings,
            upstream: found.upstream.clone(),
            epochs: self.epochs.clone(),
            opener: Box::new(move |profile| {
                let (source, on_upstream) = (source.clone(), on_upstream.clone());
                Box::pin(async move {
                    let opened = source.open(&profile).await;
                    on_upstream(opened.is_ok());
                    opened
                })
            }),
        });
        let (vacate, deadlines, counters) =
            (self.vacate.clone(), self.deadlines.clone(), self.counters.clone());
        let limit = self.limits.client_notifications as usize;
        let listener = Listener::new(pool.clone(), shared.settings.plain().clone(), limit, counters.clone());
        let pins_told = PinsTold::default();
        Arc::new(Home {
            pool,
            shared,
            known,
            listener,
            catalog,
            mode,
            vacate,
            pins_told,
            deadlines,
            counters,
        })
    }

    fn source(
        &self,
        found: &Database,
        database: &str,
        user: &str,
        shared: &Arc<Shared>,
        known: &Arc<Known>,
    ) -> Source {
        let upstream = found.upstream.clone();
        let login_user = upstream.user.as_deref().unwrap_or(user);
        Source {
            connector: self.connector.clone(),
            database: database.to_owned(),
            user: user.to_owned(),
            credentials: Credentials::new(
                &upstream,
                database,
                login_user,
                self.passwords.passwords(login_user),
            ),
            keyring: upstream.user.is_none().then(|| self.rules.keyring.clone()),
            connect_timeout: found.pool.connect_timeout,
            statements: found.pool.server_statements,
            shared: shared.clone(),
            known: known.clone(),
            hasher: self.hasher.clone(),
            tls: found.tls.clone(),
            upstream,
        }
    }
}
