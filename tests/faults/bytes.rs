//! B: malformed bytes.

use std::io::Write;

use super::house::{House, ask, row, simple, to_the_end};
use pgweir_testkit::client::Client;

/// A startup packet with a body of its own making.
fn startup(length: i32, body: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], body].concat()
}

#[test]
fn f21_to_f24_first_packets_that_are_none() {
    let house = House::new("[auth]\nmethod = \"trust\"");
    let version = 196_608_i32.to_be_bytes();
    let named = |body: &[u8]| [&version[..], body].concat();
    let cases: Vec<Vec<u8>> = vec![
        startup(0, b""),
        startup(7, b""),
        startup(-1, b""),
        startup(i32::MAX, b""),
        startup(10_001, &version),
        startup(15, &named(b"user\0ap")),
        startup(10, &named(b"\0\0")),
        startup(28, &named(b"user\0a\0user\0b\0\0....")),
        startup(17, &named(b"user\0\xff\xfe\0\0")),
        startup(8, &131_072_i32.to_be_bytes()),
        startup(8, &262_144_i32.to_be_bytes()),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"SSH-2.0-x\r\n".to_vec(),
        vec![0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5],
    ];
    for case in cases {
        let mut stream = house.stranger();
        // The other side may have closed already.
        let _ = stream.write_all(&case);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let end = to_the_end(&mut stream);
        assert!(end.is_empty() || end[0] == b'E', "{case:?} was answered with {end:?}");
    }
    house.all_is_well();
}

#[test]
fn f109_bytes_behind_an_ssl_request_are_a_violation() {
    let house = House::new("");
    let ssl = [8_i32.to_be_bytes(), 80_877_103_i32.to_be_bytes()].concat();
    let mut stream = house.stranger();
    stream.write_all(&[&ssl[..], b"x"].concat()).expect("a request");
    let end = to_the_end(&mut stream);
    assert!(!end.contains(&b'R'), "{end:?}");
    let mut stream = house.stranger();
    stream.write_all(&ssl).expect("a request");
    let mut answer = [0];
    std::io::Read::read_exact(&mut stream, &mut answer).expect("an answer");
    assert_eq!(&answer, b"N");
    stream.write_all(&ssl).expect("a second one");
    assert_eq!(to_the_end(&mut stream)[0], b'E', "one is enough");
    house.all_is_well();
}

fn violates(house: &House, bytes: &[u8]) {
    for in_transaction in [false, true] {
        let mut client = house.client();
        if in_transaction {
            ask(&mut client, "begin");
        }
        client.send(bytes).expect("a request");
        let answer = client.receive().expect("an error");
        assert_eq!(answer.sqlstate().as_deref(), Some("08P01"), "{bytes:?}: {}", answer.line());
        assert!(answer.line().starts_with("Error FATAL"), "{}", answer.line());
        assert!(client.receive().is_err(), "the connection is closed");
    }
}

#[test]
fn f25_and_f29_messages_that_no_client_may_send() {
    let house = House::new("[pool]\nsize = 2");
    for tag in *b"@TZRK1p" {
        violates(&house, &[tag, 0, 0, 0, 4]);
    }
    violates(&house, &[0, 0, 0, 8, 4, 210, 22, 47]);
    house.all_is_well();
}

#[test]
fn f26_lengths_that_can_not_be() {
    let house = House::new("[pool]\nsize = 2");
    for length in [0_i32, 3, -1, i32::MIN, i32::MAX] {
        for tag in *b"QPBDECSHFXdcf" {
            violates(&house, &[&[tag][..], &length.to_be_bytes()].concat());
        }
    }
    house.all_is_well();
}

#[test]
fn f27_bodies_that_do_not_fit() {
    let house = House::new("[pool]\nsize = 2");
    for body in [
        &b"P\0\0\0\x06xx"[..],
        b"P\0\0\0\x08\0\0\0\x05",
        b"D\0\0\0\x05S",
        b"D\0\0\0\x06X\0",
        b"C\0\0\0\x07Sx\0x",
    ] {
        let mut fixed = body.to_vec();
        let length = (body.len() as i32 - 1).to_be_bytes();
        fixed[1..5].copy_from_slice(&length);
        violates(&house, &fixed);
    }
    // What pgweir needn't read, PostgreSQL judges.
    let mut client = house.client();
    client.send(b"Q\0\0\0\x05x").expect("a query without its end");
    assert_eq!(client.receive().expect("an error").sqlstate().as_deref(), Some("08P01"));
    house.all_is_well();
}

