//! The few messages that pgweir makes itself, appended to a buffer. Source: "Message Formats".

use super::tag::{backend, frontend};

/// Appends one message: its type, its length, and the body that `body` appends.
pub fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - length_at).expect("our own messages are far below 4 GiB");
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a string and its NUL.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}

pub fn query(out: &mut Vec<u8>, sql: &[u8]) {
    message(out, frontend::QUERY, |out| text(out, sql));
}

/// `definition` is all that stands behind the name: query, NUL, types.
pub fn parse(out: &mut Vec<u8>, name: &[u8], definition: &[u8]) {
    message(out, frontend::PARSE, |out| {
        text(out, name);
        out.extend_from_slice(definition);
    });
}

/// The head of a Bind whose parameters (`rest` bytes) follow from elsewhere.
pub fn bind_head(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: usize) {
    let length = 4 + portal.len() + 1 + statement.len() + 1 + rest;
    out.push(frontend::BIND);
    out.extend_from_slice(&(length as u32).to_be_bytes());
    text(out, portal);
    text(out, statement);
}

/// A whole Bind without parameters, all results as text.
pub fn bind_nothing(out: &mut Vec<u8>, portal: &[u8], statement: &[u8]) {
    bind_head(out, portal, statement, 6);
    out.extend_from_slice(&[0; 6]);
}

pub fn describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    target(out, frontend::DESCRIBE, b'S', name);
}

pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    target(out, frontend::CLOSE, b'S', name);
}

pub fn close_portal(out: &mut Vec<u8>, name: &[u8]) {
    target(out, frontend::CLOSE, b'P', name);
}

/// Runs a portal to its end.
pub fn execute(out: &mut Vec<u8>, portal: &[u8]) {
    message(out, frontend::EXECUTE, |out| {
        text(out, portal);
        out.extend_from_slice(&[0; 4]);
    });
}

fn target(out: &mut Vec<u8>, tag: u8, kind: u8, name: &[u8]) {
    message(out, tag, |out| {
        out.push(kind);
        text(out, name);
    });
}

/// A message without a body (Sync, Flush, Terminate, ParseComplete …).
pub fn bare(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    out.extend_from_slice(&[backend::READY_FOR_QUERY, 0, 0, 0, 5, status]);
}

pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    message(out, backend::PARAMETER_STATUS, |out| {
        text(out, name);
        text(out, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_is_what_we_read() {
        let mut out = Vec::new();
        parse(&mut out, b"n", b"select 1\0\0\0");
        let head = crate::wire::frame::head(&out).unwrap().unwrap();
        assert_eq!(head.total, out.len());
        assert_eq!(crate::wire::read::parse(&out[5..]).unwrap().query, b"select 1");

        out.clear();
        bind_nothing(&mut out, b"", b"n");
        assert_eq!(crate::wire::frame::head(&out).unwrap().unwrap().total, out.len());
        assert_eq!(crate::wire::read::bind(&out[5..]).unwrap().statement, b"n");
    }
}
