//! Sends one cancel request and waits until the server has taken it: the postmaster closes the connection
//! only after the signal was sent, so that a later query can't be hit.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::connection::BackendKey;
use super::upstream::Host;
use crate::net::dial;

/// For the whole of it.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The request code of a CancelRequest: "1234" and "5678".
const CANCEL: u32 = 80_877_102;

/// Cancels what the backend of `key` at `host` runs; returns when the server has closed the connection.
pub async fn send(host: &Host, key: &BackendKey) -> io::Result<()> {
    let exchange = async {
        let mut stream = dial::dial(host, Instant::now() + DEADLINE).await?;
        stream.write_all(&request(key)).await?;
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn request(key: &BackendKey) -> Vec<u8> {
    let length = 12 + key.secret.len();
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&(length as u32).to_be_bytes());
    message.extend_from_slice(&CANCEL.to_be_bytes());
    message.extend_from_slice(&key.pid.to_be_bytes());
    message.extend_from_slice(&key.secret);
    message
}
