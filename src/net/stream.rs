//! One type for every kind of connection, so that the relay is written once.
//!
//! An idle connection must cost nothing: [`Stream::poll_read_ready`] waits for the first byte without a buffer.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::stream::TlsStream;
use super::unsent::unsent;

/// A connection to a client or a server. TLS is boxed, so that the plain ones stay small.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

// Thousands of idle clients hold one each.
const _: () = assert!(size_of::<Stream>() <= 48);

/// Calls the same method on whichever it is; TLS has its own way where one is given.
macro_rules! each {
    ($stream:expr, $socket:ident => $call:expr, $tls:ident => $sealed:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            Stream::Unix($socket) => $call,
            Stream::Tls($tls) => $sealed,
        }
    };
}

impl Stream {
    /// Ready when a read would not block: bytes, the end, or an error. Keeps one waker, the latest.
    ///
    /// May be ready by mistake; the read that follows then says "would block" and settles it.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_read_ready(cx), tls => tls.poll_read_ready(cx))
    }

    /// Reads what is there already, or fails with [`io::ErrorKind::WouldBlock`].
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => socket.try_read(buffer), tls => {
            let mut buffer = ReadBuf::new(buffer);
            match tls.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
                Poll::Ready(read) => read.map(|()| buffer.filled().len()),
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    /// Whether something that was written waits to be sent. It goes out with the next write, flush or read; who does
    /// none of them has to flush. Never so without TLS.
    pub fn is_sending(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_sending())
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Bytes that were written and that the peer's side has not taken yet; `None` where the kernel doesn't tell.
    /// Costs a few system calls.
    pub fn unsent(&self) -> Option<u64> {
        let of_kernel = |socket: &TcpStream| -> Option<u64> {
            Some(unsent(socket.local_addr().ok()?, socket.peer_addr().ok()?)?.into())
        };
        match self {
            Self::Tcp(socket) => of_kernel(socket),
            Self::Tls(tls) => Some(of_kernel(tls.socket())? + tls.unsent() as u64),
            // Little is buffered, so what it took tells enough.
            Self::Unix(_) => None,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(socket) => Peer::of(socket),
            Self::Tls(tls) => Peer::of(tls.socket()),
            Self::Unix(_) => Peer::Unix,
        }
    }

    /// Whose process is at the other end of a Unix socket, as it was when it connected.
    pub fn peer_uid(&self) -> Option<u32> {
        match self {
            Self::Unix(socket) => socket.peer_cred().ok().map(|credentials| credentials.uid()),
            Self::Tcp(_) | Self::Tls(_) => None,
        }
    }

    /// The error that the kernel keeps for this socket, if there is one.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        each!(self, socket => SockRef::from(socket).take_error(), tls => SockRef::from(tls.socket()).take_error())
    }
}

/// The other end of a connection, for logs and the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix,
    /// It went away before we could ask for its address.
    Gone,
}

impl Peer {
    pub fn of(socket: &TcpStream) -> Self {
        socket.peer_addr().map_or(Self::Gone, Self::Tcp)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Gone => f.write_str("gone"),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for Stream {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer), tls => tls.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes), tls => tls.poll_write(cx, &[IoSlice::new(bytes)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, slices), tls => tls.poll_write(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, socket => socket.is_write_vectored(), _tls => true)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx), tls => tls.poll_send(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx), tls => tls.poll_shutdown(cx))
    }
}
