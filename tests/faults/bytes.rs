//! Malformed bytes from clients.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pgweir::demo::cluster::ROLE;
use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::*;

use super::kit::{Client, House, Message, Network, Weather, brief, eventually};

/// A pgweir that would wait for hours, so that what is refused was refused at once.
fn patient() -> House {
    House::with(1, "timeouts.login = '3h'")
}

/// What pgweir says to a connection that begins so, until it closes it.
fn refused(house: &House, bytes: &[u8]) -> String {
    let mut client = Client::silent(house.address());
    // It may be closed before all was sent.
    let _ = client.send(bytes);
    brief(&client.until_closed())
}

#[test]
fn f21_startup_with_an_impossible_length() {
    let house = patient();
    let before = house.resident();
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 10_001, 65_536, i32::MAX, -1, i32::MIN] {
        let claim = [&length.to_be_bytes()[..], &(3u32 << 16).to_be_bytes()].concat();
        assert_eq!(refused(&house, &claim), "E[FATAL 08P01]", "{length}");
    }
    assert!(house.resident() < before + (4 << 20), "nothing is allocated for a claim");
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
}

#[test]
fn f22_startup_with_malformed_parameters() {
    let house = patient();
    let with = |pairs: &[u8]| untyped(&[&(3u32 << 16).to_be_bytes()[..], pairs].concat());
    let many: Vec<u8> = (0..65).flat_map(|i| format!("p{i}\0v\0").into_bytes()).collect();
    let long = format!("user\0{}\0\0", "u".repeat(64)).into_bytes();
    let cases: [(&str, &[u8]); 9] = [
        ("a name that PostgreSQL would cut", &long),
        ("no terminator", b"user\0app\0"),
        ("a name without its value", b"user\0app\0database\0"),
        ("text without NUL", b"user\0app\0database"),
        ("bytes behind the terminator", b"user\0app\0\0database\0x\0\0"),
        ("no user", b"database\0x\0\0"),
        ("user twice", b"user\0app\0user\0postgres\0\0"),
        ("a name that isn't UTF-8", b"user\0\xff\xfe\0\0"),
        ("too many", &[b"user\0app\0", &many[..], b"\0"].concat()),
    ];
    for (what, pairs) in cases {
        let heard = refused(&house, &with(pairs));
        let code = if what == "no user" { "E[FATAL 28000]" } else { "E[FATAL 08P01]" };
        assert_eq!(heard, code, "{what}");
    }
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
}

#[test]
fn f23_protocol_versions() {
    let house = patient();
    let ask = |version: u32, more: &str| {
        let parameters = format!("user\0{ROLE}\0database\0{}\0{more}\0", house.database);
        let mut client = Client::silent(house.address());
        client.tell(&untyped(&[&version.to_be_bytes()[..], parameters.as_bytes()].concat()));
        match client.log_in(&house.place()) {
            Ok(heard) => (brief(&heard), heard),
            Err(refusal) => (refusal.to_string(), Vec::<Message>::new()),
        }
    };
    for major in [1, 2, 4, 1234, 0xffff] {
        assert!(ask(major << 16, "").0.starts_with("Error FATAL | 0A000"), "{major}");
    }
    for (version, more, negotiated) in [
        (3 << 16, "", None),
        ((3 << 16) + 2, "", None),
        ((3 << 16) + 9999, "", Some("")),
        (3 << 16, "_pq_.future\x001\0", Some("_pq_.future")),
    ] {
        let (heard, messages) = ask(version, more);
        assert!(heard.ends_with("K Z[I]"), "{heard}");
        let offers: Vec<_> = messages.iter().filter(|message| message.tag == b'v').collect();
        assert_eq!(offers.len(), usize::from(negotiated.is_some()), "{version} {more:?}: {heard}");
        if let (Some(unknown), Some(offer)) = (negotiated, offers.first()) {
            let names = String::from_utf8_lossy(&offer.body[8..]).into_owned();
            assert_eq!(names.trim_end_matches('\0'), unknown);
            assert_eq!(offer.body[..2], [0, 3]);
        }
    }
}

#[test]
fn f24_other_protocols() {
    let house = patient();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    let cases: [(&str, &[u8]); 3] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("TLS", &hello),
        ("SSH", b"SSH-2-OpenSSH_9.6\r\n"),
    ];
    for (what, bytes) in cases {
        let mut client = Client::silent(house.address());
        let _ = client.send(bytes);
        eventually(&format!("{what} is closed"), || client.ended());
    }
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
}

