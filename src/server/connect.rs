//! From an upstream to a server connection that is logged in and ready for queries.
//!
//! Until its ReadyForQuery the server is a stranger: each of its messages is bounded, must come at its place, and
//! an error of any kind drops the connection. Source: PostgreSQL documentation, "Message Flow", "Start-up".

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::derive::Deriver;
use super::encrypt::{Answer, EncryptError, encrypt};
use super::upstream::{Host, SessionAttrs, Upstream};
use crate::auth::respond::{Account, Refusal, Reply, Responder};
use crate::auth::scram::{Derivation, Seed};
use crate::auth::secret::Secret;
use crate::meter::counters::{Counters, Done};
use crate::net::dial::{Dialer, share};
use crate::net::stream::{Peer, Stream};
use crate::net::tls::outbound::{Mode, Outbound, Way};
use crate::wire::authentication::Authentication;
use crate::wire::error::ErrorFields;
use crate::wire::read;
use crate::wire::sqlstate::SqlState;
use crate::wire::startup::{CancelKey, read_negotiation, write_startup};
use crate::wire::tag::frontend;
use crate::wire::write;

/// The longest message of a server that logs us in, in bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// All that a server may say until it is ready, in bytes.
const MAX_LOGIN: usize = 1 << 20;
/// What is kept of a server's error message, in characters.
const MAX_ERROR_TEXT: usize = 1_000;

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
    /// The client's startup parameters. They win over the upstream's; of `options`, both are sent.
    pub profile: &'a [(String, String)],
    /// The minor version of protocol 3 to ask for: 0 or 2. A server may settle on less.
    pub minor: u16,
    /// `None`: plain text only.
    pub tls: Option<&'a Outbound>,
}

/// How one server is reached, and not another one of the same name: a cancel request must go there.
#[derive(Clone, Debug)]
pub struct Route {
    pub host: Host,
    /// `None`: in plain text.
    pub way: Option<Way>,
}

/// A new connection, before its first message.
struct Line {
    stream: Stream,
    route: Route,
    /// The hash of the server's certificate.
    end_point: Option<Vec<u8>>,
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
}

impl ConnectError {
    /// Whether another host of the same upstream may do better. As libpq decides it.
    fn is_about_the_host(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::NoTls | Self::Tls(_) | Self::Unfit => true,
            Self::Refused { sqlstate, .. } => *sqlstate == SqlState::CANNOT_CONNECT_NOW,
            Self::Auth(_) | Self::Protocol(_) => false,
        }
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

async fn log_in(line: Line, target: &Target<'_>, deriver: &Deriver) -> Result<Established, ConnectError> {
    let Line { stream, route, end_point } = line;
    let mut server = Stranger { stream, read: BytesMut::new(), heard: 0 };
    let mut startup = Vec::new();
    let parameters = startup_parameters(target);
    let parameters = parameters.iter().map(|(name, value)| (*name, value.as_str()));
    write_startup(&mut startup, target.minor, parameters);
    server.stream.write_all(&startup).await?;
    let minor = authenticate(&mut server, target, end_point.as_deref(), deriver).await?;
    get_ready(server, minor, route).await
}

/// The startup parameters, each name once. Settings are named in any case, `user` and `database` in this one
/// only: a client's `USER` is another (unknown) parameter and must not become `user`.
fn startup_parameters<'a>(target: &Target<'a>) -> Vec<(&'a str, String)> {
    let Target { upstream, .. } = target;
    let mut settings: Vec<(&str, String)> = Vec::new();
    for (name, value) in upstream.parameters.iter().chain(target.profile) {
        match settings.iter_mut().find(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            // Of two settings of one name in it, the later counts: the client's.
            Some((_, earlier)) if name == "options" => *earlier = format!("{earlier} {value}"),
            Some((_, earlier)) => earlier.clone_from(value),
            None => settings.push((name, value.clone())),
        }
    }
    let database = upstream.database.as_deref().unwrap_or(target.database);
    let identity = [("user", user(target).to_owned()), ("database", database.to_owned())];
    identity.into_iter().chain(settings).collect()
}

fn user<'a>(target: &Target<'a>) -> &'a str {
    target.upstream.user.as_deref().unwrap_or(target.user)
}

