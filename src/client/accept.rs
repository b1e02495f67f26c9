//! The first bytes of a connection, from anyone who can reach the listener.
//!
//! Reads exactly what each packet claims and not a byte more, so nothing that was sent early can pass for
//! something sent later; and grows its buffers with what arrives, not with what is claimed.

use std::io;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::net::stream::Stream;
use crate::wire::authentication::{AnswerHead, answer_head};
use crate::wire::fault::Fault;
use crate::wire::startup::{self, Asked, CancelKey, HEAD_LEN, Head, Request, Startup};

/// What a buffer begins with, in bytes; most packets fit.
const STEP: usize = 1_024;

/// Why a client doesn't get further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It left, or isn't one of ours: no word is due.
    Gone,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// However a connection breaks: nobody is there to be told.
impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// What a client came for.
pub(super) enum Wish {
    Session(Startup),
    Cancel(CancelKey),
    /// TLS, and then one of the others.
    Tls(Hello),
}

/// How a client begins TLS.
pub(super) enum Hello {
    /// It asked, and was told "yes".
    Asked,
    /// At once; these bytes of its hello were read.
    Direct(Vec<u8>),
}

/// Reads packets up to the one that says what the client came for. Requests for encryption that isn't offered are
/// answered "no"; inside of TLS there may be none.
pub(super) async fn wish(stream: &mut Stream, offers_tls: bool) -> Result<Wish, Stop> {
    let mut asked = if stream.is_tls() { Asked::Ssl } else { Asked::default() };
    loop {
        let ssl = match first_packet(stream).await? {
            First::Tls(read) if offers_tls => return Ok(Wish::Tls(Hello::Direct(read))),
            First::Tls(_) => return Err(Stop::Gone),
            First::Request(Request::Startup(startup)) => return Ok(Wish::Session(startup)),
            First::Request(Request::Cancel(key)) => return Ok(Wish::Cancel(key)),
            First::Request(Request::Gss) => false,
            First::Request(Request::Ssl) => true,
        };
        asked = asked.then(if ssl { Asked::Ssl } else { Asked::Gss })?;
        nothing_behind(stream)?;
        if ssl && offers_tls {
            stream.write_all(b"S").await?;
            return Ok(Wish::Tls(Hello::Asked));
        }
        stream.write_all(b"N").await?;
    }
}

enum First {
    Request(Request),
    /// These bytes were read of it.
    Tls(Vec<u8>),
}

async fn first_packet(stream: &mut Stream) -> Result<First, Stop> {
    let mut head = [0; HEAD_LEN];
    let mut seen = 0;
    loop {
        match stream.read(&mut head[seen..]).await? {
            0 => return Err(Stop::Gone),
            count => seen += count,
        }
        match startup::head(&head[..seen])? {
            Head::More => {}
            Head::Alien => return Err(Stop::Gone),
            Head::Tls => return Ok(First::Tls(head[..seen].to_vec())),
            Head::Packet { code, body } => {
                let body = read_body(stream, body).await?;
                return Ok(First::Request(startup::request(code, &body)?));
            }
        }
    }
}

/// A request for encryption must be the last word before its answer: what comes behind it in plain text could be
/// taken for something that was encrypted.
fn nothing_behind(stream: &mut Stream) -> Result<(), Stop> {
    match stream.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(0) | Err(_) => Err(Stop::Gone),
        Ok(_) => Err(Fault::ProtocolViolation("data after an encryption request".to_owned()).into()),
    }
}

/// Reads an answer to an authentication request: its body, of `limit` bytes at most.
pub(super) async fn answer(stream: &mut Stream, limit: usize) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    match answer_head(header, limit)? {
        AnswerHead::Body(length) => read_body(stream, length).await,
        AnswerHead::Goodbye => Err(Stop::Gone),
    }
}

async fn read_body(stream: &mut Stream, length: usize) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let mut body = Zeroizing::new(Vec::new());
    while body.len() < length {
        if body.len() == body.capacity() {
            body = grown(&body, length);
        }
        let missing = length - body.len();
        if stream.read_buf(&mut (&mut *body).limit(missing)).await? == 0 {
            return Err(Stop::Gone);
        }
    }
    Ok(body)
}

/// A copy with room for as much again, up to `length` in all. A `Vec` that grows by itself would leave what it held behind,
/// and that may be a password.
fn grown(body: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut larger = Zeroizing::new(Vec::with_capacity(length.min(body.len().max(STEP / 2) * 2)));
    larger.extend_from_slice(body);
    larger
}
