//! Opens a server for a pool: connects, logs in, and learns what a session of its profile starts with.

use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::ask::AskError;
use super::connect::{ConnectError, Connector, Established, Target};
use super::connection::Connection;
use super::credentials::{Credentials, Round};
use super::encrypt::EncryptError;
use super::known::{Beginning, Known};
use super::lend::Backend;
use super::upstream::Upstream;
use crate::auth::keyring::Keyring;
use crate::auth::respond::Refusal;
use crate::catalog::Baseline;
use crate::catalog::queries::{BASELINE, custom_settings};
use crate::net::tls::outbound::Outbound;
use crate::pool::health::{OpenError, OpenErrorKind};
use crate::pool::key::Profile;
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
    pub credentials: Credentials,
    /// Where the pool's user has their own keys, who needs no password then; `None`: servers are somebody else's.
    pub keyring: Option<Arc<Keyring>>,
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
        // A command for a password has a time of its own.
        let mut round = self.credentials.round().await.map_err(|error| open_error(&error.into()))?;
        let deadline = Instant::now() + self.connect_timeout;
        let mut known = self.known.beginning(profile.id);
        // Twice, if defaults were changed since the profile's clients logged in.
        loop {
            let mut connection = self.connect(profile, known.as_ref(), &mut round, deadline).await?;
            let begun = match self.shared.limits.track_state {
                true => timeout_at(deadline, self.learn(&mut connection, known.take())).await,
                false => Ok(Ok(Begun::Right(Beginning::default()))),
            };
            match begun.unwrap_or(Err(AskError::Timeout(self.connect_timeout))) {
                Ok(Begun::Right(mut beginning)) => {
                    connection.baseline = beginning.baseline.clone();
                    beginning.params = connection.ledger.params.clone();
                    self.known.learn(profile.id, beginning);
                    return Ok(connection);
                }
                Ok(Begun::Otherwise(right)) => {
                    connection.close().await;
                    known = Some(right);
                }
                Err(error) => {
                    connection.close().await;
                    return Err(unread(&error));
                }
            }
        }
    }

    async fn connect(
        &self,
        profile: &Profile,
        known: Option<&Beginning>,
        round: &mut Round<'_>,
        deadline: Instant,
    ) -> Result<Box<Connection>, OpenError> {
        let parameters = profile.parameters.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let amended = known.iter().flat_map(|known| known.amended.iter().cloned());
        let parameters: Vec<(String, String)> = parameters.chain(amended).collect();
        let target = Target {
            upstream: &self.upstream,
            database: &self.database,
            user: &self.user,
            password: None,
            passfile: None,
            keyring: self.keyring.as_deref(),
            profile: &parameters,
            minor: 0,
            tls: self.tls.as_deref(),
        };
        match round.connect(&self.connector, &target, deadline).await {
            Ok(established) => Ok(Box::new(self.connection(established))),
            Err(error) => Err(open_error(&error)),
        }
    }

    fn connection(&self, established: Established) -> Connection {
        let mut params = Params::default();
        for (name, value) in &established.parameters {
            params.set(name, value, &self.hasher);
        }
        let plain = self.shared.settings.plain().clone();
        let login_user = params.get("session_authorization").unwrap_or(&self.user).into();
        let ledger = Ledger::new(params, self.hasher.clone(), self.statements, plain);
        Connection::new(established, self.connector.clone(), ledger, login_user)
    }

    async fn learn(&self, connection: &mut Connection, known: Option<Beginning>) -> Result<Begun, AskError> {
        let mut begun = self.begun(connection, known).await?;
        if let Begun::Right(beginning) = &mut begun
            && self.shared.limits.exact_names
        {
            self.learn_names(connection, Arc::make_mut(&mut beginning.baseline)).await?;
        }
        Ok(begun)
    }

    /// Roles, databases and startup options may set custom settings, too. No list has them, so those are asked for that
    /// somebody was seen to use.
    async fn learn_names(
        &self,
        connection: &mut Connection,
        baseline: &mut Baseline,
    ) -> Result<(), AskError> {
        let mut names = self.shared.lexicon.custom_settings();
        names.retain(|name| baseline.value(name).is_none());
        if names.is_empty() {
            return Ok(());
        }
        for row in connection.ask(&custom_settings(names.iter().map(|name| &**name))).await? {
            if let [Some(name), Some(value)] = row.as_slice() {
                baseline.learn(name, value);
            }
        }
        Ok(())
    }

    /// Whether the session begins with what the profile's clients began with. `known`: how the last one was opened.
    async fn begun(&self, connection: &mut Connection, known: Option<Beginning>) -> Result<Begun, AskError> {
        let defaults = self.known.compare_defaults(connection, &self.shared.epochs).await?;
        if let Some(same) = known.clone().filter(|known| known.defaults == defaults) {
            return Ok(Begun::Right(same));
        }
        let rows = connection.ask(BASELINE).await?;
        let mut baseline = Baseline::from_rows(rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), value, _] => Some((&**name, value.as_deref())),
            _ => None,
        }));
        if self.shared.limits.exact_names {
            baseline = baseline.exact();
        }
        let Some(mut known) = known else {
            let baseline = Arc::new(baseline);
            return Ok(Begun::Right(Beginning { baseline, defaults, ..Beginning::default() }));
        };
        // Its clients logged in before the defaults were changed.
        known.defaults = defaults;
        let may_be_given = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), _, Some(yes)] if &**yes == "t" => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let amended = known.baseline.to_give(&baseline, may_be_given);
        if amended.is_empty() {
            return Ok(Begun::Right(known));
        }
        known.amended.retain(|(name, _)| amended.iter().all(|(again, _)| again != name));
        known.amended.extend(amended);
        Ok(Begun::Otherwise(known))
    }
}

/// How a session began.
enum Begun {
    /// As its clients' sessions.
    Right(Beginning),
    /// By other defaults. One that is opened like this begins right.
    Otherwise(Beginning),
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
        | ConnectError::Password(_)
        | ConnectError::Protocol(_) => OpenErrorKind::Unreachable,
        ConnectError::Refused { sqlstate, .. } => OpenErrorKind::Rejected(*sqlstate),
        ConnectError::Auth(Refusal::NotProven) => OpenErrorKind::NotProven,
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