/// From the startup packet to AuthenticationOk; gives the minor version agreed on.
async fn authenticate(
    server: &mut Stranger,
    target: &Target<'_>,
    end_point: Option<&[u8]>,
    deriver: &Deriver,
) -> Result<u16, ConnectError> {
    let password = target.password.or(target.upstream.password.as_ref());
    let allowed = target.upstream.allowed;
    let account = Account {
        user: user(target),
        password,
        md5: allowed.md5,
        cleartext: allowed.cleartext,
        channel_binding: target.upstream.channel_binding,
        end_point,
    };
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(|_| io::Error::other("no randomness"))?;
    let mut responder = Responder::new(account, seed);
    let mut minor = target.minor;
    loop {
        let (tag, body) = server.message().await?;
        match tag {
            b'R' => {
                let message = Authentication::read(&body)
                    .map_err(|_| ConnectError::Protocol("malformed authentication request"))?;
                match responder.hear(message)? {
                    Reply::Nothing => {}
                    Reply::Send(answer) => server.stream.write_all(&answer).await?,
                    Reply::Derive(salting) => {
                        let password = password.ok_or(Refusal::NoPassword)?.expose();
                        let derivation = Derivation::new(password.as_bytes(), salting);
                        let keys = deriver.run_or_recall(derivation).await;
                        server.stream.write_all(&responder.derived(&keys)?).await?;
                    }
                    Reply::LoggedIn => return Ok(minor),
                }
            }
            b'v' if minor > 0 => {
                minor = read_negotiation(&body)
                    .filter(|offered| *offered < minor)
                    .ok_or(ConnectError::Protocol("impossible protocol negotiation"))?;
            }
            b'N' => {}
            _ => return Err(ConnectError::Protocol("message out of order during authentication")),
        }
    }
}

/// From AuthenticationOk to ReadyForQuery.
async fn get_ready(mut server: Stranger, minor: u16, route: Route) -> Result<Established, ConnectError> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut key = None;
    loop {
        let (tag, body) = server.message().await?;
        match tag {
            b'S' => {
                let (name, value) = read::parameter_status(&body)
                    .map_err(|_| ConnectError::Protocol("malformed ParameterStatus"))?;
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let (name, value) = (text(name), text(value));
                match parameters.iter_mut().find(|(earlier, _)| *earlier == name) {
                    Some((_, earlier)) => *earlier = value,
                    None => parameters.push((name, value)),
                }
            }
            b'K' if key.is_none() => {
                key = Some(
                    CancelKey::read(&body).map_err(|_| ConnectError::Protocol("malformed BackendKeyData"))?,
                );
            }
            b'N' => {}
            b'Z' if body.as_ref() == b"I" && server.read.is_empty() => {
                return Ok(Established { stream: server.stream, parameters, key, minor, route });
            }
            b'Z' => return Err(ConnectError::Protocol("not idle, or not silent, after login")),
            _ => return Err(ConnectError::Protocol("message out of order after authentication")),
        }
    }
}

/// A server that hasn't logged us in yet.
struct Stranger {
    stream: Stream,
    /// What was read and not taken yet.
    read: BytesMut,
    /// Bytes heard in all.
    heard: usize,
}

impl Stranger {
    /// The next message's tag and body; its ErrorResponse is an error. Grows with what arrives, not with what a
    /// header claims.
    async fn message(&mut self) -> Result<(u8, BytesMut), ConnectError> {
        loop {
            if let Some((tag, body)) = self.take()? {
                return if tag == b'E' { Err(refused(&body)) } else { Ok((tag, body)) };
            }
            self.read.reserve(1_024);
            let count = self.stream.read_buf(&mut self.read).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.heard = self.heard.saturating_add(count);
            if self.heard > MAX_LOGIN {
                return Err(ConnectError::Protocol("too much said during login"));
            }
        }
    }

    fn take(&mut self) -> Result<Option<(u8, BytesMut)>, ConnectError> {
        let [tag, length @ ..] = match self.read.first_chunk::<5>() {
            Some(header) => *header,
            None => return Ok(None),
        };
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        if !(4..=MAX_MESSAGE).contains(&length) {
            return Err(ConnectError::Protocol("invalid length of message"));
        }
        if self.read.len() <= length {
            return Ok(None);
        }
        let mut message = self.read.split_to(1 + length);
        message.advance(5);
        Ok(Some((tag, message)))
    }
}

fn refused(body: &[u8]) -> ConnectError {
    let fields = ErrorFields::read(body);
    ConnectError::Refused {
        sqlstate: fields.code.unwrap_or(SqlState::CONNECTION_FAILURE),
        message: fields.message_text().chars().take(MAX_ERROR_TEXT).collect(),
    }
}

#[cfg(test)]
mod tests;
