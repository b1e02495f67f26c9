//! The demo's own client: login by SCRAM-SHA-256 and simple queries, enough to be one of many.
//!
//! Depends on tokio's sockets and on `postgres-protocol` for what is sent. Speaks to servers that the demo has
//! started itself; it is no driver.

use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::{
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::frontend,
};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A longer message means that something other than the demo's statements came back.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Where to log in, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) address: SocketAddr,
    pub(super) user: &'static str,
    pub(super) database: &'static str,
    pub(super) password: String,
}

/// A connection that is ready for a query.
pub(super) struct Session {
    stream: TcpStream,
    received: BytesMut,
}

#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server's ErrorResponse.
    #[error("{message} (SQLSTATE {code})")]
    Server { code: String, message: String },
    #[error("unexpected answer: {0}")]
    Unexpected(&'static str),
}

/// Tag and body.
type Message = (u8, Bytes);

impl Session {
    pub(super) async fn open(login: &Login) -> Result<Self, Failure> {
        let stream = TcpStream::connect(login.address).await?;
        stream.set_nodelay(true)?;
        let mut session = Self { stream, received: BytesMut::new() };
        let parameters = [("user", login.user), ("database", login.database)];
        session.send(|buffer| frontend::startup_message(parameters, buffer)).await?;
        session.authenticate(&login.password).await?;
        session.until_ready().await?;
        Ok(session)
    }

    /// Runs `sql` and gives the last value of the first column, if rows came.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        self.send(|buffer| frontend::query(sql, buffer)).await?;
        self.until_ready().await
    }

    async fn authenticate(&mut self, password: &str) -> Result<(), Failure> {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let (tag, mut body) = self.receive().await?;
            match tag {
                b'R' if body.len() >= 4 => {}
                b'E' => return Err(error_response(&body)),
                _ => return Err(Failure::Unexpected("not a login")),
            }
            match body.get_i32() {
                0 => return Ok(()),
                10 => {
                    self.send(|buffer| {
                        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), buffer)
                    })
                    .await?
                }
                11 => {
                    scram.update(&body)?;
                    self.send(|buffer| frontend::sasl_response(scram.message(), buffer)).await?;
                }
                12 => scram.finish(&body)?,
                _ => return Err(Failure::Unexpected("a login method other than SCRAM-SHA-256")),
            }
        }
    }

    /// Reads to ReadyForQuery, also behind an error; at login an error is the end.
    async fn until_ready(&mut self) -> Result<Option<String>, Failure> {
        let mut outcome = Ok(None);
        loop {
            let (tag, body) = match self.receive().await {
                Err(Failure::Io(_)) if outcome.is_err() => return outcome,
                message => message?,
            };
            match tag {
                b'D' if outcome.is_ok() => outcome = Ok(first_column(body)),
                b'E' if outcome.is_ok() => outcome = Err(error_response(&body)),
                b'Z' => return outcome,
                _ => {}
            }
        }
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Failure> {
        let mut buffer = BytesMut::new();
        write(&mut buffer)?;
        Ok(self.stream.write_all(&buffer).await?)
    }

    async fn receive(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = split_message(&mut self.received)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// The first message in `received`, if it is there as a whole.
fn split_message(received: &mut BytesMut) -> Result<Option<Message>, Failure> {
    let Some((&[tag, ref length @ ..], _)) = received.split_first_chunk::<5>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(4..=LONGEST_MESSAGE).contains(&length) {
        return Err(Failure::Unexpected("a message of impossible length"));
    }
    if received.len() <= length {
        return Ok(None);
    }
    let mut message = received.split_to(1 + length).freeze();
    message.advance(5);
    Ok(Some((tag, message)))
}

/// DataRow: number of columns (i16), then for each its length (i32, -1 is NULL) and text.
fn first_column(mut row: Bytes) -> Option<String> {
    let columns = row.try_get_u16().ok()?;
    let length = usize::try_from(row.try_get_i32().ok()?).ok()?;
    let value = row.get(..length)?;
    (columns > 0).then(|| String::from_utf8_lossy(value).into_owned())
}

/// ErrorResponse: fields of a type byte and a zero-terminated text; any of them may be missing.
fn error_response(body: &[u8]) -> Failure {
    let field = |wanted: u8| {
        let found = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[wanted]));
        String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
    };
    Failure::Server { code: field(b'C'), message: field(b'M') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_off_when_it_is_complete() {
        let mut received = BytesMut::from(&b"Z\0\0\0\x05IC\0\0"[..]);
        let (tag, body) = split_message(&mut received).expect("well formed").expect("complete");
        assert_eq!((tag, &body[..]), (b'Z', &b"I"[..]));
        assert!(split_message(&mut received).expect("well formed").is_none());
        assert_eq!(received, b"C\0\0"[..]);
    }

    #[test]
    fn an_impossible_length_is_refused() {
        for length in [0u32, 3, u32::MAX] {
            let mut received = BytesMut::from(&b"D"[..]);
            received.extend_from_slice(&length.to_be_bytes());
            assert!(split_message(&mut received).is_err(), "{length}");
        }
    }

    #[test]
    fn the_first_column_is_text_or_nothing() {
        assert_eq!(first_column(Bytes::from_static(b"\0\x02\0\0\0\x0242\0\0\0\x01x")), Some("42".to_owned()));
        assert_eq!(first_column(Bytes::from_static(b"\0\x01\xff\xff\xff\xff")), None);
        assert_eq!(first_column(Bytes::from_static(b"\0\x01\0\0\0\x09short")), None);
    }

    #[test]
    fn an_error_shows_its_message_and_code() {
        let failure = error_response(b"SFATAL\0C53300\0Msorry, too many clients already\0\0");
        assert_eq!(failure.to_string(), "sorry, too many clients already (SQLSTATE 53300)");
    }
}
