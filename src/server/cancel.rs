//! Sends one cancel request and waits until the server has taken it: the postmaster closes the connection
//! only after the signal was sent, so that a later query can't be hit.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::upstream::Host;
use crate::net::dial::Dialer;
use crate::wire::startup::CancelKey;

/// For the whole of it.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Cancels what the backend of `key` at `host` runs; returns when the server has closed the connection.
pub async fn send(dialer: &Dialer, host: &Host, key: &CancelKey) -> io::Result<()> {
    let exchange = async {
        let deadline = Instant::now() + DEADLINE;
        let mut stream = match host {
            Host::Tcp { name, port } => dialer.tcp(name, *port, deadline).await?,
            Host::Unix { directory, port } => dialer.unix(directory, *port, deadline).await?,
        };
        let mut request = Vec::new();
        key.write_request(&mut request);
        stream.write_all(&request).await?;
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
