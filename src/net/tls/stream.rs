//! One TLS connection over TCP, as small as it can be while it rests.
//!
//! rustls's unbuffered interface leaves all buffers to us, and here each of them exists only while it holds
//! something: a connection at rest has none. (The buffered one keeps 4 KiB for good, and what it grew to.)
//!
//! ```text
//!   socket ──▶ incoming ──open──▶ plain ──▶ reader
//!   socket ◀── outgoing ◀──seal────────◀── writer
//! ```
//! Invariants: behind [`TlsStream::open`] `incoming` holds no whole record; a write is taken whole once it is sealed,
//! and no other is taken before `outgoing` is empty. What a writer left in `outgoing` goes out with its next write,
//! flush or read, whichever comes first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Plain bytes that are sealed at once.
const BATCH: usize = 64 << 10;
/// What a record adds to its plain bytes, at most.
const RECORD_OVERHEAD: usize = 64;
/// The shortest record that we send, but for the last of a write.
const SHORTEST_RECORD: usize = 8 << 10;
/// Room for the next read…
const NARROW: usize = 4 << 10;
/// …and for the one behind a read that filled it.
const WIDE: usize = 64 << 10;

pub struct TlsStream {
    socket: TcpStream,
    engine: Engine,
    /// Read from the socket; not yet a whole record.
    incoming: Vec<u8>,
    /// Opened; not yet read by anyone from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// Sealed; not yet sent from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    wide: bool,
    /// The peer said that nothing more comes.
    ended: bool,
    /// We did.
    closed: bool,
}

/// rustls has a type for each role.
pub(super) enum Engine {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl TlsStream {
    /// Shakes hands. `read`: what was read from the socket before.
    ///
    /// # Errors
    /// Of the socket, or of kind [`io::ErrorKind::InvalidData`]; the peer was told then.
    pub(super) async fn shake_hands(
        socket: TcpStream,
        engine: Engine,
        read: Vec<u8>,
    ) -> io::Result<Box<Self>> {
        let mut stream = Box::new(Self {
            socket,
            engine,
            incoming: read,
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            wide: false,
            ended: false,
            closed: false,
        });
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = self.open() {
                // An alert says why; it is sent if the socket takes it at once.
                let _ = self.open();
                let _ = self.poll_send(cx);
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_send(cx))?;
            if !self.engine.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    pub(super) fn state(&self) -> &CommonState {
        &self.engine
    }

    pub(in crate::net) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sealed bytes that the socket hasn't taken.
    pub(in crate::net) fn unsent(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Whether sealed bytes wait for the socket.
    pub(in crate::net) fn is_sending(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

// -- reading

impl TlsStream {
    pub(in crate::net) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_on(cx)?;
        if !self.plain.is_empty() || self.ended {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(cx)
    }

    pub(in crate::net) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.send_on(cx)?;
        while self.plain.is_empty() && !self.ended {
            ready!(self.poll_receive(cx))?;
            self.open()?;
        }
        let rest = &self.plain[self.taken..];
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.taken += now.len();
        if later.is_empty() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once. An end without the peer's goodbye is an error: something may be missing.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = if self.wide { WIDE } else { NARROW };
        self.incoming.reserve(room);
        let room = self.incoming.capacity() - self.incoming.len();
        let read = poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.incoming);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        let count = ready!(read)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.wide = count == room;
        Poll::Ready(Ok(()))
    }

    /// Opens all whole records. What rustls itself has to say to them is put into `outgoing`.
    fn open(&mut self) -> io::Result<()> {
        self.advance(Say::Nothing)
    }
}

// -- writing

impl TlsStream {
    pub(in crate::net) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let mut count = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(BATCH - count)];
            self.seal(part)?;
            count += part.len();
        }
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn seal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let before = self.outgoing.len();
        self.advance(Say::Plain(bytes))?;
        // Nothing was sealed: we said goodbye already.
        if self.outgoing.len() == before { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Sends on what waits; errors only tell what the caller would hear anyway.
    fn send_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ready when all that was sealed is sent.
    pub(in crate::net) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    pub(in crate::net) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) {
            self.advance(Say::Goodbye)?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

// -- the engine

/// What is to be sealed.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Plain(&'a [u8]),
    Goodbye,
}

/// What rustls wants now.
enum Step {
    /// To be asked again.
    Again,
    /// More bytes from the peer, or of ours.
    Done,
}

impl TlsStream {
    /// Opens what came, and seals what there is to say.
    fn advance(&mut self, say: Say<'_>) -> io::Result<()> {
        let mut opened = 0;
        loop {
            let incoming = &mut self.incoming[opened..];
            let mut ends =
                Ends { plain: &mut self.plain, outgoing: &mut self.outgoing, ended: &mut self.ended, say };
            let (discard, step) = match &mut self.engine {
                Engine::Client(engine) => ends.handle(engine.process_tls_records(incoming)),
                Engine::Server(engine) => ends.handle(engine.process_tls_records(incoming)),
            };
            opened += discard;
            if !matches!(step, Ok(Step::Again)) {
                self.discard(opened);
                return step.map(drop);
            }
        }
    }

    fn discard(&mut self, opened: usize) {
        if opened == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..opened);
        }
    }
}

/// Where bytes come from and go to in one step of rustls.
struct Ends<'a> {
    plain: &'a mut Vec<u8>,
    outgoing: &'a mut Vec<u8>,
    ended: &'a mut bool,
    say: Say<'a>,
}

impl Ends<'_> {
    /// Gives the number of bytes to discard, and what is next.
    fn handle<Data>(&mut self, status: UnbufferedStatus<'_, '_, Data>) -> (usize, io::Result<Step>) {
        let mut discard = status.discard;
        let step = status.state.map_err(invalid).and_then(|state| self.step(state, &mut discard));
        (discard, step)
    }

    fn step<Data>(&mut self, state: ConnectionState<'_, '_, Data>, discard: &mut usize) -> io::Result<Step> {
        match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    *discard += record.discard;
                    self.plain.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => {
                append(self.outgoing, 0, |room| match data.encode(room) {
                    Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed.required_size)),
                    other => other.map_err(|_| None),
                })?;
            }
            // It will be: behind what waits already.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *self.ended = true,
            ConnectionState::WriteTraffic(mut traffic) => {
                let needs = |error| match error {
                    EncryptError::InsufficientSize(needed) => Some(needed.required_size),
                    EncryptError::EncryptExhausted => None,
                };
                match self.say {
                    Say::Nothing => {}
                    Say::Plain(bytes) => {
                        let records = bytes.len().div_ceil(SHORTEST_RECORD);
                        let guess = bytes.len() + records * RECORD_OVERHEAD;
                        append(self.outgoing, guess, |room| traffic.encrypt(bytes, room).map_err(needs))?;
                    }
                    Say::Goodbye => {
                        let goodbye = |room: &mut [u8]| traffic.queue_close_notify(room).map_err(needs);
                        append(self.outgoing, RECORD_OVERHEAD, goodbye)?;
                    }
                }
                return Ok(Step::Done);
            }
            ConnectionState::BlockedHandshake | ConnectionState::Closed => return Ok(Step::Done),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(Step::Again)
    }
}

/// Appends what `fill` writes into a room of `guess` bytes, or of as many as it then asks for.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> io::Result<()> {
    let start = out.len();
    let mut room = guess;
    loop {
        out.resize(start + room, 0);
        match fill(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                out.truncate(start);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl std::ops::Deref for Engine {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Self::Client(engine) => engine,
            Self::Server(engine) => engine,
        }
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TlsStream").field(&self.socket).finish()
    }
}
