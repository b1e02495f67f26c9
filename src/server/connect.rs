//! From an upstream to a server connection that is logged in and ready for queries: which hosts are tried, in plain
//! text or by TLS, and which of them will do. The login itself is [`super::login`].

use std::io;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::derive::Deriver;
use super::encrypt::{Answer, EncryptError, encrypt};
use super::login::{Line, log_in};
use super::password_command::CommandError;
use super::upstream::{Host, SessionAttrs, Upstream};
use crate::auth::keyring::Keyring;
use crate::auth::passfile::Passfile;
use crate::auth::respond::Refusal;
use crate::auth::secret::Secret;
use crate::meter::counters::{Counters, Done};
use crate::net::dial::{Dialer, share};
use crate::net::stream::{Peer, Stream};
use crate::net::tls::outbound::{Mode, Outbound, Way};
use crate::wire::sqlstate::SqlState;
use crate::wire::startup::CancelKey;
use crate::wire::tag::frontend;
use crate::wire::write;

/// Opens server connections. Shared by all pools.
#[derive(Debug)]
pub struct Connector {
    pub dialer: Dialer,
    pub deriver: Arc<Deriver>,
    pub counters: Arc<Counters>,
}

/// What to connect to, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub upstream: &'a Upstream,
    /// Where the upstream names no database of its own.
    pub database: &'a str,
    /// Where the upstream names no user of its own.
    pub user: &'a str,
    /// Preferred to the upstream's password.
    pub password: Option<&'a Secret>,
    /// Where to look where there is neither.
    pub passfile: Option<&'a Passfile>,
    /// Without any password: where the user's own keys are.
    pub keyring: Option<&'a Keyring>,
    /// The client's startup parameters. They win over the upstream's; of `options`, both are sent.
    pub profile: &'a [(String, String)],
    /// The minor version of protocol 3 to ask for: 0 or 2. A server may settle on less.
    pub minor: u16,
    /// `None`: plain text only.
    pub tls: Option<&'a Outbound>,
}

/// Where libpq looks for a socket of which it knows nothing else; its file of passwords calls them so.
const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl<'a> Target<'a> {
    pub(super) fn user(&self) -> &'a str {
        self.upstream.user.as_deref().unwrap_or(self.user)
    }

    pub(super) fn database(&self) -> &'a str {
        self.upstream.database.as_deref().unwrap_or(self.database)
    }

    /// The same, with the password that there is for this host.
    fn at(&self, host: &Host) -> Self {
        let password = self.password.or(self.upstream.password.as_ref());
        Self { password: password.or_else(|| self.of_passfile(host)), ..*self }
    }

    fn of_passfile(&self, host: &Host) -> Option<&'a Secret> {
        let name = host.name();
        let local = DEFAULT_SOCKETS.contains(&&*name).then_some("localhost");
        let names: Vec<_> = [&*name].into_iter().chain(local).collect();
        self.passfile?.find(&names, host.port(), self.database(), self.user())
    }
}

/// How one server is reached, and not another one of the same name: a cancel request must go there.
#[derive(Clone, Debug)]
pub struct Route {
    pub host: Host,
    /// `None`: in plain text.
    pub way: Option<Way>,
}

/// A connection that is logged in; nothing was read behind its ReadyForQuery.
#[derive(Debug)]
pub struct Established {
    pub stream: Stream,
    /// The server's ParameterStatus, in its order.
    pub parameters: Vec<(String, String)>,
    /// Not every server gives one.
    pub key: Option<CancelKey>,
    /// The minor version of protocol 3 that is spoken.
    pub minor: u16,
    pub route: Route,
}

#[derive(Debug, Error)]
pub enum ConnectError {
    /// No connection, or it ended without a word.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("no answer within the connect timeout")]
    Timeout,
    /// The server's own error: 53300 too many clients, 57P03 starting up, 28P01 wrong password, 3D000 …
    #[error("{message} (SQLSTATE {sqlstate})")]
    Refused { sqlstate: SqlState, message: String },
    /// We don't go on with this server.
    #[error(transparent)]
    Auth(#[from] Refusal),
    #[error("protocol violation by the server: {0}")]
    Protocol(&'static str),
    #[error(
        "the server offers no TLS, which is needed for a host that isn't this machine unless the URL says \
         sslmode=disable or tls.server.mode is less strict"
    )]
    NoTls,
    #[error("TLS to the server: {0}")]
    Tls(#[from] EncryptError),
    #[error("the server is not what target_session_attrs demands")]
    Unfit,
    #[error(transparent)]
    Password(#[from] CommandError),
}

impl ConnectError {
    /// Whether another host of the same upstream may do better. As libpq decides it.
    fn is_about_the_host(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::NoTls | Self::Tls(_) | Self::Unfit => true,
            Self::Refused { sqlstate, .. } => *sqlstate == SqlState::CANNOT_CONNECT_NOW,
            Self::Auth(_) | Self::Protocol(_) | Self::Password(_) => false,
        }
    }

    /// Whether another password may do better.
    pub(super) fn is_about_the_password(&self) -> bool {
        matches!(self, Self::Refused { sqlstate: SqlState::INVALID_PASSWORD, .. })
    }

    /// Whether the same host may take us with encryption, or without: as `pg_hba.conf` has it, or for lack of TLS.
    fn is_about_encryption(&self) -> bool {
        match self {
            Self::Refused { sqlstate, .. } => *sqlstate == SqlState::INVALID_AUTHORIZATION,
            Self::NoTls | Self::Tls(_) => true,
            _ => false,
        }
    }
}

impl Connector {
    /// Connects to the first host of the upstream that takes us. Each gets its share of the time that is left.
    ///
    /// # Errors
    /// The last host's.
    pub async fn connect(&self, target: &Target<'_>, deadline: Instant) -> Result<Established, ConnectError> {
        match target.upstream.attrs {
            SessionAttrs::PreferStandby => match self.first(target, SessionAttrs::Standby, deadline).await {
                Err(ConnectError::Unfit) => self.first(target, SessionAttrs::Any, deadline).await,
                outcome => outcome,
            },
            attrs => self.first(target, attrs, deadline).await,
        }
    }

