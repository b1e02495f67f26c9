//! A question to the HTTP endpoint of a running pgweir: one request, one answer.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::config::TcpAddress;

/// For all of it, from the look-up of the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// In bytes; a thousand pools with their histories have less.
const LONGEST_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum Silence {
    #[error("no address that HTTP can carry: {0}")]
    Address(#[from] hyper::http::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the answer breaks off, or is too long: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Asks `address` for `target`, a path with or without a query. Blocks.
pub(super) fn get(address: &TcpAddress, target: &str) -> Result<(StatusCode, Bytes), Silence> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, converse(address, target)).await.map_err(|_| Silence::Late)?
    });
    // A look-up of a name that hangs is left behind.
    runtime.shutdown_background();
    answer
}

async fn converse(address: &TcpAddress, target: &str) -> Result<(StatusCode, Bytes), Silence> {
    let stream = TcpStream::connect((reachable(&address.host), address.port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asked = Request::get(target)
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    tokio::spawn(connection); // it works for the answer, and ends with the runtime
    let answer = sender.send_request(asked).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await.map_err(Silence::Body)?;
    Ok((status, body.to_bytes()))
}

/// An address that means "all of them" is reached by loopback.
fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}