#[test]
fn f25_unknown_message_types() {
    let house = patient();
    house.client().ask("create table t (v int)");
    for tag in *b"@TDZRK1\0\xff" {
        let mut client = house.client();
        client.tell(&message(tag, b"abcd"));
        assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]", "idle: {tag}");

        let mut client = house.client();
        client.ask("begin");
        client.ask("insert into t values (1)");
        client.tell(&message(tag, b"abcd"));
        assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]", "in a transaction: {tag}");
    }
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f26_impossible_message_lengths() {
    let house = patient();
    house.client().ask("create table t (v int)");
    for tag in *b"QPBDECHSFXdcf" {
        for length in [0, 1, 2, 3, -1, i32::MIN, i32::MAX] {
            let mut client = house.client();
            client.tell(&raw(tag, length, b""));
            assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]", "{} {length}", char::from(tag));
        }
    }
    // PostgreSQL closes the connection over these, so they must not reach it.
    let small = b"DECHSXcf".map(|tag| (tag, 10_001));
    let large = b"QPBFd".map(|tag| (tag, (1 << 30) - 1));
    let mut bystander = house.client();
    let pid = bystander.value("select pg_backend_pid()");
    for (tag, length) in small.into_iter().chain(large) {
        for before in ["select 1", "begin"] {
            let mut client = house.client();
            client.ask(before);
            client.tell(&raw(tag, length, b"x"));
            assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]", "{} {length}", char::from(tag));
        }
        assert_eq!(bystander.value("select pg_backend_pid()"), pid, "{} {length}", char::from(tag));
    }
    let insert = query("insert into t values (1)");
    for off in [-1, 1] {
        let mut client = house.client();
        let length = i32::try_from(insert.len() - 1).expect("short") + off;
        client.tell(&[raw(b'Q', length, &insert[5..]), sync(), sync()].concat());
        let heard = brief(&client.until_closed());
        assert!(heard.ends_with("E[FATAL 08P01]"), "{off}: {heard}");
    }
    assert_eq!(house.client().ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f27_malformed_bodies() {
    let house = patient();
    let bound = |rest: &[u8]| message(b'B', &[b"\0\0", rest].concat());
    let cases = [
        ("Parse without NUL", message(b'P', b"s\0select 1")),
        ("Parse with half a type", message(b'P', b"\0select 1\0\0\x01\0\0")),
        ("Parse with 65535 types", message(b'P', b"\0select 1\0\xff\xff")),
        ("Bind without NUL", message(b'B', b"portal")),
        ("Bind with -1 formats", bound(&[0xff, 0xff])),
        ("Bind with 65535 parameters", bound(&[0, 0, 0xff, 0xff])),
        ("Bind with a length of -2", bound(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0])),
        ("Bind with a length of 2 GB", bound(&[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0])),
        ("Bind with format 7", bound(&[0, 1, 0, 7, 0, 1, 0, 0, 0, 1, b'1', 0, 0])),
        ("Bind with more behind it", bound(&[0, 0, 0, 1, 0, 0, 0, 1, b'1', 0, 0, 9])),
        ("Describe of X", message(b'D', b"Xs\0")),
        ("Describe of nothing", message(b'D', b"")),
        ("Describe without NUL", message(b'D', b"Ss")),
        ("Close of X", message(b'C', b"Xs\0")),
        ("Close without NUL", message(b'C', b"Ss")),
        ("Execute without rows", message(b'E', b"\0")),
        ("Execute without NUL", message(b'E', b"p")),
        ("Sync with a body", message(b'S', b"x")),
        ("Flush with a body", message(b'H', b"x")),
        ("Query without NUL", message(b'Q', b"select 1")),
        ("Query with two texts", message(b'Q', b"select 1\0select 2\0")),
        ("FunctionCall of nothing", message(b'F', b"")),
    ];
    for (what, bytes) in &cases {
        let mut client = house.client();
        client.say(&[parse("", "select $1::int", &[]), sync()].concat());
        client.tell(&[bytes, &sync()[..]].concat());
        let heard = client.hear(b'E').pop().expect("an error");
        let code = if what.contains("format 7") { "22023" } else { "08P01" };
        assert_eq!(heard.field('C'), code, "{what}: {heard:?}");
        drop(client);
        assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]", "{what}");
    }
    house.all_is_well();
}

