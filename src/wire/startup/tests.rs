//! First packets, good and bad.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn body(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut packet = Vec::new();
    write_startup(&mut packet, 0, pairs.iter().copied());
    packet.split_off(HEAD_LEN)
}

fn startup(code: u32, pairs: &[(&str, &str)]) -> Result<Startup, Fault> {
    match request(code, &body(pairs))? {
        Request::Startup(startup) => Ok(startup),
        other => panic!("{other:?}"),
    }
}

const V3_0: u32 = 3 << 16;

fn is_violation<T: std::fmt::Debug>(result: Result<T, Fault>) -> bool {
    match result {
        Err(Fault::ProtocolViolation(_)) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_startup_is_sorted_into_identity_and_profile() {
    let startup = startup(
        V3_0,
        &[
            ("user", "ann"),
            ("search_path", "b"),
            ("application_name", "psql"),
            ("options", "-c x.y=1"),
            ("database", "shop"),
            ("Search_Path", "a"),
            ("replication", "off"),
            ("client_encoding", "LATIN1"),
        ],
    )
    .unwrap();
    assert_eq!((startup.user.as_str(), startup.database.as_str()), ("ann", "shop"));
    assert_eq!(startup.application_name.as_deref(), Some("psql"));
    let profile: Vec<_> =
        startup.profile.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(profile, [("Search_Path", "a"), ("client_encoding", "LATIN1"), ("options", "-c x.y=1")]);
    assert_eq!((startup.minor, startup.negotiation), (0, None));
}

#[test]
fn the_database_defaults_to_the_user() {
    assert_eq!(startup(V3_0, &[("user", "ann")]).unwrap().database, "ann");
    assert_eq!(startup(V3_0, &[("user", "ann"), ("database", "")]).unwrap().database, "ann");
}

#[test]
fn f21_a_bad_length_is_refused_before_the_body() {
    for length in (0..=7).chain([-1, i32::MIN, i32::MAX, 10_001]) {
        assert!(is_violation(head(&length.to_be_bytes())), "{length}");
    }
    for length in [8, 9, 10_000] {
        assert_eq!(head(&i32::to_be_bytes(length)), Ok(Head::More));
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend(V3_0.to_be_bytes());
        assert_eq!(head(&packet), Ok(Head::Packet { code: V3_0, body: length as usize - 8 }));
    }
}

#[test]
fn f22_a_startup_must_be_whole_and_unambiguous() {
    assert!(is_violation(request(V3_0, b"")));
    assert!(is_violation(request(V3_0, b"user\0ann\0")));
    assert!(is_violation(request(V3_0, b"user\0ann\0\0tail")));
    assert!(is_violation(request(V3_0, b"user\0ann\0\0\0")));
    assert!(is_violation(request(V3_0, b"user\0an\xff\0\0")));
    assert!(is_violation(request(V3_0, b"us\xe9r\0ann\0\0")));
    assert!(is_violation(request(V3_0, b"user\0ann")));
    assert!(is_violation(startup(V3_0, &[("user", "a"), ("user", "a")])));
    assert!(is_violation(startup(V3_0, &[("x", "y"); MAX_PARAMETERS + 1])));
    assert!(matches!(startup(V3_0, &[("database", "x")]), Err(Fault::RefusedByRule(_))));
    assert!(matches!(startup(V3_0, &[("user", "")]), Err(Fault::RefusedByRule(_))));
}

#[test]
fn f120_names_have_a_longest_length() {
    let [fits, long] = [63, 64].map(|n| "n".repeat(n));
    assert_eq!(startup(V3_0, &[("user", &fits), ("database", &fits)]).unwrap().user, fits);
    assert!(is_violation(startup(V3_0, &[("user", &long)])));
    assert!(is_violation(startup(V3_0, &[("user", "a"), ("database", &long)])));
}

#[test]
fn f23_versions_are_negotiated_or_refused() {
    let minor = |asked: u32| {
        let startup = startup(V3_0 | asked, &[("user", "a")]).unwrap();
        (startup.minor, startup.negotiation.is_some())
    };
    assert_eq!(
        [0, 1, 2, 3, 9999, 0xffff].map(minor),
        [(0, false), (0, true), (2, false), (2, true), (2, true), (2, true)]
    );
    for code in [0, 1, 2 << 16, 4 << 16, 0x1234_5678, u32::MAX] {
        let [major, minor] = [(code >> 16) as u16, code as u16];
        assert_eq!(request(code, b"user\0a\0\0"), Err(Fault::UnsupportedProtocol { major, minor }));
    }
}

#[test]
fn unknown_protocol_options_are_named_in_the_negotiation() {
    let startup = startup(V3_0, &[("user", "a"), ("_pq_.one", "1"), ("_pq_.two", "2")]).unwrap();
    let negotiation = startup.negotiation.unwrap();
    let mut out = Vec::new();
    write_negotiation(&mut out, startup.minor, &negotiation);
    assert_eq!(out, b"v\x00\x00\x00\x1e\x00\x03\x00\x00\x00\x00\x00\x02_pq_.one\0_pq_.two\0");
    assert_eq!(read_negotiation(&out[5..]), Some(0));
    assert_eq!(startup.profile, []);
}

#[test]
fn a_negotiation_must_be_about_protocol_3() {
    assert_eq!(read_negotiation(&[0, 3, 0, 2, 0, 0, 0, 0]), Some(2));
    assert_eq!(read_negotiation(&[0, 2, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(read_negotiation(&[0, 3, 0]), None);
}

#[test]
fn f20_replication_is_refused() {
    for value in ["true", "TRUE", "on", "1", "t", "y", "database", "o", "nonsense", ""] {
        let refused = startup(V3_0, &[("user", "a"), ("replication", value)]);
        assert_eq!(refused, Err(Fault::Unsupported("replication")), "{value}");
    }
    for value in ["false", "f", "off", "OF", "no", "n", "0"] {
        assert!(startup(V3_0, &[("user", "a"), ("replication", value)]).is_ok(), "{value}");
    }
}

#[test]
fn f24_another_protocol_is_recognised_by_its_first_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\x15\x03\x01", b"G"] {
        assert_eq!(head(bytes), Ok(Head::Alien));
    }
    assert_eq!(head(b"\x16\x03\x01"), Ok(Head::Tls));
    assert_eq!(head(b""), Ok(Head::More));
    assert_eq!(head(b"\0"), Ok(Head::More));
}

#[test]
fn f99_cancel_keys_have_4_to_256_bytes() {
    for (len, fits) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
        let key = CancelKey { pid: -5, secret: vec![7; len].into() };
        let mut packet = Vec::new();
        key.write_request(&mut packet);
        let Ok(Head::Packet { code, body }) = head(&packet) else { panic!() };
        assert_eq!(body, packet.len() - HEAD_LEN);
        let read = request(code, &packet[HEAD_LEN..]);
        if fits {
            assert_eq!(read, Ok(Request::Cancel(key)));
        } else {
            assert!(is_violation(read));
        }
    }
}

#[test]
fn f109_encryption_is_asked_for_once_and_alone() {
    assert_eq!(request(SSL, b""), Ok(Request::Ssl));
    assert_eq!(request(GSS, b""), Ok(Request::Gss));
    assert!(is_violation(request(SSL, b"x")));
    assert!(is_violation(request(GSS, b"x")));
    let ask = |order: &[Asked]| order.iter().try_fold(Asked::Nothing, |asked, next| asked.then(*next));
    assert_eq!(ask(&[Asked::Gss, Asked::Ssl]), Ok(Asked::Ssl));
    assert!(is_violation(ask(&[Asked::Ssl, Asked::Ssl])));
    assert!(is_violation(ask(&[Asked::Gss, Asked::Gss])));
    assert!(is_violation(ask(&[Asked::Ssl, Asked::Gss])));
    assert!(is_violation(ask(&[Asked::Gss, Asked::Ssl, Asked::Gss])));
}

proptest! {
    #[test]
    fn any_head_is_judged(bytes in vec(any::<u8>(), 0..12)) {
        match head(&bytes) {
            Ok(Head::Packet { body, .. }) => prop_assert!(bytes.len() >= HEAD_LEN && body + HEAD_LEN <= MAX_LEN),
            Ok(Head::More) => prop_assert!(bytes.len() < HEAD_LEN),
            Ok(Head::Alien | Head::Tls) => prop_assert!(bytes[0] != 0),
            Err(_) => prop_assert!(bytes.len() >= 4),
        }
    }

    #[test]
    fn any_body_is_read_or_refused(minor: u16, body in vec(prop_oneof![Just(0), Just(b'a'), any::<u8>()], 0..300)) {
        if let Ok(Request::Startup(startup)) = request(V3_0 | u32::from(minor), &body) {
            prop_assert!(!startup.user.is_empty() && !startup.database.is_empty());
            prop_assert!(startup.profile.is_sorted());
        }
    }

    /// What comes out of a startup, written again, is the same startup: the server gets what the client meant.
    #[test]
    fn a_startup_survives_being_passed_on(
        user in "[a-zé\"\n]{1,20}",
        pairs in proptest::collection::btree_map("[a-z]{1,3}_[a-z.]{1,4}", "[^\0]{0,20}", 0..20),
    ) {
        let mut wanted = vec![("user", user.as_str())];
        wanted.extend(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let once = startup(V3_0, &wanted).unwrap();
        prop_assert_eq!(once.profile.len(), pairs.len());
        let mut again = vec![("user", once.user.as_str())];
        again.extend(once.profile.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        prop_assert_eq!(startup(V3_0, &again).unwrap(), once);
    }
}
