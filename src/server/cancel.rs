//! Sends one cancel request and waits until the server has taken it: the postmaster closes the connection
//! only after the signal was sent, so that a later query can't be hit.
//!
//! The request names a secret, so it goes the way of its session: over TLS if that does.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::connect::Route;
use super::encrypt::{Answer, encrypt};
use crate::net::dial::Dialer;
use crate::net::stream::Stream;
use crate::wire::startup::CancelKey;

/// For the whole of it.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Cancels what the backend of `key` behind `route` runs; returns when the server has closed the connection.
pub async fn send(dialer: &Dialer, route: &Route, key: &CancelKey) -> io::Result<()> {
    let exchange = async {
        let mut stream = open(dialer, route).await?;
        let mut request = Vec::new();
        key.write_request(&mut request);
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut rest = [0; 64];
        loop {
            match stream.read(&mut rest).await {
                Ok(1..) => {}
                Ok(0) => return Ok(()),
                // PostgreSQL ends TLS without a goodbye.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn open(dialer: &Dialer, route: &Route) -> io::Result<Stream> {
    let stream = route.host.dial(dialer, Instant::now() + DEADLINE).await?;
    match (stream, &route.way) {
        (Stream::Tcp(socket), Some(way)) => match encrypt(socket, way).await.map_err(io::Error::other)? {
            Answer::Encrypted(stream, _) => Ok(stream),
            Answer::Refused(_) => Err(io::Error::other("the server has no TLS any more")),
        },
        (stream, _) => Ok(stream),
    }
}
