//! A server that says whatever a test's script says.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use pgweir_testkit::client::PATIENCE;
use pgweir_testkit::frontend::message;

/// Accepts connections until it is dropped; each has a thread for its script.
pub struct Fake {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Fake {
    /// `script` gets each connection and its number, from 0.
    pub fn new(script: impl Fn(&mut Line, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (accepted, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end, script) = (accepted.clone(), over.clone(), Arc::new(script));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::Relaxed);
                let script = script.clone();
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
                thread::spawn(move || script(&mut Line(stream), number));
            }
        });
        Self { address, accepted, over }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// One connection of a fake server. Its peer may leave at any time, so nothing here fails.
pub struct Line(TcpStream);

impl Line {
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Reads the StartupMessage; `None` if it is something else, such as a CancelRequest.
    pub fn startup(&mut self) -> Option<Vec<u8>> {
        let body = self.body()?;
        (body.get(..2) == Some(&[0, 3])).then_some(body)
    }

    /// The next message: its type and body. `None` at the end and for Terminate.
    pub fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut tag = [0];
        self.0.read_exact(&mut tag).ok()?;
        (tag != *b"X").then_some((tag[0], self.body()?))
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.0.read_exact(&mut body).ok()?;
        Some(body)
    }

    /// Waits for the peer's end.
    pub fn until_closed(&mut self) {
        while self.message().is_some() {}
    }

    /// Logs the peer in, as a PostgreSQL 15 that asks for no password. False if it didn't want to.
    pub fn welcome(&mut self) -> bool {
        if self.startup().is_none() {
            return false;
        }
        self.send(&welcome());
        true
    }
}

/// AuthenticationOk, parameters, BackendKeyData, ReadyForQuery.
pub fn welcome() -> Vec<u8> {
    [message(b'R', &[0; 4]), parameters(), message(b'K', &[0, 0, 1, 0, 1, 2, 3, 4]), ready(b'I')].concat()
}

pub fn parameters() -> Vec<u8> {
    let parameters = [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("application_name", ""),
        ("is_superuser", "off"),
        ("session_authorization", "app"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("default_transaction_read_only", "off"),
        ("in_hot_standby", "off"),
    ];
    parameters.iter().flat_map(|(name, value)| parameter(name, value)).collect()
}

pub fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

pub fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

/// ErrorResponse with severity, code and text.
pub fn error(severity: &str, code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").as_bytes())
}

/// A row of one text column, and its end.
pub fn one(value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("short").to_be_bytes();
    let column =
        [&b"v\0"[..], &[0; 6], &25u32.to_be_bytes(), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]].concat();
    let row = [&[0, 1][..], &length, value.as_bytes()].concat();
    [
        message(b'T', &[&[0, 1][..], &column].concat()),
        message(b'D', &row),
        message(b'C', b"SELECT 1\0"),
        ready(b'I'),
    ]
    .concat()
}
