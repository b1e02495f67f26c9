//! The effective configuration: what all sources together mean, with nothing left to interpret.

use std::collections::HashMap;
use std::time::Duration;

use crate::auth::users::Users;
use crate::client::deadline::Deadlines;
use crate::client::limits::ClientLimits;
use crate::config::shutdown::Shutdown;
use crate::net::tls::inbound;
use crate::pool::settings::{PoolSettings, Totals};
use crate::server::upstream::Upstream;

use super::address::{DEFAULT_PORT, Listen, TcpAddress};
use super::auth::Auth;
use super::lookup::{Lookup, LookupKeys};
use super::tls::ServerTls;

/// Everything that a running pgweir was told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Never empty.
    pub listen: Vec<Listen>,
    pub http: Http,
    pub databases: Databases,
    /// What a database's pools have where it says nothing else (already merged into each [`Database`]).
    pub pool: PoolSettings,
    pub totals: Totals,
    pub client_limits: ClientLimits,
    pub deadlines: Deadlines,
    /// How often what is known of a database's routines is doubted; `None`: never.
    pub catalog_check: Option<Duration>,
    /// How far back verdicts on pools look.
    pub advice_window: Duration,
    /// Configured users, and those whom an upstream URL names together with a password. The server side finds the
    /// password of a user whom it logs in as here too, when the [`Upstream`] holds none.
    pub users: Users,
    pub auth: Auth,
    /// How other users are looked up where a database says nothing else (already merged into each [`Database`]).
    pub lookup: LookupKeys,
    pub client_tls: inbound::Settings,
    /// What databases have where they say nothing else (already merged into each [`Upstream`]).
    pub server_tls: ServerTls,
    pub shutdown: Shutdown,
    pub log: Log,
    /// What deserves a line in the log at start, but doesn't prevent it.
    pub warnings: Vec<String>,
}

/// The HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `None`: no endpoint.
    pub listen: Option<TcpAddress>,
    /// `/readyz` also asks whether the upstreams answer.
    pub ready_needs_upstream: bool,
}

/// One entry of `[databases]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// As clients ask for it; `*` for the wildcard.
    pub name: String,
    pub upstream: Upstream,
    pub pool: PoolSettings,
    /// Servers over all pools of this database; `None`: [`Totals::per_database`] counts.
    pub max_servers: Option<u32>,
    /// How users that aren't configured are looked up; `None`: they aren't.
    pub lookup: Option<Lookup>,
    /// Where the upstream can be tried before any client has asked: the database that it names, if it names one.
    pub probe: Option<String>,
}

/// The databases by name, and one for all other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Databases {
    pub named: HashMap<String, Database>,
    pub wildcard: Option<Database>,
}

impl Databases {
    /// The exact name first, then the wildcard.
    pub fn find(&self, name: &str) -> Option<&Database> {
        self.named.get(name).or(self.wildcard.as_ref())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Database> {
        self.named.values().chain(&self.wildcard)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: tracing::Level,
}

impl Default for Plan {
    fn default() -> Self {
        let local = |port| TcpAddress { host: "127.0.0.1".to_owned(), port };
        Self {
            listen: vec![Listen::Tcp(local(DEFAULT_PORT))],
            http: Http { listen: Some(local(9632)), ready_needs_upstream: false },
            databases: Databases::default(),
            pool: PoolSettings::default(),
            totals: Totals::default(),
            client_limits: ClientLimits::default(),
            deadlines: Deadlines::default(),
            catalog_check: Some(Duration::from_secs(30)),
            advice_window: Duration::from_secs(60),
            users: Users::default(),
            auth: Auth::default(),
            lookup: LookupKeys::default(),
            client_tls: inbound::Settings::default(),
            server_tls: ServerTls::default(),
            shutdown: Shutdown::default(),
            log: Log { format: LogFormat::Text, level: tracing::Level::INFO },
            warnings: Vec::new(),
        }
    }
}
