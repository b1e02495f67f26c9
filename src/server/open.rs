//! Opens a server for a pool: connects, logs in, and learns what a session of its profile starts with.

use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::ask::Row;
use super::connect::{ConnectError, Connector, Established, Target};
use super::connection::Connection;
use super::encrypt::EncryptError;
use super::upstream::Upstream;
use crate::auth::secret::Secret;
use crate::catalog::queries::{BASELINE, DEFAULTS};
use crate::catalog::{Baseline, DefaultsWatch};
use crate::net::tls::outbound::Outbound;
use crate::pool::health::{OpenError, OpenErrorKind};
use crate::pool::key::{Profile, ProfileId};
use crate::session::exchange::Shared;
use crate::session::params::Params;
use crate::session::server::Ledger;
use crate::wire::sqlstate::SqlState;

/// Where the servers of one pool come from.
pub struct Source {
    pub connector: Arc<Connector>,
    pub upstream: Arc<Upstream>,
    /// `None`: plain text only.
    pub tls: Option<Arc<Outbound>>,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    pub connect_timeout: Duration,
    /// Prepared statements kept on one server.
    pub statements: u32,
    pub shared: Arc<Shared>,
    pub known: Arc<Known>,
    pub hasher: RandomState,
}

/// What servers of each profile start with, as the last one told.
#[derive(Debug, Default)]
pub struct Known {
    profiles: Mutex<Vec<(ProfileId, Beginning)>>,
    defaults: Mutex<DefaultsWatch>,
}

/// What a session begins with.
#[derive(Clone, Debug, Default)]
struct Beginning {
    params: Params,
    baseline: Arc<Baseline>,
    /// Of what roles and databases set, when `baseline` was read.
    defaults: Option<Box<str>>,
}

/// Profiles whose parameters are kept; the oldest is forgotten, and learned again when a server opens.
const KEPT: usize = 256;

impl Known {
    /// The parameters that a server of this profile reports.
    pub fn params(&self, profile: ProfileId) -> Option<Params> {
        self.beginning(profile).map(|known| known.params)
    }

    fn beginning(&self, profile: ProfileId) -> Option<Beginning> {
        let profiles = self.profiles.lock();
        profiles.iter().find(|(known, _)| *known == profile).map(|(_, known)| known.clone())
    }

    fn learn(&self, profile: ProfileId, beginning: Beginning) {
        let mut profiles = self.profiles.lock();
        profiles.retain(|(known, _)| *known != profile);
        if profiles.len() == KEPT {
            profiles.remove(0);
        }
        profiles.push((profile, beginning));
    }
}

impl Source {
    /// Opens one server.
    ///
    /// # Errors
    /// As the pool's health wants to know it; no backend exists then.
    pub async fn open(&self, profile: &Profile) -> Result<Box<Connection>, OpenError> {
        let parameters: Vec<(String, String)> =
            profile.parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let target = Target {
            upstream: &self.upstream,
            database: &self.database,
            user: &self.user,
            password: self.password.as_ref(),
            profile: &parameters,
            minor: 0,
            tls: self.tls.as_deref(),
        };
        let deadline = Instant::now() + self.connect_timeout;
        let established =
            self.connector.connect(&target, deadline).await.map_err(|error| open_error(&error))?;
        let mut connection = Box::new(self.connection(established));
        let mut beginning = match self.shared.limits.track_state {
            true => self.beginning(&mut connection, profile.id).await?,
            false => Beginning::default(),
        };
        connection.baseline = beginning.baseline.clone();
        beginning.params = connection.ledger.params.clone();
        self.known.learn(profile.id, beginning);
        Ok(connection)
    }

    fn connection(&self, established: Established) -> Connection {
        let mut params = Params::default();
        for (name, value) in &established.parameters {
            params.set(name, value, &self.hasher);
        }
        let plain = self.shared.settings.plain().clone();
        let login_user = params.get("session_authorization").unwrap_or(&self.user).into();
        Connection {
            stream: established.stream,
            ledger: Ledger::new(params, self.hasher.clone(), self.statements, plain),
            key: established.key,
            route: established.route,
            connector: self.connector.clone(),
            notifications: Vec::new(),
            baseline: Arc::default(),
            login_user,
        }
    }

    /// What this session begins with, for its clients: what the profile's other ones began with.
    async fn beginning(
        &self,
        connection: &mut Connection,
        profile: ProfileId,
    ) -> Result<Beginning, OpenError> {
        let defaults = self.defaults(connection).await?;
        let known = self.known.beginning(profile);
        if let Some(same) = known.clone().filter(|known| known.defaults == defaults) {
            return Ok(same);
        }
        let rows = ask(connection, BASELINE).await?;
        let values = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), value] => Some((&**name, value.as_deref())),
            _ => None,
        });
        let baseline = Baseline::from_rows(values);
        match known {
            None => Ok(Beginning { params: Params::default(), baseline: Arc::new(baseline), defaults }),
            // Its clients logged in before the defaults were changed.
            Some(known) => {
                if let Some(sql) = known.baseline.to_restore_from(&baseline) {
                    ask(connection, &sql).await?;
                }
                Ok(known)
            }
        }
    }

    /// The fingerprint of what roles and databases set; notices a change that no client of ours was seen to make.
    async fn defaults(&self, connection: &mut Connection) -> Result<Option<Box<str>>, OpenError> {
        let mut rows = ask(connection, DEFAULTS).await?;
        let fingerprint = rows.pop().and_then(|mut row| row.pop()?);
        if self.known.defaults.lock().differs(fingerprint.as_deref()) {
            self.shared.epochs.defaults_changed();
        }
        Ok(fingerprint)
    }
}

async fn ask(connection: &mut Connection, sql: &str) -> Result<Vec<Row>, OpenError> {
    connection.ask(sql).await.map_err(|error| OpenError {
        kind: OpenErrorKind::Unreachable,
        text: format!("reading the settings: {error}"),
    })
}

fn open_error(error: &ConnectError) -> OpenError {
    let kind = match error {
        ConnectError::Refused { sqlstate: SqlState::TOO_MANY_CONNECTIONS, .. } => OpenErrorKind::TooMany,
        ConnectError::Refused {
            sqlstate: SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN, ..
        }
        | ConnectError::Unreachable(_)
        | ConnectError::Timeout
        | ConnectError::Unfit
        | ConnectError::Protocol(_) => OpenErrorKind::Unreachable,
        ConnectError::Refused { sqlstate, .. } => OpenErrorKind::Rejected(*sqlstate),
        ConnectError::Tls(EncryptError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenErrorKind::Unreachable
        }
        ConnectError::Auth(_) | ConnectError::NoTls | ConnectError::Tls(_) => {
            OpenErrorKind::Rejected(SqlState::INVALID_AUTHORIZATION)
        }
    };
    let text = match error {
        // Clients hear PostgreSQL's own words.
        ConnectError::Refused { message, .. } => message.clone(),
        // The fault says whose words they are.
        other if kind == OpenErrorKind::Unreachable => other.to_string(),
        other => format!("pgweir: {other}"),
    };
    OpenError { kind, text }
}