#[test]
fn f28_any_byte_of_a_session_is_changed() {
    let house = House::with(2, "auth.method = 'trust'\ntimeouts.login = '1s'\npool.queue_timeout = '5s'");
    let session = [
        startup(&[("user", ROLE), ("database", &house.database)]),
        query("select 'simple'"),
        parse("s", "select $1::text", &[25]),
        describe(b'S', "s"),
        bind("p", "s", &["value"]),
        execute("p", 1),
        close(b'S', "s"),
        sync(),
        query("copy (values (1)) to stdout"),
        query("begin"),
        unnamed("select 1/0"),
        query("rollback"),
        terminate(),
    ]
    .concat();
    let mutants: Vec<_> =
        (0..session.len()).flat_map(|at| [0x01, 0x80, 0xff].map(|bits| (at, bits))).collect();
    let next = AtomicUsize::new(0);
    let mut bystander = house.client();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((at, bits)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut mutant = session.clone();
                    mutant[*at] ^= bits;
                    let mut client = Client::silent(house.address());
                    let _ = client.send(&mutant);
                    client.half_close();
                    eventually(&format!("mutant {at} {bits:#x} ends"), || client.ended());
                }
            });
        }
        let mut round = 0;
        while next.load(Ordering::Relaxed) < mutants.len() {
            round += 1;
            let mine = format!("bystander {round}");
            assert_eq!(bystander.ask(&format!("select '{mine}'")), format!("T D[{mine}] C[SELECT 1] Z[I]"));
        }
    });
    house.all_is_well();
}

#[test]
fn f29_login_messages_within_a_session() {
    let house = patient();
    let cases = [
        ("password", message(b'p', b"secret\0")),
        ("StartupMessage", startup(&[("user", "postgres")])),
        ("SSLRequest", untyped(&80_877_103u32.to_be_bytes())),
        ("GSSENCRequest", untyped(&80_877_104u32.to_be_bytes())),
        ("CancelRequest", untyped(&[&80_877_102u32.to_be_bytes()[..], &[0; 8]].concat())),
    ];
    for (what, bytes) in cases {
        let mut client = house.client();
        client.tell(&bytes);
        assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]", "{what}");
    }
    house.all_is_well();
}

/// A session with a bit of everything; what the client heard.
fn conversation(mut client: Client) -> String {
    let mut heard = vec![client.ask("select 1; select 2")];
    heard.push(client.say(&[parse("s", "select $1::text", &[]), describe(b'S', "s"), sync()].concat()));
    heard.push(client.say(&[bind("", "s", &["value"]), execute("", 0), sync()].concat()));
    heard.push(client.ask("create temp table t (v text)"));
    client.tell(&query("copy t from stdin"));
    heard.push(brief(&client.hear(b'G')));
    heard.push(client.say(&[copy_data("a\n"), copy_data("b\n"), copy_done()].concat()));
    heard.push(client.ask("copy t to stdout"));
    heard.push(client.ask("select repeat('x', 3000), 1/0"));
    heard.push(client.say(&unnamed("select count(*) from t")));
    heard.join("\n")
}

#[test]
fn f31_every_byte_is_a_segment() {
    let expected = conversation(House::new(1).direct());
    let (upstream, house) = House::behind_network(1, "");
    let downstream = Network::to(house.address());
    let place = Place { address: downstream.address, ..house.place() };
    for (up, down) in [(true, false), (false, true), (true, true)] {
        let slice = |on| if on { Weather::Slice(1) } else { Weather::Pass };
        upstream.is(slice(up), slice(up));
        downstream.is(slice(down), slice(down));
        assert_eq!(conversation(Client::connect(&place, &[]).expect("a login")), expected, "{up} {down}");
    }
}

#[test]
fn f31_a_session_in_one_segment() {
    let house = House::with(1, "auth.method = 'trust'");
    let all = [
        startup(&[("user", ROLE), ("database", &house.database)]),
        query("select 1"),
        unnamed("select 2"),
        query("select 3"),
        terminate(),
    ];
    let mut client = Client::silent(house.address());
    client.tell(&all.concat());
    let heard = brief(&client.until_closed());
    let answers = "Z[I] T D[1] C[SELECT 1] Z[I] 1 2 D[2] C[SELECT 1] Z[I] T D[3] C[SELECT 1] Z[I]";
    assert!(heard.ends_with(answers), "{heard}");
    house.all_is_well();
}

#[test]
fn f109_bytes_behind_a_request_for_encryption() {
    let house = House::new(1);
    for code in [80_877_103_u32, 80_877_104] {
        let ask = untyped(&code.to_be_bytes());
        let heard = refused(&house, &[&ask[..], b"x"].concat());
        assert!(heard.is_empty() || heard == "E[FATAL 08P01]", "{heard}");
        // One of each is enough.
        let mut client = Client::silent(house.address());
        client.tell(&ask);
        let mut answer = [0];
        std::io::Read::read_exact(&mut client.stream(), &mut answer).expect("an answer");
        assert_eq!(&answer, b"N");
        client.tell(&ask);
        assert_eq!(brief(&client.until_closed()), "E[FATAL 08P01]");
    }
    house.all_is_well();
}
