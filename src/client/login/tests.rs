//! Clients that misbehave, byte by byte. Real clients are in `tests/login.rs`.

use std::collections::HashMap;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::*;
use crate::auth::hba::{Allowed, Hba};
use crate::auth::secret::Secret;
use crate::auth::source::Source;
use crate::auth::users::Users;
use crate::client::entrance::Entrance;
use crate::client::limits::ClientLimits;
use crate::wire::error::ErrorFields;
use crate::wire::sqlstate::SqlState;

fn rules(method: Method, timeout: Duration) -> Arc<Rules> {
    let secrets = HashMap::from([("ann".to_owned(), Secret::new("secret"))]);
    let roster = Roster::new(&Users { secrets, ..Users::default() }, [1; 32]).unwrap();
    let (roster, deriver) = (Arc::new(roster), Arc::new(Deriver::new(1)));
    let admission = Arc::new(Admission::new(Hba::of_method(method, Allowed::default())));
    Arc::new(Rules {
        admission,
        roster,
        lookups: Lookups::default(),
        keyring: Arc::default(),
        deriver,
        timeout,
        tls: None,
        counters: Arc::default(),
        held_back: HeldBack::default(),
    })
}

/// With a place that nobody takes away.
async fn receive(stream: Stream, rules: &Rules) -> Result<Arrival, Fault> {
    let entrance = Entrance::new(&ClientLimits::default());
    let mut slot = entrance.enter(Source::Unix, Instant::now().into_std()).unwrap();
    super::receive(stream, rules, &mut slot).await
}

const LONG: Duration = Duration::from_secs(60);

fn startup(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    startup::write_startup(&mut out, 0, pairs.iter().copied());
    out
}

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

/// Sends `bytes` at once; gives what came of it (a cancel key, nothing, a refusal), and what was answered before
/// the connection was closed.
async fn send(bytes: &[u8], method: Method) -> (Result<Option<CancelKey>, Fault>, Vec<u8>) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(bytes).await.unwrap();
    let outcome = receive(theirs.into(), &rules(method, LONG)).await.map(|arrival| match arrival {
        Arrival::Session(_) => panic!("let in"),
        Arrival::Cancel(key, _) => Some(key),
        Arrival::Closed => None,
    });
    let mut answered = Vec::new();
    let end = ours.read_to_end(&mut answered).await;
    assert!(end.is_ok() || outcome.is_ok(), "a reset might have taken the farewell away");
    (outcome, answered)
}

/// The SQLSTATE of the ErrorResponse that all of `bytes` are.
fn sqlstate(bytes: &[u8]) -> SqlState {
    assert_eq!(bytes[0], b'E');
    assert_eq!(bytes[1..5], (bytes.len() as u32 - 1).to_be_bytes());
    ErrorFields::read(&bytes[5..]).code.unwrap()
}

async fn is_refused(bytes: &[u8], code: SqlState) {
    let (outcome, answered) = send(bytes, Method::Trust).await;
    assert!(outcome.is_err(), "{:?}", bytes.escape_ascii());
    assert_eq!(sqlstate(&answered), code);
}

#[tokio::test]
async fn f21_f22_f23_malformed_startups() {
    for length in [0, 7, -1, i32::MAX, 10_001] {
        is_refused(&length.to_be_bytes(), SqlState::PROTOCOL_VIOLATION).await;
    }
    let endless = startup(&[("a", "b"); 2_400]);
    is_refused(&endless, SqlState::PROTOCOL_VIOLATION).await;
    is_refused(&startup(&[("user", "a"), ("user", "b")]), SqlState::PROTOCOL_VIOLATION).await;
    is_refused(b"\0\0\0\x08\0\x03\0\0", SqlState::PROTOCOL_VIOLATION).await;
    is_refused(b"\0\0\0\x09\0\x04\0\0\0", SqlState::FEATURE_NOT_SUPPORTED).await;
    is_refused(b"\0\0\0\x09\0\x02\0\0\0", SqlState::FEATURE_NOT_SUPPORTED).await;
}

#[tokio::test]
async fn f20_replication() {
    is_refused(&startup(&[("user", "ann"), ("replication", "database")]), SqlState::FEATURE_NOT_SUPPORTED)
        .await;
}

