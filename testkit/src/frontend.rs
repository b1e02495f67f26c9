//! What clients say, as bytes.

use bytes::BytesMut;
use postgres_protocol::{IsNull, message::frontend};

/// Any message: a type byte and a body.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    raw(tag, i32::try_from(body.len() + 4).expect("a short body"), body)
}

/// A message that claims any length.
pub fn raw(tag: u8, length: i32, body: &[u8]) -> Vec<u8> {
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// What has no type byte: startup and the requests in its place.
pub fn untyped(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&length.to_be_bytes()[..], body].concat()
}

/// StartupMessage of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = (3u32 << 16).to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    untyped(&body)
}

fn encoded(encode: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode(&mut buffer).expect("no NUL in a test's text");
    buffer.to_vec()
}

pub fn query(sql: &str) -> Vec<u8> {
    encoded(|buffer| frontend::query(sql, buffer))
}

pub fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    encoded(|buffer| frontend::parse(name, sql, types.iter().copied(), buffer))
}

/// Bind with text parameters and text results.
pub fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    encoded(|buffer| {
        let put = |value: &&str, out: &mut BytesMut| {
            out.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        frontend::bind(portal, statement, [], values.iter(), put, [], buffer)
            .map_err(|_| std::io::Error::other("bind"))
    })
}

/// `kind` is `S` for a statement, `P` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    encoded(|buffer| frontend::describe(kind, name, buffer))
}

pub fn close(kind: u8, name: &str) -> Vec<u8> {
    encoded(|buffer| frontend::close(kind, name, buffer))
}

/// `rows`: 0 for all.
pub fn execute(portal: &str, rows: i32) -> Vec<u8> {
    encoded(|buffer| frontend::execute(portal, rows, buffer))
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

pub fn flush() -> Vec<u8> {
    message(b'H', b"")
}

pub fn terminate() -> Vec<u8> {
    message(b'X', b"")
}

pub fn copy_data(data: &str) -> Vec<u8> {
    message(b'd', data.as_bytes())
}

pub fn copy_done() -> Vec<u8> {
    message(b'c', b"")
}

pub fn copy_fail(reason: &str) -> Vec<u8> {
    message(b'f', format!("{reason}\0").as_bytes())
}

/// The unnamed statement, all four steps: Parse, Bind, Execute, Sync.
pub fn unnamed(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
}
