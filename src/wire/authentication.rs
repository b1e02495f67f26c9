//! The messages of a login: what a server asks (`R`), what a client answers (`p`).
//!
//! pgweir is the server of its clients and the client of its servers, so each is both written and read here.
//! Source: PostgreSQL documentation, "Message Formats" (Authentication…, PasswordMessage, SASL…).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

use thiserror::Error;

use super::fault::Fault;
use super::startup::with_length;

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ScramSha256,
    /// With channel binding.
    ScramSha256Plus,
}

impl Mechanism {
    fn name(self) -> &'static [u8] {
        match self {
            Self::ScramSha256 => b"SCRAM-SHA-256",
            Self::ScramSha256Plus => b"SCRAM-SHA-256-PLUS",
        }
    }
}

/// The longest SASL message of a client, in bytes, without its header.
pub const MAX_SASL: usize = 1_024;
/// The longest password, in bytes, with its terminator.
pub const MAX_PASSWORD: usize = 65_536;

/// What a server says during a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    Ok,
    CleartextPassword,
    Md5Password {
        salt: [u8; 4],
    },
    /// Begins SASL; which of the mechanisms that we speak are offered.
    Sasl {
        scram_sha_256: bool,
        plus: bool,
    },
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// A method that pgweir doesn't speak (Kerberos, GSSAPI, SSPI …), by its code.
    Other(i32),
}

/// A server's Authentication message that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed authentication request")]
pub struct Malformed;

impl<'a> Authentication<'a> {
    /// Reads the body of a server's message `R`.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let (code, rest) = body.split_first_chunk().ok_or(Malformed)?;
        Ok(match (i32::from_be_bytes(*code), rest) {
            (0, []) => Self::Ok,
            (3, []) => Self::CleartextPassword,
            (5, salt) => Self::Md5Password { salt: salt.try_into().map_err(|_| Malformed)? },
            (10, mechanisms) => {
                let offers = |mechanism: Mechanism| {
                    mechanisms.split(|byte| *byte == 0).any(|name| name == mechanism.name())
                };
                Self::Sasl {
                    scram_sha_256: offers(Mechanism::ScramSha256),
                    plus: offers(Mechanism::ScramSha256Plus),
                }
            }
            (11, data) => Self::SaslContinue(data),
            (12, data) => Self::SaslFinal(data),
            (0 | 3, _) => return Err(Malformed),
            (code, _) => Self::Other(code),
        })
    }

    /// Appends the whole message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (code, data): (i32, &[u8]) = match self {
            Self::Ok => (0, b""),
            Self::CleartextPassword => (3, b""),
            Self::Md5Password { salt } => (5, salt),
            Self::Sasl { scram_sha_256: true, plus: true } => (10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            Self::Sasl { scram_sha_256: true, plus: false } => (10, b"SCRAM-SHA-256\0\0"),
            Self::Sasl { scram_sha_256: false, plus: true } => (10, b"SCRAM-SHA-256-PLUS\0\0"),
            Self::Sasl { scram_sha_256: false, plus: false } => (10, b"\0"),
            Self::SaslContinue(data) => (11, data),
            Self::SaslFinal(data) => (12, data),
            Self::Other(code) => (*code, b""),
        };
        out.push(b'R');
        with_length(out, |out| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(data);
        });
    }
}

/// What the header of a client's message says while it logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerHead {
    /// An answer whose body has so many bytes.
    Body(usize),
    /// Terminate: the client goes.
    Goodbye,
}

/// Judges the header of a client's answer. `limit` bounds the body, in bytes.
pub fn answer_head(header: [u8; 5], limit: usize) -> Result<AnswerHead, Fault> {
    let [tag, length @ ..] = header;
    match (tag, i32::from_be_bytes(length).checked_sub(4).and_then(|body| usize::try_from(body).ok())) {
        (b'p', Some(body)) if body <= limit => Ok(AnswerHead::Body(body)),
        (b'p', _) => Err(violation("invalid length of authentication message")),
        (b'X', Some(0)) => Ok(AnswerHead::Goodbye),
        (tag, _) => Err(Fault::ProtocolViolation(format!(
            "expected an authentication message, got type {}",
            tag.escape_ascii()
        ))),
    }
}

/// The password in a PasswordMessage's body: cleartext, or MD5's answer. Never with a NUL inside.
pub fn read_password(body: &[u8]) -> Result<&[u8], Fault> {
    match body.split_last() {
        Some((0, password)) if memchr::memchr(0, password).is_none() => Ok(password),
        _ => Err(violation("invalid password packet")),
    }
}

/// The mechanism that the client chose, and its first SASL message: the body of a SASLInitialResponse.
pub fn read_sasl_initial(body: &[u8]) -> Result<(Mechanism, &[u8]), Fault> {
    let malformed = || violation("malformed SASL message");
    let (mechanism, rest) =
        body.split_at_checked(memchr::memchr(0, body).ok_or_else(malformed)?).ok_or_else(malformed)?;
    let mechanism = [Mechanism::ScramSha256, Mechanism::ScramSha256Plus]
        .into_iter()
        .find(|known| known.name() == mechanism)
        .ok_or_else(|| violation("client selected an invalid SASL authentication mechanism"))?;
    match rest.split_first_chunk::<5>() {
        Some(([0, length @ ..], data)) if usize::try_from(i32::from_be_bytes(*length)) == Ok(data.len()) => {
            Ok((mechanism, data))
        }
        _ => Err(malformed()),
    }
}