#[tokio::test]
async fn f24_other_protocols_hear_nothing() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x02\0\x01"] {
        let (outcome, answered) = send(bytes, Method::Trust).await;
        assert_eq!(outcome, Ok(None));
        assert_eq!(answered, b"");
    }
}

#[tokio::test]
async fn f109_nothing_may_come_behind_an_encryption_request() {
    let violation = SqlState::PROTOCOL_VIOLATION;
    is_refused(&[SSL, &startup(&[("user", "ann")])].concat(), violation).await;
    is_refused(&[SSL, SSL].concat(), violation).await;
    is_refused(&[GSS, b"x"].concat(), violation).await;
}

#[tokio::test]
async fn f109_encryption_is_refused_once_each() {
    for (requests, allowed) in [
        (&[GSS, SSL][..], true),
        (&[SSL], true),
        (&[SSL, SSL], false),
        (&[SSL, GSS], false),
        (&[GSS, GSS], false),
    ] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let rules = rules(Method::Trust, LONG);
        let login = tokio::spawn(async move { receive(theirs.into(), &rules).await });
        for (nth, request) in requests.iter().enumerate() {
            ours.write_all(request).await.unwrap();
            let answer = ours.read_u8().await.unwrap();
            assert_eq!(answer, if allowed || nth == 0 { b'N' } else { b'E' });
        }
        if allowed {
            ours.write_all(&startup(&[("user", "anyone")])).await.unwrap();
            assert!(matches!(login.await.unwrap(), Ok(Arrival::Session(_))));
        } else {
            assert!(matches!(login.await.unwrap(), Err(Fault::ProtocolViolation(_))));
        }
    }
}

#[tokio::test]
async fn f99_a_cancel_request_hears_nothing() {
    let key = CancelKey { pid: 5, secret: [1; 32].into() };
    let mut request = Vec::new();
    key.write_request(&mut request);
    let (outcome, answered) = send(&request, Method::ScramSha256).await;
    assert_eq!(outcome, Ok(Some(key)));
    assert_eq!(answered, b"");
    is_refused(b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x05", SqlState::PROTOCOL_VIOLATION).await;
}

#[tokio::test]
async fn f1_f2_the_deadline_is_absolute() {
    let soon = Duration::from_millis(50);
    for sends in [&[][..], b"\0", &startup(&[("user", &"a".repeat(5_000))])] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let login = tokio::spawn(async move { receive(theirs.into(), &rules(Method::Trust, soon)).await });
        for byte in sends.chunks(1) {
            // Fails when the deadline has come, and it comes long before the last byte.
            if ours.write_all(byte).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(login.await.unwrap().unwrap_err(), Fault::LoginTimeout(soon));
        let mut answered = Vec::new();
        let _ = ours.read_to_end(&mut answered).await;
        assert_eq!(sqlstate(&answered), SqlState::PROTOCOL_VIOLATION);
    }
}

#[tokio::test]
async fn f31_a_login_in_single_bytes() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let login = tokio::spawn(async move { receive(theirs.into(), &rules(Method::Cleartext, LONG)).await });
    for byte in startup(&[("user", "ann"), ("x", &"y".repeat(3_000))]).chunks(1) {
        ours.write_all(byte).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut question = [0; 9];
    ours.read_exact(&mut question).await.unwrap();
    assert_eq!(&question, b"R\0\0\0\x08\0\0\0\x03");
    for byte in b"p\0\0\0\x0bsecret\0".chunks(1) {
        ours.write_all(byte).await.unwrap();
        tokio::task::yield_now().await;
    }
    let Ok(Arrival::Session(mut guest)) = login.await.unwrap() else { panic!() };
    assert_eq!(guest.authenticated.user(), "ann");
    welcome(&mut guest, [("server_version", "15")].into_iter(), 7, &[1, 2, 3, 4]).await.unwrap();
    drop(guest);
    let mut heard = Vec::new();
    ours.read_to_end(&mut heard).await.unwrap();
    let expected =
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0015\0K\0\0\0\x0c\0\0\0\x07\x01\x02\x03\x04Z\0\0\0\x05I";
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn bytes_behind_the_startup_are_left_for_the_session() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(&[&startup(&[("user", "ann")]), b"Q...".as_slice()].concat()).await.unwrap();
    let Ok(Arrival::Session(mut guest)) = receive(theirs.into(), &rules(Method::Trust, LONG)).await else {
        panic!()
    };
    let mut rest = [0; 4];
    guest.stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"Q...");
}

