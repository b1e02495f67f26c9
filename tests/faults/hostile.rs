//! Servers that lie, played by a script (F30).

use std::sync::{Mutex, mpsc};

use pgweir_testkit::frontend::*;

use super::kit::fake::{self, Fake, Line};
use super::kit::{Client, House, brief, eventually};

/// What a client of pgweir hears, at login or for `select 1`, when the server plays `script`.
fn before(script: impl Fn(&mut Line) + Send + Sync + 'static) -> (House, String) {
    let server = Fake::new(move |line, _| script(line));
    let settings = "pool.queue_timeout = '1s'\npool.connect_timeout = '500ms'";
    let house = House::before_fake(server.address, 1, settings);
    let heard = match Client::connect(&house.place(), &[]) {
        Ok(mut client) => brief(&client.outcome("select 1")),
        Err(refusal) => format!("login: {refusal}"),
    };
    assert!(house.http("/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(house.metric("pgweir_panics_total"), 0);
    (house, heard)
}

#[test]
fn f30_server_lies_at_login() {
    let long = "x".repeat(1 << 20);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an error without fields", message(b'E', b"\0")),
        ("an error without a code", message(b'E', b"SFATAL\0\0")),
        ("an error that doesn't end", message(b'E', b"SFATAL\0C28000\0Mno")),
        ("a field of a megabyte", fake::error("FATAL", "28000", &long)),
        ("an unknown way to log in", message(b'R', &[0, 0, 0, 99])),
        ("half a request", message(b'R', &[0, 0])),
        ("an impossible length", raw(b'R', 3, b"")),
        ("an enormous length", raw(b'R', i32::MAX, b"")),
        (
            "SASL without a mechanism that we know",
            message(b'R', &[&[0, 0, 0, 10][..], b"PLAIN\0\0"].concat()),
        ),
        ("SASLFinal at once", message(b'R', &[&[0, 0, 0, 12][..], b"v=AAAA"].concat())),
        ("ReadyForQuery before a login", fake::ready(b'I')),
        ("a row before a login", fake::one("1")),
        ("ReadyForQuery in state X", [message(b'R', &[0; 4]), fake::ready(b'X')].concat()),
        ("an empty ReadyForQuery", [message(b'R', &[0; 4]), message(b'Z', b"")].concat()),
        ("a key of three bytes", [message(b'R', &[0; 4]), message(b'K', b"abc"), fake::ready(b'I')].concat()),
        (
            "a key of 300 bytes",
            [message(b'R', &[0; 4]), message(b'K', &[7; 304]), fake::ready(b'I')].concat(),
        ),
        ("NegotiateProtocolVersion of 4", message(b'v', &[0, 4, 0, 0, 0, 0, 0, 0])),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (what, said) in cases {
        let (_house, heard) = before(move |line| {
            if line.startup().is_some() {
                line.send(&said);
                line.until_closed();
            }
        });
        assert!(heard.starts_with("login: Error FATAL"), "{what}: {heard}");
    }
}

#[test]
fn f30_server_says_odd_but_legal_things_at_login() {
    let key = |length: usize| message(b'K', &vec![7; 4 + length]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no key", vec![]),
        ("a key of 256 bytes", key(256)),
        ("an unknown parameter", fake::parameter("future", "1")),
        ("a long parameter", fake::parameter("future", &"x".repeat(10_000))),
        ("a notice", message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0")),
    ];
    for (what, said) in cases {
        let (_house, heard) = before(move |line| {
            if line.startup().is_some() {
                line.send(
                    &[&message(b'R', &[0; 4])[..], &fake::parameters(), &said, &fake::ready(b'I')].concat(),
                );
                while let Some((tag, _)) = line.message() {
                    if tag == b'Q' {
                        line.send(&fake::one("1"));
                    }
                }
            }
        });
        assert_eq!(heard, "T D[1] C[SELECT 1] Z[I]", "{what}");
    }
}

#[test]
fn f30_server_lies_in_its_answer() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ReadyForQuery in state X", fake::ready(b'X')),
        ("a message that no client gets", message(b'!', b"abcd")),
        ("a login", message(b'R', &[0; 4])),
        ("BindComplete", message(b'2', b"")),
        ("CopyBothResponse (F90)", message(b'W', b"\0\0\0")),
        ("an impossible length", raw(b'T', 2, b"")),
        ("an error without fields, and the end", message(b'E', b"\0")),
    ];
    for (what, said) in cases {
        let (house, heard) = before(move |line| {
            if line.welcome() {
                while let Some((tag, _)) = line.message() {
                    if tag == b'Q' {
                        line.send(&said);
                        return;
                    }
                }
            }
        });
        assert!(heard.contains("E["), "{what}: {heard}");
        assert_eq!(house.servers("idle"), 0, "{what}");
    }
}

/// What nobody asked for.
fn strays() -> [(&'static str, Vec<u8>); 3] {
    [
        ("a row", fake::one("stray")),
        ("ReadyForQuery", fake::ready(b'I')),
        ("an unknown type", message(b'!', b"abcd")),
    ]
}

#[test]
fn f30_server_says_more_than_it_was_asked() {
    for (what, said) in strays() {
        let server = Fake::new(move |line, number| {
            if line.welcome() {
                while let Some((tag, body)) = line.message() {
                    let stray = if body.starts_with(b"select 1") { &said[..] } else { b"" };
                    if tag == b'Q' {
                        line.send(&[&fake::one(&format!("answer {number}")), stray].concat());
                    }
                }
            }
        });
        let house = House::before_fake(server.address, 1, "");
        let mut client = house.client();
        assert_eq!(client.ask("select 1"), "T D[answer 0] C[SELECT 1] Z[I]", "{what}");
        let mut next = house.client();
        assert_eq!(next.ask("select 2"), "T D[answer 1] C[SELECT 1] Z[I]", "{what}");
    }
}

#[test]
fn f30_server_speaks_unasked() {
    for (what, said) in strays() {
        let (speak, told) = mpsc::channel();
        let (spoke, heard) = mpsc::channel();
        let told = Mutex::new(told);
        let server = Fake::new(move |line, number| {
            if line.welcome() {
                while let Some((tag, body)) = line.message() {
                    if tag == b'Q' {
                        line.send(&fake::one(&format!("answer {number}")));
                    }
                    if body.starts_with(b"select 1") {
                        told.lock().expect("not poisoned").recv().expect("the test lives");
                        line.send(&said);
                        spoke.send(()).expect("the test lives");
                    }
                }
            }
        });
        let house = House::before_fake(server.address, 1, "");
        let mut client = house.client();
        assert_eq!(client.ask("select 1"), "T D[answer 0] C[SELECT 1] Z[I]", "{what}");
        eventually("its server rests", || house.servers("idle") == 1);
        speak.send(()).expect("the server lives");
        heard.recv().expect("the server lives");
        assert_eq!(client.ask("select 2"), "T D[answer 1] C[SELECT 1] Z[I]", "{what}");
        house.all_is_well();
    }
}

#[test]
fn f30_errors_may_lack_anything() {
    for body in [&b"\0"[..], b"", b"SERROR\0\0", b"Mno end", b"CBAD\0\0"] {
        let said = [message(b'E', body), fake::ready(b'I')].concat();
        let (house, heard) = before(move |line| {
            if line.welcome() {
                while line.message().is_some() {
                    line.send(&said);
                }
            }
        });
        assert!(heard.starts_with("E[") && heard.ends_with("] Z[I]"), "{body:?}: {heard}");
        assert_eq!(house.metric("pgweir_protocol_desync_total"), 0, "{body:?}");
    }
}
