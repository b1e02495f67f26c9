//! A blocking client that sends exactly what it is told and reads exactly what is due.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message as Auth};
use postgres_protocol::message::frontend;

use crate::message::Message;

/// A reply that takes longer will never come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Place {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
    pub database: String,
}

/// What a request that was sent awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    Query,
    FunctionCall,
    CopyEnd,
}

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    address: SocketAddr,
    read: Vec<u8>,
    pid: i32,
    key: Vec<u8>,
    due: VecDeque<Due>,
    skipping: bool,
    copying: bool,
}

impl Client {
    /// Connects and logs in; `parameters` are further startup parameters.
    pub fn connect(place: &Place, parameters: &[(String, String)]) -> io::Result<Self> {
        Self::greeted(place, parameters).map(|(client, _)| client)
    }

    /// [`connect`](Self::connect), with all that was said to greet the client.
    pub fn greeted(place: &Place, parameters: &[(String, String)]) -> io::Result<(Self, Vec<Message>)> {
        let mut client = Self::dial(place.address)?;
        let mut startup = BytesMut::new();
        let own = [("user", place.user.as_str()), ("database", place.database.as_str())];
        let more = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(own.into_iter().chain(more), &mut startup)?;
        client.send(&startup)?;
        let welcome = client.log_in(place)?;
        Ok((client, welcome))
    }

    pub(crate) fn dial(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            address,
            read: Vec::new(),
            pid: 0,
            key: Vec::new(),
            due: VecDeque::new(),
            skipping: false,
            copying: false,
        })
    }

    /// What follows a StartupMessage that has been sent; all that is heard.
    ///
    /// # Errors
    /// `PermissionDenied` with the error's line, when the login is refused.
    pub fn log_in(&mut self, place: &Place) -> io::Result<Vec<Message>> {
        let mut heard = Vec::new();
        loop {
            let message = self.receive()?;
            match message.tag {
                b'R' => self.authenticate(&message, place)?,
                b'K' => {
                    self.pid = message.body[..4].try_into().map_or(0, i32::from_be_bytes);
                    self.key = message.body[4..].to_vec();
                }
                b'E' => return Err(io::Error::new(io::ErrorKind::PermissionDenied, message.line())),
                _ => {}
            }
            let ready = message.tag == b'Z';
            heard.push(message);
            if ready {
                return Ok(heard);
            }
        }
    }

    fn authenticate(&mut self, message: &Message, place: &Place) -> io::Result<()> {
        let mut raw = BytesMut::from(&b"R"[..]);
        raw.extend_from_slice(&(message.body.len() as u32 + 4).to_be_bytes());
        raw.extend_from_slice(&message.body);
        match Auth::parse(&mut raw)? {
            Some(Auth::AuthenticationSasl(body)) => self.scram(&body, place),
            Some(Auth::AuthenticationOk) => Ok(()),
            _ => Err(io::Error::other("this client knows SCRAM and trust only")),
        }
    }

    fn scram(&mut self, body: &AuthenticationSaslBody, place: &Place) -> io::Result<()> {
        let mechanism = body.mechanisms().next()?.unwrap_or_default().to_owned();
        let mut scram = ScramSha256::new(place.password.as_bytes(), ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(&mechanism, scram.message(), &mut out)?;
        self.send(&out)?;
        let challenge = self.receive()?;
        scram.update(challenge.body.get(4..).unwrap_or_default())?;
        out.clear();
        frontend::sasl_response(scram.message(), &mut out)?;
        self.send(&out)?;
        let last = self.receive()?;
        if last.tag != b'R' {
            return Err(io::Error::other(last.line()));
        }
        scram.finish(last.body.get(4..).unwrap_or_default())
    }

    /// The connection itself, for what no client would do.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether every byte that was read has been given out.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.read.is_empty()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and notes what it awaits.
    pub fn request(&mut self, bytes: &[u8], due: Option<Due>) -> io::Result<()> {
        if let Some(due) = due
            && (!self.skipping || due == Due::Sync)
            && !(self.copying && due == Due::Sync)
        {
            self.skipping = false;
            self.copying &= due != Due::CopyEnd;
            self.due.push_back(due);
        }
        self.send(bytes)
    }

    /// Reads all that is due; stops where the server waits for copy data.
    pub fn settle(&mut self) -> io::Result<Vec<Message>> {
        let mut heard = Vec::new();
        self.settle_into(&mut heard).map(|()| heard)
    }

    /// [`settle`](Self::settle) for those who want what was heard before an error, too.
    pub fn settle_into(&mut self, heard: &mut Vec<Message>) -> io::Result<()> {
        loop {
            while self.due.front() == Some(&Due::CopyEnd) {
                self.due.pop_front();
            }
            if self.due.is_empty() || (self.copying && !self.due.contains(&Due::CopyEnd)) {
                return Ok(());
            }
            let message = self.receive()?;
            self.follow(message.tag);
            heard.push(message);
        }
    }

    /// Reads until a message of this type came.
    pub fn until(&mut self, tag: u8) -> io::Result<Vec<Message>> {
        let mut heard = Vec::new();
        self.until_into(tag, &mut heard).map(|()| heard)
    }

    /// [`until`](Self::until) for those who want what was heard before an error, too.
    pub fn until_into(&mut self, tag: u8, heard: &mut Vec<Message>) -> io::Result<()> {
        loop {
            let message = self.receive()?;
            self.follow(message.tag);
            let found = message.tag == tag;
            heard.push(message);
            if found {
                return Ok(());
            }
        }
    }

    fn follow(&mut self, tag: u8) {
        let Some(&front) = self.due.front() else { return };
        let done = match (front, tag) {
            (Due::Query | Due::Sync | Due::FunctionCall, b'Z') => true,
            (Due::Query | Due::Execute, b'G') => {
                while self.due.get(1) == Some(&Due::Sync) {
                    self.due.remove(1);
                }
                self.copying = !self.due.contains(&Due::CopyEnd);
                false
            }
            (Due::Query | Due::Sync | Due::FunctionCall, b'E') => {
                self.copying = false;
                false
            }
            (_, b'E') => {
                self.copying = false;
                let sync = self.due.iter().position(|due| *due == Due::Sync);
                self.skipping = sync.is_none();
                self.due.drain(..sync.unwrap_or(self.due.len()));
                false
            }
            (Due::Parse, b'1') | (Due::Bind, b'2') | (Due::Close, b'3') => true,
            (Due::Describe, b'T' | b'n') => true,
            (Due::Execute, b'C' | b'I' | b's') => {
                self.copying = false;
                true
            }
            _ => false,
        };
        if done {
            self.due.pop_front();
        }
    }

    pub fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(&[tag, a, b, c, d]) = self.read.first_chunk::<5>() {
                let total = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
                if self.read.len() >= total {
                    let rest = self.read.split_off(total);
                    let message = std::mem::replace(&mut self.read, rest);
                    return Ok(Message { tag, body: message[5..].to_vec() });
                }
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.read.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// The request that cancels what this client runs.
    pub fn cancel_request(&self) -> Vec<u8> {
        let mut request = Vec::new();
        request.extend_from_slice(&(12 + self.key.len() as u32).to_be_bytes());
        request.extend_from_slice(&80_877_102_u32.to_be_bytes());
        request.extend_from_slice(&self.pid.to_be_bytes());
        request.extend_from_slice(&self.key);
        request
    }
}

/// Sends a cancel request and waits until it was taken.
pub fn cancel(address: SocketAddr, request: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(())
}
