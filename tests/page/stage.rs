//! What stands in for pgweir where its answers have to be known: the page as it is served, and a status that a test sets.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use pgweir::observe::{page::Page, status::Status};

/// Serves as long as the test's process lives.
pub struct Stage {
    address: SocketAddr,
    status: Arc<Mutex<Option<Status>>>,
}

impl Stage {
    pub fn new(status: Status) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let status = Arc::new(Mutex::new(Some(status)));
        let shown = Arc::clone(&status);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A browser that has gone is no failure.
                let _ = stream.and_then(|stream| answer(stream, &shown));
            }
        });
        Self { address, status }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn show(&self, status: Status) {
        *self.status.lock().expect("no test has failed") = Some(status);
    }

    /// From now on it gives no status.
    pub fn stop(&self) {
        *self.status.lock().expect("no test has failed") = None;
    }
}

fn answer(mut stream: TcpStream, status: &Mutex<Option<Status>>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head)? > 0 {}
    let target = head.split(' ').nth(1).unwrap_or_default();
    let page = Page::new();
    let (code, headers, body) = match target.split_once('?').map_or(target, |(path, _)| path) {
        "/" => (200, page.headers().map(header).concat(), page.html().to_vec()),
        "/status.json" => match &*status.lock().expect("no test has failed") {
            Some(status) => {
                let json = serde_json::to_vec(status).expect("JSON");
                (200, "Content-Type: application/json\r\n".to_owned(), json)
            }
            None => (503, String::new(), Vec::new()),
        },
        _ => (404, String::new(), Vec::new()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {code} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

fn header<N: AsRef<str>, V: AsRef<[u8]>>((name, value): (N, V)) -> String {
    format!("{}: {}\r\n", name.as_ref(), String::from_utf8_lossy(value.as_ref()))
}
