//! Peers that lie about TLS, before it begins.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use pgweir::net::tls::outbound::{Mode, Settings};
use pgweir::server::connect::ConnectError;

use crate::authority::{Authority, Folder};
use crate::clients::{House, hello, startup};
use crate::servers::{MODES, connect, upstream};

const SSL: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
const GSS: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x30];
const REFUSAL: &[u8] = b"E\0\0\0\x25SFATAL\0C53300\0Mthe text of nobody\0\0";

/// A server that answers the first bytes of each connection with this, and then hangs up. Gives its port.
fn answers(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            // Whoever goes first is wrong in some of the cases.
            let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(answer));
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    port
}

/// F110: no answer to SSLRequest but a clean `S` leads to TLS, and none to a login in plain text where TLS is required.
#[tokio::test]
async fn f110_a_server_that_answers_ssl_request_with_something_else() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    let ca_file = Some(folder.write("ca.crt", &ca.certificate()));
    for answer in [&b"N"[..], b"E", REFUSAL, b"X", b"", b"S", b"Sx", b"SS", b"SR\0\0\0\x08\0\0\0\0", b"NN"] {
        let port = answers(answer);
        for mode in MODES.into_iter().filter(|mode| *mode >= Mode::Require) {
            let tls = Settings { mode: Some(mode), ca_file: ca_file.clone(), ..Settings::default() };
            match connect(&upstream("127.0.0.1", port, tls), "secret").await {
                Err(error @ (ConnectError::NoTls | ConnectError::Tls(_))) => {
                    assert!(!error.to_string().contains("nobody"), "{error}");
                }
                other => panic!("{}: {other:?}", answer.escape_ascii()),
            }
        }
    }
}

/// F109: nothing may stand behind a request for encryption, and each is made once.
#[test]
fn f109_requests_for_encryption() {
    let house = House::new("");
    let meet = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(house.pooler.address()).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for bytes in
        [[&SSL[..], &startup()].concat(), [&SSL[..], b"\x16"].concat(), [&SSL[..], &SSL[..]].concat()]
    {
        let answer = meet(&bytes);
        assert!(answer.starts_with('E') && answer.contains("08P01"), "{answer:?}");
    }
    // GSS may be asked for first; then TLS is offered. In the other order there is nothing left to ask.
    let mut stream = TcpStream::connect(house.pooler.address()).unwrap();
    let mut answer = [0; 1];
    stream.write_all(&GSS).and_then(|()| stream.read_exact(&mut answer)).unwrap();
    assert_eq!(answer, *b"N");
    stream.write_all(&SSL).and_then(|()| stream.read_exact(&mut answer)).unwrap();
    assert_eq!(answer, *b"S");
    // Plain text where the handshake is due.
    stream.write_all(&startup()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.first() != Some(&b'R'), "{rest:?}");
    // Inside of TLS there is no TLS to ask for.
    for request in [SSL, GSS] {
        let mut stream = hello(&house, &[b"postgresql"], None);
        stream.write_all(&request).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(String::from_utf8_lossy(&answer).contains("08P01"), "{answer:?}");
    }
}

/// F24, F111: what isn't TLS, half a hello, an old hello: all end, and the next client is served.
#[test]
fn f24_f111_half_handshakes_do_no_harm() {
    let house = House::new("");
    let mut waiting = Vec::new();
    for bytes in [&b"\x16"[..], b"\x16\x03\x01", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(house.pooler.address()).unwrap();
            stream.write_all(bytes).unwrap();
            waiting.push(stream);
        }
    }
    assert_eq!(house.psql("localhost", "sslmode=require").as_deref(), Ok("in"));
    for bytes in
        [&b"\x16\x03\x01\0\x05GET /"[..], b"\x16\xff\xff\xff\xffxxxxxxxxxxxxx", b"\x15\x03\x01\0\x02\x02\x28"]
    {
        let mut stream = TcpStream::connect(house.pooler.address()).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(house.psql("localhost", "sslmode=require").as_deref(), Ok("in"));
}
