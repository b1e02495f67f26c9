//! Opens a server for a pool: connects, logs in, and learns what a session of its profile starts with.

use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connect::{ConnectError, Connector, Established, Target};
use super::connection::Connection;
use super::encrypt::EncryptError;
use super::upstream::Upstream;
use crate::auth::secret::Secret;
use crate::catalog::Baseline;
use crate::catalog::queries::BASELINE;
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
    profiles: Mutex<Vec<(ProfileId, Params, Arc<Baseline>)>>,
}

/// Profiles whose parameters are kept; the oldest is forgotten, and learned again when a server opens.
const KEPT: usize = 256;

impl Known {
    /// The parameters that a server of this profile reports.
    pub fn params(&self, profile: ProfileId) -> Option<Params> {
        self.profiles.lock().iter().find(|(known, ..)| *known == profile).map(|(_, params, _)| params.clone())
    }

    fn baseline(&self, profile: ProfileId) -> Option<Arc<Baseline>> {
        self.profiles
            .lock()
            .iter()
            .find(|(known, ..)| *known == profile)
            .map(|(.., baseline)| baseline.clone())
    }

    fn learn(&self, profile: ProfileId, params: Params, baseline: Arc<Baseline>) {
        let mut profiles = self.profiles.lock();
        profiles.retain(|(known, ..)| *known != profile);
        if profiles.len() == KEPT {
            profiles.remove(0);
        }
        profiles.push((profile, params, baseline));
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
        if self.shared.limits.track_state {
            connection.baseline = self.learn_baseline(&mut connection, profile.id).await?;
        }
        self.known.learn(profile.id, connection.ledger.params.clone(), connection.baseline.clone());
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

    async fn learn_baseline(
        &self,
        connection: &mut Connection,
        profile: ProfileId,
    ) -> Result<Arc<Baseline>, OpenError> {
        if let Some(known) = self.known.baseline(profile) {
            return Ok(known);
        }
        let rows = connection.ask(BASELINE).await.map_err(|error| OpenError {
            kind: OpenErrorKind::Unreachable,
            text: format!("reading the settings: {error}"),
        })?;
        let pairs = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), value] => Some((&**name, value.as_deref())),
            _ => None,
        });
        Ok(Arc::new(Baseline::from_rows(pairs)))
    }
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