#[test]
fn f28_any_byte_of_a_session_may_be_wrong() {
    let house = House::new("[pool]\nsize = 2\n[auth]\nmethod = \"trust\"\n[timeouts]\nlogin = \"5s\"");
    let mut bytes = bytes::BytesMut::new();
    use postgres_protocol::message::frontend as f;
    f::query("select 1", &mut bytes).expect("a message");
    f::parse("s", "select $1::int", [23], &mut bytes).expect("a message");
    f::bind(
        "",
        "s",
        [],
        ["5"],
        |v, out| {
            out.extend_from_slice(v.as_bytes());
            Ok(postgres_protocol::IsNull::No)
        },
        [],
        &mut bytes,
    )
    .ok()
    .expect("a message");
    f::describe(b'P', "", &mut bytes).expect("a message");
    f::execute("", 0, &mut bytes).expect("a message");
    f::close(b'S', "s", &mut bytes).expect("a message");
    f::sync(&mut bytes);
    let mut steady = house.client();
    for at in 0..bytes.len() {
        for change in [0x01, 0x80] {
            let mut mutant = bytes.to_vec();
            mutant[at] ^= change;
            let mut stream = house.client().into_stream();
            let _ = stream.write_all(&mutant);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            to_the_end(&mut stream);
        }
        assert_eq!(row(&mut steady, "select 'steady'"), "DataRow [\"steady\"]");
    }
    house.all_is_well();
}

#[test]
fn f31_segments_make_no_difference() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    let script = [simple("select 1"), simple("begin"), simple("select 2"), simple("commit")].concat();
    for byte in &script {
        client.send(&[*byte]).expect("a byte");
    }
    let mut transcript = Vec::new();
    while transcript.iter().filter(|line: &&String| line.starts_with("Ready")).count() < 4 {
        transcript.push(client.receive().expect("a reply").line());
    }
    let mut other = house.client();
    other.send(&script).expect("all at once");
    for line in &transcript {
        assert_eq!(&other.receive().expect("a reply").line(), line);
    }
    drop((client, other));
    house.all_is_well();
}

#[test]
fn f91_very_long_messages_stream_with_flat_memory() {
    let house = House::new("[pool]\nsize = 1");
    let mut client = house.client();
    row(&mut client, "select 1");
    let before = house.metric("pgweir_process_resident_memory_bytes");
    // 200 MB in a row, 100 MB in a query, and none of it stays.
    let answer =
        pgweir_testkit::play::query(&mut client, "select repeat('x', 200000000)").expect("an answer");
    assert_eq!(answer.iter().find(|m| m.tag == b'D').map(|m| m.body.len()), Some(200_000_006));
    drop(answer);
    let long = format!("select length('{}')", "y".repeat(100_000_000));
    assert_eq!(row(&mut client, &long), "DataRow [\"100000000\"]");
    let after = house.metric("pgweir_process_resident_memory_bytes");
    assert!(after < before + (8 << 20), "{before} before, {after} after");
    drop(client);
    house.all_is_well();
}

#[test]
fn f92_a_parse_beyond_the_limit_is_refused_in_its_place() {
    let house = House::new("[pool]\nsize = 1\n[limits]\nstatement_size = \"64KiB\"");
    let mut client = house.client();
    ask(&mut client, "create table f92 (a int)");
    let mut bytes = bytes::BytesMut::new();
    use postgres_protocol::message::frontend as f;
    f::parse("", "insert into f92 values (1)", [], &mut bytes).expect("a message");
    bytes.extend_from_slice(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0");
    f::parse("big", &format!("select '{}'", "z".repeat(200_000)), [], &mut bytes).expect("a message");
    f::sync(&mut bytes);
    client.send(&bytes).expect("a batch");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with("Ready")) {
        lines.push(client.receive().expect("a reply").line());
    }
    assert!(lines[3].contains("54000"), "{lines:?}");
    assert_eq!(row(&mut client, "select count(*) from f92"), "DataRow [\"0\"]", "the batch was rolled back");
    drop(client);
    house.all_is_well();
}

#[test]
fn f22_names_are_bounded() {
    let house = House::new("");
    let place = pgweir_testkit::client::Place { user: "u".repeat(64), ..house.place() };
    assert!(Client::connect(&place, &[]).expect_err("no login").to_string().contains("08P01"));
    house.all_is_well();
}
