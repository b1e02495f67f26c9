//! The first words of a handshake, from either side: what pgweir tells a server, and versions that nobody should speak.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use pgweir::net::tls::outbound::{Mode, Settings};
use pgweir::server::connect::ConnectError;
use rustls::server::Acceptor;

use crate::clients::House;
use crate::servers::{connect, upstream};

/// A server that reads one hello and then hangs up: the names that stood in it, of the host and of the protocols.
fn hello_to(host: &str, settings: Settings) -> (Option<String>, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let direct = settings.direct;
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        if !direct {
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(b"S").unwrap();
        }
        let mut acceptor = Acceptor::default();
        loop {
            acceptor.read_tls(&mut stream).unwrap();
            let Some(accepted) = acceptor.accept().map_err(|(error, _)| error).unwrap() else { continue };
            let hello = accepted.client_hello();
            let protocols = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect());
            return (hello.server_name().map(str::to_owned), protocols.unwrap_or_default());
        }
    });
    let upstream = upstream(host, port, settings);
    let login = async { connect(&upstream, "secret").await.unwrap_err() };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(login);
    heard.join().unwrap()
}

/// Proxies of cloud services find a database by the name that stands there.
#[test]
fn a_server_is_told_which_host_is_meant() {
    for direct in [false, true] {
        let settings = Settings { mode: Some(Mode::Require), direct, ..Settings::default() };
        let (name, protocols) = hello_to("localhost", settings.clone());
        assert_eq!(name.as_deref(), Some("localhost"));
        assert_eq!(protocols, [b"postgresql"]);
        assert_eq!(hello_to("127.0.0.1", settings.clone()).0, None, "an address is no name");
        let server_name = Some("db.example.com".to_owned());
        let (name, _) = hello_to("127.0.0.1", Settings { server_name, ..settings });
        assert_eq!(name.as_deref(), Some("db.example.com"));
    }
}

/// One message of a handshake as a record of TLS 1.1.
fn old(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = |length: usize| (length as u32).to_be_bytes();
    let message = [&[kind][..], &length(body.len())[1..], body].concat();
    [&[0x16, 3, 2][..], &length(message.len())[2..], &message].concat()
}

/// TLS 1.1, with a suite of its time.
fn old_hello(kind: u8) -> Vec<u8> {
    let random = [7; 32];
    let suites: &[u8] = if kind == 1 { &[0, 2, 0xc0, 0x13, 1, 0] } else { &[0xc0, 0x13, 0] };
    old(kind, &[&[3, 2][..], &random, &[0], suites].concat())
}

#[test]
fn f111_a_client_of_tls_1_1_is_turned_away() {
    let house = House::new("");
    let mut stream = TcpStream::connect(house.pooler.address()).unwrap();
    stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"S");
    stream.write_all(&old_hello(1)).unwrap();
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    // An alert, a fatal one, and nothing else.
    assert!(told.len() == 7 && told[0] == 0x15 && told[5] == 2, "{told:?}");
    assert_eq!(house.psql("localhost", "sslmode=require").as_deref(), Ok("in"));
}

#[tokio::test]
async fn f111_a_server_of_tls_1_1_is_not_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(&old_hello(2)).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    });
    let tls = Settings { mode: Some(Mode::Require), direct: true, ..Settings::default() };
    let error = connect(&upstream("127.0.0.1", port, tls), "secret").await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    assert!(!server.join().unwrap().windows(6).any(|bytes| bytes == b"secret"));
}