    /// The first host that takes us and has these attributes.
    async fn first(
        &self,
        target: &Target<'_>,
        attrs: SessionAttrs,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        let hosts = &target.upstream.hosts;
        let attempts = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let mut last = ConnectError::Unreachable(io::ErrorKind::NotFound.into());
        for (left, host) in (1..=attempts).rev().zip(hosts) {
            let deadline = share(deadline, left);
            let attempt = timeout_at(deadline, self.attempt(host, target, deadline));
            match attempt.await.unwrap_or(Err(ConnectError::Timeout)) {
                Ok(established) if !attrs.fit(&established.parameters) => {
                    established.leave().await;
                    last = ConnectError::Unfit;
                }
                Err(error) if error.is_about_the_host() => last = error,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    async fn attempt(
        &self,
        host: &Host,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        let target = &target.at(host);
        let plain = || self.plain(host, target, deadline);
        let (Host::Tcp { name, .. }, Some(tls)) = (host, target.tls) else { return plain().await };
        let mode = tls.mode_for(name);
        let encrypted = async || {
            let way = tls.way(name).map_err(EncryptError::from)?;
            self.encrypted(host, way, mode, target, deadline).await
        };
        match mode {
            Mode::Disable => plain().await,
            Mode::Allow => match plain().await {
                Err(first) if first.is_about_encryption() => match encrypted().await {
                    Err(ConnectError::NoTls) => Err(first),
                    outcome => outcome,
                },
                outcome => outcome,
            },
            Mode::Prefer => match encrypted().await {
                Err(first) if first.is_about_encryption() => plain().await,
                outcome => outcome,
            },
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => encrypted().await,
        }
    }

    async fn plain(
        &self,
        host: &Host,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        let stream = self.dial(host, deadline).await?;
        let route = Route { host: reached(host, &stream), way: None };
        log_in(Line { stream, route, end_point: None }, target, &self.deriver).await
    }

    async fn encrypted(
        &self,
        host: &Host,
        way: Way,
        mode: Mode,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        let stream = self.dial(host, deadline).await?;
        let route = |way| Route { host: reached(host, &stream), way };
        let (encrypted, plain) = (route(Some(way.clone())), route(None));
        let Stream::Tcp(socket) = stream else { return Err(ConnectError::NoTls) };
        let answer = encrypt(socket, &way).await;
        if !matches!(answer, Ok(Answer::Refused(_))) {
            self.counters.server_handshakes.inc(Done::of(&answer).text());
        }
        let (stream, route, end_point) = match answer? {
            Answer::Encrypted(stream, end_point) => (stream, encrypted, end_point),
            Answer::Refused(socket) if mode == Mode::Prefer => (socket.into(), plain, None),
            Answer::Refused(_) => return Err(ConnectError::NoTls),
        };
        log_in(Line { stream, route, end_point }, target, &self.deriver).await
    }

    async fn dial(&self, host: &Host, deadline: Instant) -> Result<Stream, ConnectError> {
        host.dial(&self.dialer, deadline).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ConnectError::Timeout,
            _ => error.into(),
        })
    }
}

/// The place behind the connection, not another address of its name.
fn reached(host: &Host, stream: &Stream) -> Host {
    match stream.peer() {
        Peer::Tcp(address) => Host::Tcp { name: address.ip().to_string(), port: address.port() },
        _ => host.clone(),
    }
}

impl Established {
    /// Says goodbye to a server that isn't used.
    async fn leave(mut self) {
        let mut terminate = Vec::new();
        write::bare(&mut terminate, frontend::TERMINATE);
        // It ends either way.
        let _ = self.stream.write_all(&terminate).await;
        let _ = self.stream.shutdown().await;
    }
}
