//! Requests over real sockets, as a scraper, a probe and a nuisance send them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::*;
use crate::client::limits::ClientLimits;
use crate::client::pinned::PinnedClient;
use crate::observe::process::About;
use crate::observe::readiness::Readiness;
use crate::observe::watch::Watch;
use crate::pool::snapshot::PoolSnapshot;
use crate::session::pins::Reason;

struct Server {
    address: SocketAddr,
    board: Arc<Board>,
    _serving: Serving,
}

fn server() -> Server {
    let about = About { started: Duration::from_secs(1), limits: ClientLimits::default() };
    let pool =
        PoolSnapshot { database: "shop".to_owned(), user: "app".to_owned(), ..PoolSnapshot::default() };
    let board = Arc::new(Board {
        about,
        counters: Arc::default(),
        readiness: Arc::new(Readiness::new(false)),
        pools: Box::new(move || vec![pool.clone()]),
        watch: Arc::new(Watch::new(Instant::now(), Duration::from_secs(60), Arc::default())),
        servers: Box::new(Vec::new),
        pinned: Box::new(|| [3, 5].map(pinned).to_vec()),
        dropped_lines: None,
    });
    let http = Http::bind("127.0.0.1:0").expect("a free port");
    let address = http.address();
    let _serving = http.serve(Arc::clone(&board)).expect("a thread");
    Server { address, board, _serving }
}

fn pinned(seconds: u64) -> PinnedClient {
    PinnedClient {
        client: 4_194_304,
        server: 77,
        database: "shop".to_owned(),
        user: "app".to_owned(),
        application: "\"quoted\"".to_owned(),
        reasons: vec![Reason::AdvisoryLock, Reason::Listen],
        held_for: Duration::from_secs(seconds),
    }
}

/// Sends `request` and reads to the end of the connection.
fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

/// Status line's code, head, body.
fn ask(server: &Server, method: &str, target: &str) -> (u16, String, String) {
    let answer = raw(server, format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn the_routes_answer() {
    let server = server();
    let (status, head, body) = ask(&server, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("\npgweir_pool_size{database=\"shop\",user=\"app\"} 0\n"), "{body}");
    let (status, head, body) = ask(&server, "GET", "/status.json?since=7");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let status: status::Status = serde_json::from_str(&body).expect("the contract");
    assert_eq!(status.contract, status::CONTRACT);
    for path in ["/healthz", "/livez"] {
        assert_eq!(ask(&server, "GET", path).0, 200, "{path}");
    }
    assert_eq!(ask(&server, "GET", "/nothing").0, 404);
    assert_eq!(ask(&server, "GET", "/metrics/").0, 404);
}

#[test]
fn the_page_may_do_no_more_than_it_does() {
    let (status, head, body) = ask(&server(), "GET", "/");
    assert_eq!(status, 200);
    assert!(body.starts_with("<!doctype html>"), "{body}");
    assert_eq!(head.matches("content-type: ").count(), 1, "{head}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "x-frame-options: deny",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
}

#[test]
fn pinned_clients_are_listed_the_longest_first() {
    let (status, head, body) = ask(&server(), "GET", "/pins.json");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let pins = page["pins"].as_array().expect("a list");
    assert_eq!(pins.iter().map(|pin| pin["held_s"].as_f64().unwrap()).collect::<Vec<_>>(), [5.0, 3.0]);
    assert_eq!(pins[0]["application"], "\"quoted\"");
    assert_eq!(pins[0]["client"], 4_194_304);
    assert_eq!(pins[0]["reasons"][0]["reason"], "advisory_lock");
    assert!(pins[0]["reasons"][1]["hint"].as_str().unwrap().contains("listen"));
}

#[test]
fn head_has_the_head_alone() {
    let (status, head, body) = ask(&server(), "HEAD", "/healthz");
    assert_eq!((status, &*body), (200, ""));
    assert!(head.contains("content-length: 3"), "{head}");
}

#[test]
fn other_methods_are_refused_with_what_is_allowed() {
    let server = server();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let (status, head, _) = ask(&server, method, "/metrics");
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    assert_eq!(ask(&server, "POST", "/nothing").0, 404);
}

#[test]
fn readiness_follows_the_process_and_health_does_not() {
    let server = server();
    let ready = |target| {
        let (status, _, body) = ask(&server, "GET", target);
        (status, body.trim_end().to_owned())
    };
    assert_eq!(ready("/readyz"), (503, "not yet listening".to_owned()));
    server.board.readiness.accepting();
    assert_eq!(ready("/readyz"), (200, "ready".to_owned()));
    assert_eq!(ready("/readyz?startup").0, 503);
    server.board.readiness.upstream(true);
    assert_eq!(ready("/readyz?startup").0, 200);
    assert_eq!(ready("/readyz?a=b&startup=1").0, 200);
    server.board.readiness.draining();
    assert_eq!(ready("/readyz"), (503, "draining".to_owned()));
    assert_eq!(ready("/healthz").0, 200);
    assert_eq!(ready("/metrics").0, 200);
}

#[test]
fn a_connection_carries_one_request() {
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(raw(&server(), &request).matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn a_head_without_end_is_refused() {
    let mut request = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
    request.resize(4 * MAX_REQUEST_BYTES, b'x');
    let server = server();
    let answer = raw(&server, &request);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
}

#[test]
fn junk_is_refused_and_the_server_lives() {
    let server = server();
    for junk in [&b"\x16\x03\x01\x02\x00"[..], b"\0\0\0\x08\x04\xd2\x16\x2f", b"\r\n\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(server.address).expect("the server listens");
        let _ = stream.write_all(junk);
    }
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
}

#[test]
fn silent_connections_below_the_bound_keep_nobody_out() {
    let server = server();
    let silent: Vec<_> = (1..MAX_CONNECTIONS).map(|_| TcpStream::connect(server.address)).collect();
    assert!(silent.iter().all(Result::is_ok));
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
}

#[test]
fn who_finds_all_seats_taken_comes_in_when_one_leaves() {
    let server = server();
    let mut silent: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(server.address)).collect();
    let mut outside = TcpStream::connect(server.address).expect("the kernel takes it");
    outside.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the kernel takes it");
    silent.pop();
    let mut answer = String::new();
    outside.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn f74_a_port_in_use_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let error = Http::bind(&address).expect_err("the port is taken");
    assert!(error.to_string().starts_with(&format!("can't serve HTTP on {address}: ")), "{error}");
    assert!(Http::bind("no port").is_err());
}

#[test]
fn dropping_the_server_ends_it() {
    let Server { address, _serving, .. } = server();
    drop(_serving);
    assert!(TcpStream::connect(address).is_err());
}
