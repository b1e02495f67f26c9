//! The login at a server, from the startup packet to ReadyForQuery.
//!
//! Until then the server is a stranger: each of its messages is bounded, must come at its place, and an error of any
//! kind drops the connection. Source: PostgreSQL documentation, "Message Flow", "Start-up".

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::{ConnectError, Established, Route, Target};
use super::derive::Deriver;
use crate::auth::keyring::Keyring;
use crate::auth::respond::{Account, Refusal, Reply, Responder};
use crate::auth::scram::{Derivation, Salting, Seed};
use crate::net::stream::Stream;
use crate::wire::authentication::Authentication;
use crate::wire::error::ErrorFields;
use crate::wire::read;
use crate::wire::sqlstate::SqlState;
use crate::wire::startup::{CancelKey, read_negotiation, write_startup};

/// The longest message of a server that logs us in, in bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// All that a server may say until it is ready, in bytes.
const MAX_LOGIN: usize = 1 << 20;
/// What is kept of a server's error message, in characters.
const MAX_ERROR_TEXT: usize = 1_000;

/// A new connection, before its first message.
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) route: Route,
    /// The hash of the server's certificate.
    pub(super) end_point: Option<Vec<u8>>,
}

pub(super) async fn log_in(
    line: Line,
    target: &Target<'_>,
    deriver: &Deriver,
) -> Result<Established, ConnectError> {
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
    let identity = [("user", target.user().to_owned()), ("database", target.database().to_owned())];
    identity.into_iter().chain(settings).collect()
}

/// From the startup packet to AuthenticationOk; gives the minor version agreed on.
async fn authenticate(
    server: &mut Stranger,
    target: &Target<'_>,
    end_point: Option<&[u8]>,
    deriver: &Deriver,
) -> Result<u16, ConnectError> {
    let password = target.password;
    let keyring = target.keyring.filter(|_| password.is_none());
    let account = Account {
        user: target.user(),
        password,
        keyring,
        allowed: target.upstream.allowed,
        channel_binding: target.upstream.channel_binding,
        end_point,
    };
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(|_| io::Error::other("no randomness"))?;
    let mut responder = Responder::new(account, seed);
    let mut minor = target.minor;
    let mut used = None;
    loop {
        let (tag, body) =
            server.message().await.inspect_err(|error| forget(target, keyring, used.as_ref(), error))?;
        match tag {
            b'R' => {
                let message = Authentication::read(&body)
                    .map_err(|_| ConnectError::Protocol("malformed authentication request"))?;
                match responder.hear(message)? {
                    Reply::Nothing => {}
                    Reply::Send(answer) => server.stream.write_all(&answer).await?,
                    Reply::Derive(salting) => {
                        let keys = match (password, keyring) {
                            (Some(password), _) => {
                                let derivation = Derivation::new(password.expose().as_bytes(), salting);
                                deriver.run_or_recall(derivation).await
                            }
                            (None, Some(keyring)) => {
                                let keys = keyring.keys(target.user(), &salting);
                                used = Some(salting);
                                keys.ok_or(Refusal::NotProven)?
                            }
                            (None, None) => return Err(Refusal::NoPassword.into()),
                        };
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

/// What a server doesn't take is of no use to anyone: the keys with the salt that was `used`, or the MD5 hash.
fn forget(target: &Target<'_>, keyring: Option<&Keyring>, used: Option<&Salting>, error: &ConnectError) {
    let is_refused = matches!(error, ConnectError::Refused { sqlstate: SqlState::INVALID_PASSWORD, .. });
    match (keyring.filter(|_| is_refused), used) {
        (Some(keyring), Some(salting)) => keyring.forget(target.user(), salting),
        (Some(keyring), None) => keyring.forget_md5(target.user()),
        (None, _) => {}
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
