//! F30, F116, F117: servers that lie, by script. Real servers are in `tests/login.rs`.

use tokio::net::UnixStream;

use super::*;
use crate::auth::secret::Secret;
use crate::server::upstream::{Host, Upstream};

fn upstream() -> Upstream {
    Upstream::default()
}

fn target(upstream: &Upstream) -> Target<'_> {
    Target {
        upstream,
        database: "shop",
        user: "ann",
        password: None,
        passfile: None,
        keyring: None,
        profile: &[],
        minor: 0,
        tls: None,
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

const OK: (u8, &[u8]) = (b'R', &[0, 0, 0, 0]);
const READY: (u8, &[u8]) = (b'Z', b"I");

fn script(messages: &[(u8, &[u8])]) -> Vec<u8> {
    messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect()
}

/// What comes of a server that says all this, whatever it hears, and then closes its side.
async fn meet(says: &[u8], target: &Target<'_>) -> Result<Established, ConnectError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let says = says.to_vec();
    let server = tokio::spawn(async move {
        // Fails where we hang up in the middle of it.
        let _ = theirs.write_all(&says).await;
        let _ = theirs.shutdown().await;
        let _ = theirs.read_to_end(&mut Vec::new()).await;
    });
    let route = Route { host: Host::Unix { directory: "/".into(), port: 1 }, way: None };
    let line = Line { stream: ours.into(), route, end_point: None };
    let outcome = log_in(line, target, &Deriver::new(1)).await;
    let outcome = outcome.inspect(|established| assert!(established.stream.peer().to_string() == "unix"));
    if outcome.is_err() {
        server.await.unwrap();
    }
    outcome
}

async fn violation(messages: &[(u8, &[u8])]) -> &'static str {
    let upstream = upstream();
    match meet(&script(messages), &target(&upstream)).await {
        Err(ConnectError::Protocol(what)) => what,
        other => panic!("{messages:?}: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_server_tells_is_kept() {
    let secret = [7; 256];
    let key = [&(-3i32).to_be_bytes()[..], &secret].concat();
    let says = script(&[
        (b'N', b"SNOTICE\0\0"),
        OK,
        (b'S', b"TimeZone\0UTC\0"),
        (b'S', b"application_name\0\0"),
        (b'K', &key),
        (b'S', b"TimeZone\0Europe/Berlin\0"),
        READY,
    ]);
    let upstream = upstream();
    let established = meet(&says, &target(&upstream)).await.unwrap();
    let pairs = [("TimeZone", "Europe/Berlin"), ("application_name", "")];
    assert_eq!(established.parameters, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(established.key, Some(CancelKey { pid: -3, secret: secret.into() }));
}

#[tokio::test]
async fn f30_a_key_is_optional() {
    let upstream = upstream();
    let established = meet(&script(&[OK, READY]), &target(&upstream)).await.unwrap();
    assert_eq!(established.key, None);
}

#[tokio::test]
async fn f30_messages_that_do_not_belong() {
    for messages in [
        &[(b'Z', b"I".as_slice())][..],
        &[(b'S', b"a\0b\0")],
        &[OK, OK],
        &[OK, (b'Z', b"X")],
        &[OK, (b'Z', b"T")],
        &[OK, (b'Z', b"")],
        &[OK, READY, READY],
        &[OK, READY, (b'D', b"\0\0")],
        &[OK, (b'D', b"\0\0")],
        &[OK, (b'K', b"\0\0\0\x01123")],
        &[OK, (b'K', &[1; 4 + 257])],
        &[OK, (b'K', &[1; 8]), (b'K', &[1; 8])],
        &[OK, (b'S', b"name without value\0")],
        &[OK, (b'S', b"name\0no end")],
        &[(b'v', b"\0\x03\0\0\0\0\0\0")],
        &[OK, (b'v', b"\0\x03\0\0\0\0\0\0")],
        &[(b'R', b"\0\0")],
        &[OK, (b'S', &[b'x'; MAX_MESSAGE])],
    ] {
        violation(messages).await;
    }
}

#[tokio::test]
async fn f30_lengths_and_totals_are_bounded() {
    let upstream = upstream();
    for length in [-1, 0, 3, i32::MIN, i32::MAX] {
        let says = [b"R".as_slice(), &length.to_be_bytes()].concat();
        assert!(matches!(meet(&says, &target(&upstream)).await, Err(ConnectError::Protocol(_))), "{length}");
    }
    let chatter = message(b'N', &[b'x'; 1_000]).repeat(2_000);
    assert!(matches!(meet(&chatter, &target(&upstream)).await, Err(ConnectError::Protocol(_))));
}

#[tokio::test]
async fn f30_errors_without_their_fields() {
    let upstream = upstream();
    for (body, expected) in [
        (&b"\0"[..], ("08006", "")),
        (b"", ("08006", "")),
        (
            b"SFATAL\0C53300\0Msorry, too many clients already\0\0",
            ("53300", "sorry, too many clients already"),
        ),
        (b"C57P03\0Mno end", ("57P03", "no end")),
    ] {
        match meet(&script(&[(b'E', body)]), &target(&upstream)).await {
            Err(ConnectError::Refused { sqlstate, message }) => {
                assert_eq!((sqlstate.as_str(), message.as_str()), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unreachable() {
    let upstream = upstream();
    for says in [&b""[..], b"R\0\0", &script(&[OK])] {
        assert!(matches!(meet(says, &target(&upstream)).await, Err(ConnectError::Unreachable(_))));
    }
}

#[tokio::test]
async fn f116_ok_in_the_middle_of_scram_is_not_believed() {
    let (upstream, secret) = (upstream(), Secret::new("secret"));
    let target = Target { password: Some(&secret), ..target(&upstream) };
    let says = script(&[(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"), OK, READY]);
    let outcome = meet(&says, &target).await;
    assert!(matches!(outcome, Err(ConnectError::Auth(Refusal::OutOfOrder))), "{outcome:?}");
}

#[tokio::test]
async fn f117_a_password_is_not_given_away() {
    let (upstream, secret) = (upstream(), Secret::new("secret"));
    let target = Target { password: Some(&secret), ..target(&upstream) };
    for ask in [&b"\0\0\0\x03"[..], b"\0\0\0\x05salt"] {
        let outcome = meet(&script(&[(b'R', ask), OK, READY]), &target).await;
        assert!(matches!(outcome, Err(ConnectError::Auth(Refusal::NotAllowed(_)))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_newer_protocol_is_spoken_if_the_server_does() {
    let upstream = upstream();
    let target = Target { minor: 2, ..target(&upstream) };
    let says = script(&[OK, READY]);
    assert_eq!(meet(&says, &target).await.unwrap().minor, 2);
    let says = script(&[(b'v', b"\0\x03\0\0\0\0\0\0"), OK, READY]);
    assert_eq!(meet(&says, &target).await.unwrap().minor, 0);
    let says = script(&[(b'v', b"\0\x03\0\x02\0\0\0\0"), OK, READY]);
    assert!(matches!(meet(&says, &target).await, Err(ConnectError::Protocol(_))));
}

#[test]
fn the_clients_parameters_come_behind_the_upstreams() {
    let own = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let parameters = own(&[("options", "-c a.b=1"), ("TimeZone", "UTC"), ("application_name", "pgweir")]);
    let upstream = Upstream { parameters, database: Some("real".into()), ..upstream() };
    let profile =
        own(&[("options", "-c a.b=2"), ("timezone", "Asia/Tokyo"), ("search_path", "x"), ("USER", "root")]);
    let sent = startup_parameters(&Target { profile: &profile, ..target(&upstream) });
    assert_eq!(
        sent.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(),
        [
            ("user", "ann"),
            ("database", "real"),
            ("options", "-c a.b=1 -c a.b=2"),
            ("TimeZone", "Asia/Tokyo"),
            ("application_name", "pgweir"),
            ("search_path", "x"),
            ("USER", "root"),
        ]
    );
}
