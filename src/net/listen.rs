//! Accepting clients on any number of TCP and Unix sockets.
//!
//! Running out of file descriptors pauses accepting: the kernel would report the same connection again at once.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use super::dial::socket_name;
use super::options::TcpOptions;
use super::stream::Stream;

/// Connections that the kernel may hold until we accept them; it cuts this to its own limit.
const BACKLOG: i32 = 4_096;
/// The pause when no descriptor or memory is left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Whether a connection begins with the options of the socket that it came to: five system calls less for each.
const OPTIONS_ARE_INHERITED: bool = cfg!(target_os = "linux");
/// The port of a Unix socket's name where none is given.
const DEFAULT_PORT: u16 = 6432;

/// Where to listen, as in `listen = [...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp {
        /// An address or a name; `*` is every address of this machine.
        host: String,
        port: u16,
    },
    /// The socket is `DIRECTORY/.s.PGSQL.PORT`, where clients look for it.
    Unix { directory: PathBuf, port: u16 },
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected HOST:PORT or unix:DIRECTORY")]
pub struct BadAddress;

/// Reads `HOST:PORT`, `[IPV6]:PORT`, `unix:DIRECTORY` and `unix:DIRECTORY:PORT`.
impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let port_of = |text: &str| text.parse::<u16>().ok();
        if let Some(place) = text.strip_prefix("unix:") {
            let (directory, port) = match place.rsplit_once(':') {
                Some((directory, port)) => (directory, port_of(port).filter(|n| *n > 0).ok_or(BadAddress)?),
                None => (place, DEFAULT_PORT),
            };
            let directory = Some(directory).filter(|text| !text.is_empty()).ok_or(BadAddress)?;
            return Ok(Self::Unix { directory: directory.into(), port });
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadAddress)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match (bare.unwrap_or(host), port_of(port)) {
            (host, Some(port)) if !host.is_empty() && (bare.is_some() || !host.contains(':')) => {
                Ok(Self::Tcp { host: host.to_owned(), port })
            }
            _ => Err(BadAddress),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { directory, port } if *port == DEFAULT_PORT => {
                write!(f, "unix:{}", directory.display())
            }
            Self::Unix { directory, port } => write!(f, "unix:{}:{port}", directory.display()),
        }
    }
}

/// We can't listen there.
#[derive(Debug, Error)]
#[error("can't listen on {address}: {error}")]
pub struct BindError {
    pub address: Address,
    #[source]
    pub error: io::Error,
}

/// All the sockets that clients come to. Dropping it closes them and removes its Unix sockets' files.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<Listening>,
    /// Kept to be dropped.
    _files: Vec<SocketFile>,
    options: TcpOptions,
    /// Which socket is asked first: the others wait no longer than it.
    turn: usize,
    exhausted: bool,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens on every address, or on none. A name that has several addresses is listened to on each.
    pub async fn bind(addresses: &[Address], options: TcpOptions) -> Result<Self, BindError> {
        let (mut sockets, mut files) = (Vec::new(), Vec::new());
        for address in addresses {
            let bound = match address {
                Address::Tcp { host, port } => bind_tcp(host, *port, &options, &mut sockets).await,
                Address::Unix { directory, port } => bind_unix(directory, *port).map(|(listener, file)| {
                    sockets.push(Listening::Unix(listener));
                    files.push(file);
                }),
            };
            bound.map_err(|error| BindError { address: address.clone(), error })?;
        }
        Ok(Self { sockets, _files: files, options, turn: 0, exhausted: false })
    }

    /// The TCP addresses that it listens on, with the ports that the kernel chose.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter_map(|socket| match socket {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(_) => None,
        })
    }

    /// The next client. Waits out every error: none of them is a reason to stop listening.
    pub async fn accept(&mut self) -> Stream {
        loop {
            match std::future::poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(stream) => {
                    self.exhausted = false;
                    return stream;
                }
                Err(error) if is_exhaustion(&error) => {
                    if !self.exhausted {
                        tracing::warn!(%error, "can't accept more clients for now");
                    }
                    self.exhausted = true;
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // The client was gone before we came to it.
                Err(error) => tracing::debug!(%error, "a connection failed while it was accepted"),
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let count = self.sockets.len();
        for _ in 0..count {
            self.turn = (self.turn + 1) % count;
            let accepted = match &self.sockets[self.turn] {
                Listening::Tcp(listener) => listener.poll_accept(cx).map_ok(|(socket, _)| {
                    if !OPTIONS_ARE_INHERITED {
                        // Fails only for a socket that is dead already: its first read will tell.
                        let _ = self.options.apply(&socket);
                    }
                    socket.into()
                }),
                Listening::Unix(listener) => listener.poll_accept(cx).map_ok(|(socket, _)| socket.into()),
            };
            if accepted.is_ready() {
                return accepted;
            }
        }
        Poll::Pending
    }
}

/// No descriptor or no memory was left.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}

async fn bind_tcp(
    host: &str,
    port: u16,
    options: &TcpOptions,
    sockets: &mut Vec<Listening>,
) -> io::Result<()> {
    let addresses: Vec<SocketAddr> = match host {
        "*" => vec![([0; 16], port).into(), ([0; 4], port).into()],
        host => tokio::net::lookup_host((host, port)).await?.collect(),
    };
    let mut absent = io::Error::from(io::ErrorKind::NotFound);
    let before = sockets.len();
    for address in addresses {
        match bind_address(address, options) {
            Ok(listener) => sockets.push(Listening::Tcp(listener)),
            // One of several addresses: `localhost` is `::1` too, even where IPv6 is off.
            Err(error) if is_absent(&error) => absent = error,
            Err(error) => return Err(error),
        }
    }
    if sockets.len() > before { Ok(()) } else { Err(absent) }
}

fn bind_address(address: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    options.apply(&socket)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// This machine doesn't have the address, or not its family.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_unix(directory: &Path, port: u16) -> io::Result<(UnixListener, SocketFile)> {
    let path = directory.join(socket_name(port));
    let address = SockAddr::unix(&path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(&path, &address)? => {
            fs::remove_file(&path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::claim(path)?;
    // Who may log in is for authentication to say, as with PostgreSQL's own socket.
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o777))?;
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Whether the file is a socket that its process left behind: nobody listens there any more.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    // Does not block: with a full backlog it fails in another way than with nobody there.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    Ok(probe.connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// A Unix socket's file, removed with its listener unless another process has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    fn claim(path: PathBuf) -> io::Result<Self> {
        let inode = fs::symlink_metadata(&path)?.ino();
        Ok(Self { path, inode })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // If it can't be removed, the next start finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
