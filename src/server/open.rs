//! Opens a server for a pool: connects, logs in, and learns what a session of its profile starts with.

use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::ask::AskError;
use super::connect::{ConnectError, Connector, Established, Target};
use super::connection::Connection;
use super::encrypt::EncryptError;
use super::known::{Beginning, Known};
use super::lend::Backend;
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
        let learned = match self.shared.limits.track_state {
            true => timeout_at(deadline, self.beginning(&mut connection, profile.id)).await,
            false => Ok(Ok(Beginning::default())),
        };
        let mut beginning = match learned.unwrap_or(Err(AskError::Timeout(self.connect_timeout))) {
            Ok(beginning) => beginning,
            Err(error) => {
                connection.close().await;
                return Err(unread(&error));
            }
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
        let mut ledger = Ledger::new(params, self.hasher.clone(), self.statements, plain);
        ledger.pid = established.key.as_ref().map_or(0, |key| key.pid);
        Connection {
            stream: established.stream,
            ledger,
            key: established.key,
            route: established.route,
            connector: self.connector.clone(),
            notifications: Vec::new(),
            baseline: Arc::default(),
            began_otherwise: false,
            login_user,
        }
    }

    /// What this session begins with, for its clients: what the profile's other ones began with.
    async fn beginning(
        &self,
        connection: &mut Connection,
        profile: ProfileId,
    ) -> Result<Beginning, AskError> {
        let defaults = self.known.compare_defaults(connection, &self.shared.epochs).await?;
        let known = self.known.beginning(profile);
        if let Some(same) = known.clone().filter(|known| known.defaults == defaults) {
            return Ok(same);
        }
        let rows = connection.ask(BASELINE).await?;
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
                    connection.ask(&sql).await?;
                    connection.began_otherwise = true;
                }
                Ok(known)
            }
        }
    }
}

fn unread(error: &AskError) -> OpenError {
    OpenError {
        kind: OpenErrorKind::Unreachable,
        sqlstate: None,
        text: format!("reading the settings: {error}"),
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
    let sqlstate = match error {
        ConnectError::Refused { sqlstate, .. } => Some(*sqlstate),
        _ => None,
    };
    OpenError { kind, sqlstate, text }
}