/// Appends a PasswordMessage. The password holds no NUL.
pub fn write_password(out: &mut Vec<u8>, password: &str) {
    out.push(b'p');
    with_length(out, |out| super::startup::put_text(out, password));
}

/// Appends a SASLInitialResponse.
pub fn write_sasl_initial(out: &mut Vec<u8>, mechanism: Mechanism, data: &[u8]) {
    out.push(b'p');
    with_length(out, |out| {
        out.extend_from_slice(mechanism.name());
        out.push(0);
        out.extend_from_slice(&i32::try_from(data.len()).expect("a nonce is short").to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// Appends a SASLResponse.
pub fn write_sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    out.push(b'p');
    with_length(out, |out| out.extend_from_slice(data));
}

fn violation(what: &str) -> Fault {
    Fault::ProtocolViolation(what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(message: Authentication<'_>) {
        let mut out = Vec::new();
        message.write(&mut out);
        assert_eq!(out[0], b'R');
        assert_eq!(out[1..5], (out.len() as u32 - 1).to_be_bytes());
        assert_eq!(Authentication::read(&out[5..]), Ok(message));
    }

    #[test]
    fn requests_are_read_as_written() {
        round_trip(Authentication::Ok);
        round_trip(Authentication::CleartextPassword);
        round_trip(Authentication::Md5Password { salt: [0, 1, 2, 255] });
        for (scram_sha_256, plus) in [(true, true), (true, false), (false, true), (false, false)] {
            round_trip(Authentication::Sasl { scram_sha_256, plus });
        }
        round_trip(Authentication::SaslContinue(b"r=x"));
        round_trip(Authentication::SaslFinal(b""));
        round_trip(Authentication::Other(7));
    }

    #[test]
    fn f30_odd_requests_are_refused() {
        for body in [&b""[..], b"\0\0\0", b"\0\0\0\0x", b"\0\0\0\x03x", b"\0\0\0\x05abc", b"\0\0\0\x05abcde"]
        {
            assert_eq!(Authentication::read(body), Err(Malformed));
        }
        let plus_only = Authentication::read(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0");
        assert_eq!(plus_only, Ok(Authentication::Sasl { scram_sha_256: false, plus: true }));
    }

    fn header(tag: u8, length: i32) -> [u8; 5] {
        let [a, b, c, d] = length.to_be_bytes();
        [tag, a, b, c, d]
    }

    #[test]
    fn f115_answers_have_a_longest_length() {
        assert_eq!(answer_head(header(b'p', 4), MAX_SASL), Ok(AnswerHead::Body(0)));
        assert_eq!(answer_head(header(b'p', 1_028), MAX_SASL), Ok(AnswerHead::Body(1_024)));
        for length in [1_029, 3, 0, -1, i32::MIN, i32::MAX] {
            assert!(answer_head(header(b'p', length), MAX_SASL).is_err(), "{length}");
        }
        assert_eq!(answer_head(header(b'X', 4), MAX_SASL), Ok(AnswerHead::Goodbye));
        assert!(answer_head(header(b'Q', 4), MAX_SASL).is_err());
    }

    #[test]
    fn a_password_ends_where_its_message_ends() {
        let mut out = Vec::new();
        write_password(&mut out, "secret");
        assert_eq!(out, b"p\0\0\0\x0bsecret\0");
        assert_eq!(read_password(&out[5..]), Ok(&b"secret"[..]));
        assert_eq!(read_password(b"\0"), Ok(&b""[..]));
        for body in [&b""[..], b"secret", b"a\0b\0", b"secret\0\0"] {
            assert!(read_password(body).is_err());
        }
    }

    #[test]
    fn f115_the_mechanism_and_the_length_must_be_right() {
        let mut out = Vec::new();
        for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
            out.clear();
            write_sasl_initial(&mut out, mechanism, b"n,,n=,r=x");
            assert_eq!(read_sasl_initial(&out[5..]), Ok((mechanism, &b"n,,n=,r=x"[..])));
        }
        for body in [
            &b"SCRAM-SHA-256-PLUS2\0\0\0\0\x01x"[..],
            b"SCRAM-SHA-1\0\0\0\0\x01x",
            b"SCRAM-SHA-256\0\xff\xff\xff\xff",
            b"SCRAM-SHA-256\0\x7f\xff\xff\xffx",
            b"SCRAM-SHA-256\0\0\0\0\x02x",
            b"SCRAM-SHA-256\0\0\0",
            b"SCRAM-SHA-256",
            b"",
        ] {
            assert!(read_sasl_initial(body).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(body in vec(any::<u8>(), 0..100)) {
            let _ = (Authentication::read(&body), read_password(&body), read_sasl_initial(&body));
        }
    }
}
