//! The connection on which users are looked up: its fixed session, its two statements, one exchange.
//!
//! Depends on `credentials`, `connect`, `ask`, `catalog::users`. Invariant: nothing that a client sent becomes part of a text or of the
//! session; it is bound.

use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::answers::Name;
use crate::auth::lookup;
use crate::auth::secret::Secret;
use crate::catalog::users::{DIRECT, DOOR, FUNCTION, MEANS};
use crate::net::tls::outbound::Outbound;
use crate::server::ask::{AskError, Columns};
use crate::server::connect::{ConnectError, Connector, Target};
use crate::server::connection::Connection;
use crate::server::credentials::Credentials;
use crate::server::upstream::{PasswordCommand, SessionAttrs, Upstream};
use crate::session::params::Params;
use crate::session::server::Ledger;
use crate::session::settings::Interner;
use crate::wire::tag::frontend;
use crate::wire::write;

/// For one answer. PostgreSQL itself gives up earlier.
const ANSWER: Duration = Duration::from_secs(3);
const STATEMENT_TIMEOUT: &str = "2s";
/// Names of the two statements.
const ABOUT_DOOR: &[u8] = b"_pgweir_door";
const ABOUT_SECRET: &[u8] = b"_pgweir_secret";

/// Where users are looked up, and as whom.
#[derive(Debug)]
pub struct Desk {
    upstream: Upstream,
    passwords: Vec<Secret>,
    credentials: Credentials,
    /// `None`: plain text only.
    tls: Option<Arc<Outbound>>,
    connect_timeout: Duration,
    query: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub user: String,
    pub database: String,
    pub password_command: Option<PasswordCommand>,
    /// Tried in this order, if there is no command; then the upstream's file of passwords.
    pub passwords: Vec<Secret>,
    /// The operator's own query; `None`: ours.
    pub query: Option<String>,
}

impl Desk {
    /// At the same place as `upstream`. The session's settings are its own, whatever the upstream's parameters are.
    pub fn beside(
        upstream: &Upstream,
        asker: Asker,
        tls: Option<Arc<Outbound>>,
        connect_timeout: Duration,
    ) -> Self {
        let Asker { user, database, password_command, passwords, query } = asker;
        let fixed = [
            ("application_name", "pgweir auth"),
            ("client_encoding", "UTF8"),
            ("search_path", "pg_catalog, pg_temp"),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", STATEMENT_TIMEOUT),
            ("default_transaction_read_only", "on"),
        ];
        let attrs = match upstream.attrs {
            // Ours all read only.
            SessionAttrs::ReadWrite => SessionAttrs::Primary,
            SessionAttrs::ReadOnly => SessionAttrs::Any,
            attrs => attrs,
        };
        let upstream = Upstream {
            user: Some(user.clone()),
            database: Some(database.clone()),
            password: None,
            password_command,
            parameters: fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            attrs,
            ..upstream.clone()
        };
        let credentials = Credentials::new(&upstream, &database, &user, passwords.iter());
        Self { upstream, passwords, credentials, tls, connect_timeout, query }
    }

    /// Whether both may share a connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.upstream, &self.passwords, &self.query) == (&other.upstream, &other.passwords, &other.query)
    }

    pub(super) fn user(&self) -> &str {
        self.upstream.user.as_deref().unwrap_or_default()
    }

    pub(super) fn database(&self) -> &str {
        self.upstream.database.as_deref().unwrap_or_default()
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    pub(super) async fn connect(
        &self,
        connector: &Arc<Connector>,
        patience: Duration,
    ) -> Result<Connection, ConnectError> {
        let target = Target {
            upstream: &self.upstream,
            database: "",
            user: "",
            password: None,
            passfile: None,
            keyring: None,
            profile: &[],
            minor: 0,
            tls: self.tls.as_deref(),
        };
        let mut round = self.credentials.round().await?;
        let deadline = Instant::now() + self.connect_timeout.min(patience);
        let established = round.connect(connector, &target, deadline).await?;
        let ledger =
            Ledger::new(Params::default(), RandomState::new(), 0, Interner::default().plain().clone());
        Ok(Connection::new(established, connector.clone(), ledger, self.user().into()))
    }
}

/// Which of our queries this role may run.
async fn means(connection: &mut Connection) -> Result<Option<&'static str>, AskError> {
    let rows = connection.ask(MEANS).await?;
    let is = |column: usize| rows.first().and_then(|row| row.get(column)?.as_deref()) == Some("t");
    Ok(if is(0) {
        Some(DIRECT)
    } else if is(1) {
        Some(FUNCTION)
    } else {
        None
    })
}

/// Makes the two statements; false if there is no query that this role may run.
pub(super) async fn prepare(connection: &mut Connection, own_query: Option<&str>) -> Result<bool, AskError> {
    let query = match own_query {
        Some(query) => query,
        None => match means(connection).await? {
            Some(query) => query,
            None => return Ok(false),
        },
    };
    let mut messages = Vec::new();
    for (name, text) in [(ABOUT_DOOR, DOOR), (ABOUT_SECRET, query)] {
        write::parse(&mut messages, name, &[text.as_bytes(), b"\0\0\0"].concat());
    }
    write::bare(&mut messages, frontend::SYNC);
    connection.ask_rows(&messages, ANSWER, |_| {}).await?;
    Ok(true)
}

/// A row about the door, then the rows of the query: no more than tell that there are too many.
pub(super) async fn question(
    connection: &mut Connection,
    (user, database): &Name,
) -> Result<(lookup::Columns, Vec<lookup::Columns>), AskError> {
    let mut messages = Vec::new();
    bind(&mut messages, ABOUT_DOOR, &[user, database]);
    write::execute(&mut messages, b"");
    bind(&mut messages, ABOUT_SECRET, &[user]);
    write::execute(&mut messages, b"");
    write::bare(&mut messages, frontend::SYNC);
    let mut rows: Vec<lookup::Columns> = Vec::new();
    let each = |row: Columns<'_>| {
        if rows.len() <= 2 {
            rows.push(row.into_iter().map(|column| column.map(<[u8]>::to_vec)).collect());
        }
    };
    connection.ask_rows(&messages, ANSWER, each).await?;
    let secrets = rows.split_off(rows.len().min(1));
    Ok((rows.pop().unwrap_or_default(), secrets))
}

/// A Bind with parameters as text.
fn bind(out: &mut Vec<u8>, statement: &[u8], parameters: &[&str]) {
    let mut rest = vec![0, 0];
    rest.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        rest.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
        rest.extend_from_slice(parameter.as_bytes());
    }
    rest.extend_from_slice(&[0, 0]);
    write::bind_head(out, b"", statement, rest.len());
    out.extend_from_slice(&rest);
}