#[tokio::test]
async fn f23_a_negotiation_is_told_once_before_all_else() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut packet = startup(&[("user", "ann"), ("_pq_.x", "1")]);
    packet[7] = 9;
    ours.write_all(&packet).await.unwrap();
    let Ok(Arrival::Session(guest)) = receive(theirs.into(), &rules(Method::Trust, LONG)).await else {
        panic!()
    };
    refuse(*guest, &Fault::UnknownDatabase("ann".into())).await;
    let mut heard = Vec::new();
    ours.read_to_end(&mut heard).await.unwrap();
    let negotiation = b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0";
    assert_eq!(heard[..negotiation.len()], *negotiation);
    assert_eq!(sqlstate(&heard[negotiation.len()..]), SqlState::INVALID_CATALOG_NAME);
}

#[tokio::test]
async fn f115_answers_are_bounded_and_of_the_right_type() {
    for (method, answer) in [
        (Method::ScramSha256, &b"p\0\0\x28\0"[..]),
        (Method::ScramSha256, b"p\xff\xff\xff\xff"),
        (Method::ScramSha256, b"p\x7f\xff\xff\xff"),
        (Method::Cleartext, b"p\0\x01\0\x05"),
        (Method::Cleartext, b"Q\0\0\0\x05\0"),
        (Method::Cleartext, b"p\0\0\0\x06ab"),
    ] {
        let (outcome, answered) = send(&[&startup(&[("user", "ann")]), answer].concat(), method).await;
        assert!(matches!(outcome, Err(Fault::ProtocolViolation(_))), "{outcome:?}");
        let question = 1 + u32::from_be_bytes(answered[1..5].try_into().unwrap()) as usize;
        assert_eq!(sqlstate(&answered[question..]), SqlState::PROTOCOL_VIOLATION);
    }
}

#[tokio::test]
async fn a_client_that_leaves_hears_nothing() {
    let (_, answered) =
        send(&[&startup(&[("user", "ann")]), &b"X\0\0\0\x04"[..]].concat(), Method::Cleartext).await;
    assert_eq!(answered.len(), 9, "the question only");
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let arrival = receive(theirs.into(), &rules(Method::Trust, LONG)).await;
    assert!(matches!(arrival, Ok(Arrival::Closed)));
}

#[tokio::test]
async fn f113_keys_are_made_ahead() {
    let rules = rules(Method::ScramSha256, LONG);
    assert_eq!(rules.roster.underived().count(), 1);
    rules.derive_ahead().await;
    assert_eq!(rules.roster.underived().count(), 0);
}

/// Whoever comes in place of one that says nothing; the one that is let go of hears why.
#[tokio::test]
async fn f113_a_silent_client_makes_room() {
    let limits = ClientLimits { max_logins: 1, max_logins_per_source: Some(1), ..ClientLimits::default() };
    let entrance: &Entrance = Box::leak(Box::new(Entrance::new(&limits)));
    let now = Instant::now().into_std();
    for sends in [&b""[..], &startup(&[("user", "ann")])] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut slot = entrance.enter(Source::Unix, now).unwrap();
        let login = tokio::spawn(async move {
            super::receive(theirs.into(), &rules(Method::ScramSha256, LONG), &mut slot).await
        });
        ours.write_all(sends).await.unwrap();
        if !sends.is_empty() {
            assert_eq!(ours.read_u8().await.unwrap(), b'R');
        }
        let newcomer = entrance.enter(Source::Unix, now + Duration::from_secs(2)).unwrap();
        assert_eq!(login.await.unwrap().unwrap_err(), Fault::LoginDisplaced { limit: 1 });
        let mut answered = Vec::new();
        ours.read_to_end(&mut answered).await.unwrap();
        assert!(String::from_utf8_lossy(&answered).contains("C53300"), "{}", answered.escape_ascii());
        drop(newcomer);
    }
}
