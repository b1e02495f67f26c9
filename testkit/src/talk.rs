//! A client's part in a test that reads like a dialogue: it says bytes and hears one short line.
//!
//! Whatever goes wrong here fails the test.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::SockRef;

use crate::client::{Client, PATIENCE};
use crate::frontend;
use crate::message::{Message, brief};

// -- saying

impl Client {
    /// Sends what is taken for certain.
    pub fn tell(&mut self, bytes: &[u8]) {
        self.send(bytes).expect("it reads");
    }

    /// Sends a simple query and gives the whole answer as one line.
    pub fn ask(&mut self, sql: &str) -> String {
        self.say(&frontend::query(sql))
    }

    /// Sends what ends in one ReadyForQuery and gives the whole answer as one line.
    pub fn say(&mut self, bytes: &[u8]) -> String {
        self.tell(bytes);
        brief(&self.until_ready())
    }

    /// The first column of the first row.
    pub fn value(&mut self, sql: &str) -> String {
        self.tell(&frontend::query(sql));
        let answer = self.until_ready();
        let row = answer.iter().find(|message| message.tag == b'D');
        row.unwrap_or_else(|| panic!("{sql}: {answer:?}")).columns().remove(0)
    }

    /// Sends a query and hears until ReadyForQuery or the end, be it within a message.
    pub fn outcome(&mut self, sql: &str) -> Vec<Message> {
        let mut heard = Vec::new();
        if self.send(&frontend::query(sql)).is_ok() {
            while let Ok(message) = self.receive() {
                let ready = message.tag == b'Z';
                heard.push(message);
                if ready {
                    break;
                }
            }
        }
        heard
    }
}

// -- hearing

impl Client {
    /// The next message; `None` when the connection is closed.
    pub fn try_next(&mut self) -> Option<Message> {
        match self.receive() {
            Ok(message) => Some(message),
            Err(error) => {
                let ended = matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
                assert!(ended, "nothing heard for {PATIENCE:?}: {error}");
                assert!(self.holds_nothing(), "the connection was closed within a message");
                None
            }
        }
    }

    fn next(&mut self) -> Message {
        self.try_next().expect("a message, but the connection was closed")
    }

    /// All messages up to the one of type `tag`.
    pub fn hear(&mut self, tag: u8) -> Vec<Message> {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last: &Message| last.tag != tag) {
            heard.push(self.next());
        }
        heard
    }

    pub fn until_ready(&mut self) -> Vec<Message> {
        self.hear(b'Z')
    }

    /// All messages until the connection is closed.
    pub fn until_closed(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.try_next()).collect()
    }

    /// Whether nothing has come so far.
    pub fn heard_nothing(&mut self) -> bool {
        self.stream().set_nonblocking(true).expect("a socket");
        let peeked = self.stream().peek(&mut [0]);
        self.stream().set_nonblocking(false).expect("a socket");
        self.holds_nothing() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Whether the other side has closed; what it says is lost.
    pub fn ended(&mut self) -> bool {
        self.stream().set_nonblocking(true).expect("a socket");
        let mut chunk = [0; 65536];
        let end = loop {
            match self.stream().read(&mut chunk) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        self.stream().set_nonblocking(false).expect("a socket");
        end
    }

    /// Reads up to `count` bytes, if there are any, and forgets them; how many it were.
    pub fn sip(&mut self, count: usize) -> usize {
        self.stream().set_nonblocking(true).expect("a socket");
        let read = self.stream().read(&mut vec![0; count]).unwrap_or(0);
        self.stream().set_nonblocking(false).expect("a socket");
        read
    }
}

// -- cancelling and leaving

impl Client {
    /// Sends a CancelRequest for this client's query, as libpq does: waits until the other side closes.
    pub fn cancel(&self) {
        self.canceller().until_closed();
    }

    /// A connection that has sent a CancelRequest for this client's query.
    pub fn canceller(&self) -> Self {
        let mut other = Self::silent(self.address());
        other.tell(&self.cancel_request());
        other
    }

    /// Says goodbye and waits until the other side has closed.
    pub fn terminate(mut self) {
        self.tell(&frontend::terminate());
        self.until_closed();
    }

    /// Ends the connection by RST, as a killed machine's kernel does.
    pub fn vanish(self) {
        SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// Ends the sending half, unless the other side was faster.
    pub fn half_close(&mut self) {
        let _ = self.stream().shutdown(Shutdown::Write);
    }

    /// The smallest receive buffer that the kernel gives: a reader that stops is felt soon.
    pub fn narrow(&self) {
        SockRef::from(self.stream()).set_recv_buffer_size(4096).expect("a socket");
    }

    /// Connected, nothing said.
    pub fn silent(address: SocketAddr) -> Self {
        Self::dial(address).expect("it accepts")
    }
}
