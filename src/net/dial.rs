//! Opening connections to servers.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::options::TcpOptions;
use super::resolve::Resolver;
use super::stream::Stream;

/// Opens connections. Shared by all that dial.
#[derive(Debug, Default)]
pub struct Dialer {
    resolver: Resolver,
    options: TcpOptions,
}

impl Dialer {
    pub fn new(options: TcpOptions) -> Self {
        Self { resolver: Resolver::default(), options }
    }

    /// Connects to the first address of `name` that accepts. Each gets its share of the time that is left.
    ///
    /// # Errors
    /// The last address's, [`io::ErrorKind::TimedOut`] at the deadline.
    pub async fn tcp(&self, name: &str, port: u16, deadline: Instant) -> io::Result<Stream> {
        let addresses = within(deadline, self.resolver.resolve(name, port)).await?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let attempts = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for (left, address) in (1..=attempts).rev().zip(addresses) {
            match within(share(deadline, left), self.connect(address)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let socket = TcpStream::connect(address).await?;
        self.options.apply(&socket)?;
        Ok(socket.into())
    }

    /// Connects to PostgreSQL's socket for `port` in `directory`.
    pub async fn unix(&self, directory: &Path, port: u16, deadline: Instant) -> io::Result<Stream> {
        let path = directory.join(socket_name(port));
        Ok(within(deadline, UnixStream::connect(path)).await?.into())
    }
}

/// What PostgreSQL calls its Unix socket.
pub fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

/// The deadline of the next of `left` attempts that have to share the time until `deadline`.
pub fn share(deadline: Instant, left: u32) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / left.max(1)
}

async fn within<T>(deadline: Instant, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, UnixListener};

    use super::super::stream::Peer;
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn connects_by_name_and_by_directory() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer::default();
        for name in ["localhost", "127.0.0.1"] {
            let stream = dialer.tcp(name, port, soon()).await.unwrap();
            assert_eq!(stream.peer(), Peer::Tcp(listener.local_addr().unwrap()));
        }
        let directory = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let stream = dialer.unix(directory.path(), 5432, soon()).await.unwrap();
        assert_eq!(stream.peer(), Peer::Unix);
    }

    #[tokio::test]
    async fn f57_a_connect_that_hangs_ends_at_its_deadline() {
        // Nobody accepts, and the backlog is full: further connects hang.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let dialer = Dialer::default();
        let mut waiting = Vec::new();
        let error = loop {
            let deadline = Instant::now() + Duration::from_millis(200);
            match dialer.tcp("127.0.0.1", port, deadline).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn f59_a_missing_socket_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = Dialer::default().unix(directory.path(), 5432, soon()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
