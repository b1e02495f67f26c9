//! Views on the few messages that pgweir reads. Each takes a body (without the header) and checks what it
//! returns; what it doesn't need is left to the server to judge. Source: "Message Formats".

use memchr::memchr;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed {0} message")]
pub struct Malformed(pub &'static str);

/// Splits a NUL-terminated string off; `None` while its end isn't here.
pub fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Parse: a statement's name, and the rest: query, NUL, and the parameter types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a [u8],
    /// The query without its NUL.
    pub query: &'a [u8],
    /// Everything behind the name: what makes the statement what it is.
    pub definition: &'a [u8],
}

pub fn parse(body: &[u8]) -> Result<Parse<'_>, Malformed> {
    let malformed = Malformed("Parse");
    let (name, definition) = text(body).ok_or(malformed)?;
    let (query, types) = text(definition).ok_or(malformed)?;
    let (&[a, b], oids) = types.split_first_chunk().ok_or(malformed)?;
    if oids.len() != usize::from(u16::from_be_bytes([a, b])) * 4 {
        return Err(malformed);
    }
    Ok(Parse { name, query, definition })
}

/// Bind: portal and statement; `names` is the bytes that both take with their NULs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    pub names: usize,
}

/// Reads a Bind's head; the parameters need not be here.
pub fn bind(body: &[u8]) -> Result<Bind<'_>, Malformed> {
    let malformed = Malformed("Bind");
    let (portal, rest) = text(body).ok_or(malformed)?;
    let (statement, parameters) = text(rest).ok_or(malformed)?;
    Ok(Bind { portal, statement, names: body.len() - parameters.len() })
}

/// The values of a Bind's parameters, behind its names; NULLs are left out. What is malformed ends them.
pub fn bound_values(mut parameters: &[u8]) -> impl Iterator<Item = &[u8]> {
    let formats = take_u16(&mut parameters).unwrap_or_default();
    parameters = parameters.get(2 * usize::from(formats)..).unwrap_or_default();
    let count = take_u16(&mut parameters).unwrap_or_default();
    let values = (0..count).map_while(move |_| {
        let (&length, rest) = parameters.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(length)).ok();
        let (value, rest) = rest.split_at_checked(length.unwrap_or_default())?;
        parameters = rest;
        Some(length.map(|_| value))
    });
    values.flatten()
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (&number, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    Some(u16::from_be_bytes(number))
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

/// Reads the body of Describe or Close.
pub fn target<'a>(body: &'a [u8], message: &'static str) -> Result<Target<'a>, Malformed> {
    let malformed = Malformed(message);
    let (&kind, rest) = body.split_first().ok_or(malformed)?;
    let (name, rest) = text(rest).ok_or(malformed)?;
    match (kind, rest) {
        (b'S', []) => Ok(Target::Statement(name)),
        (b'P', []) => Ok(Target::Portal(name)),
        _ => Err(malformed),
    }
}

/// Reads a ParameterStatus.
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let malformed = Malformed("ParameterStatus");
    let (name, rest) = text(body).ok_or(malformed)?;
    let (value, rest) = text(rest).ok_or(malformed)?;
    if rest.is_empty() { Ok((name, value)) } else { Err(malformed) }
}

/// A DataRow's columns; `None` is NULL.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let malformed = Malformed("DataRow");
    let (&count, mut rest) = body.split_first_chunk::<2>().ok_or(malformed)?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(count) {
        let (&length, after) = rest.split_first_chunk::<4>().ok_or(malformed)?;
        match i32::from_be_bytes(length) {
            -1 => {
                columns.push(None);
                rest = after;
            }
            length => {
                let length = usize::try_from(length).map_err(|_| malformed)?;
                let (value, after) = after.split_at_checked(length).ok_or(malformed)?;
                columns.push(Some(value));
                rest = after;
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_wants_as_many_types_as_it_counts() {
        let body = b"s1\0select $1\0\0\x01\0\0\0\x17";
        let parsed = parse(body).unwrap();
        assert_eq!((parsed.name, parsed.query), (&b"s1"[..], &b"select $1"[..]));
        assert_eq!(parsed.definition, &body[3..]);
        for cut in 0..body.len() {
            assert_eq!(parse(&body[..cut]), Err(Malformed("Parse")));
        }
        assert!(parse(b"\0select\0\xff\xff").is_err());
    }

    #[test]
    fn bind_needs_only_its_head() {
        let bound = bind(b"p\0st\0parameters may be anywhere").unwrap();
        assert_eq!((bound.portal, bound.statement, bound.names), (&b"p"[..], &b"st"[..], 5));
        assert!(bind(b"p\0st").is_err());
    }

    #[test]
    fn values_are_read_behind_a_binds_names() {
        let of = |parameters: &'static [u8]| bound_values(parameters).collect::<Vec<_>>();
        let two = b"\0\x01\0\x01\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0\0\0";
        assert_eq!(of(two), [&b"ab"[..], b""]);
        assert_eq!(of(&two[..10]), [b""; 0], "cut off");
        assert_eq!(of(b"\0"), [b""; 0]);
        assert_eq!(of(b"\0\0\0\x02\0\0\0\x01a\x7f\xff\xff\xff"), [b"a"]);
    }

    #[test]
    fn describe_and_close_name_a_statement_or_a_portal() {
        assert_eq!(target(b"Sx\0", "Close"), Ok(Target::Statement(b"x")));
        assert_eq!(target(b"P\0", "Close"), Ok(Target::Portal(b"")));
        for bad in [&b""[..], b"S", b"Sx", b"Tx\0", b"Sx\0y"] {
            assert_eq!(target(bad, "Close"), Err(Malformed("Close")));
        }
    }

    #[test]
    fn a_row_of_strangers_is_read_with_checks() {
        assert_eq!(data_row(b"\0\x02\xff\xff\xff\xff\0\0\0\x01x"), Ok(vec![None, Some(&b"x"[..])]));
        assert!(data_row(b"\0\x01\xff\xff\xff\xfe").is_err());
        assert!(data_row(b"\0\x01\0\0\0\x05x").is_err());
    }
}
