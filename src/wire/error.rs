//! ErrorResponse: writing ours, reading a peer's.
//!
//! A peer may leave out any field, repeat one or forget its terminator: every field read is optional.
//! Source: PostgreSQL documentation, "Error and Notice Message Fields".
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

use std::borrow::Cow;

use super::fault::{Fault, Phase, Severity};
use super::sqlstate::SqlState;
use super::startup::{put_text, with_length};

/// Appends the ErrorResponse that tells a client of `fault`.
pub fn write(out: &mut Vec<u8>, fault: &Fault, phase: Phase) {
    let severity = match fault.severity(phase) {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    out.push(b'E');
    with_length(out, |out| {
        let mut field = |kind: u8, text: &str| {
            out.push(kind);
            put_text(out, text);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', fault.sqlstate().as_str());
        field(b'M', &fault.to_string());
        if let Some(detail) = fault.detail() {
            field(b'D', &detail);
        }
        if let Some(hint) = fault.hint() {
            field(b'H', hint);
        }
        if let Some(routine) = fault.routine() {
            field(b'R', routine);
        }
        out.push(0);
    });
}

/// What a peer's ErrorResponse or NoticeResponse says. Text is in the peer's encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// Not translated if the peer sent that form (field `V`, PostgreSQL 9.6 and later).
    pub severity: Option<&'a [u8]>,
    /// `None` also if it isn't five bytes long.
    pub code: Option<SqlState>,
    pub message: Option<&'a [u8]>,
    pub detail: Option<&'a [u8]>,
    pub hint: Option<&'a [u8]>,
    /// Where in the query's text, in characters from 1.
    pub position: Option<usize>,
    /// The C function that reported it (field `R`).
    pub routine: Option<&'a [u8]>,
}

impl<'a> ErrorFields<'a> {
    /// Reads a message's body. A field that comes twice counts as it came last.
    pub fn read(body: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let mut localized = None;
        let mut rest = body;
        while let Some((kind, tail)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
            let (text, tail) = tail.split_at(memchr::memchr(0, tail).unwrap_or(tail.len()));
            rest = tail.split_first().map_or(&[], |(_nul, tail)| tail);
            match kind {
                b'S' => localized = Some(text),
                b'V' => fields.severity = Some(text),
                b'C' => fields.code = text.try_into().ok().map(SqlState),
                b'M' => fields.message = Some(text),
                b'D' => fields.detail = Some(text),
                b'H' => fields.hint = Some(text),
                b'P' => fields.position = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                b'R' => fields.routine = Some(text),
                _ => {}
            }
        }
        fields.severity = fields.severity.or(localized);
        fields
    }

    /// Whether the connection ends behind this message.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity, Some(b"FATAL" | b"PANIC"))
    }

    /// The message for a log or for another client; empty if there is none.
    pub fn message_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.message.unwrap_or_default())
    }
}

/// A message's body with another position. Fields are told apart by the NULs between them.
pub fn with_position(body: &[u8], position: usize) -> Vec<u8> {
    let mut told = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|byte| *byte == 0) {
        match field.first() {
            Some(b'P') => told.extend_from_slice(format!("P{position}\0").as_bytes()),
            _ => told.extend_from_slice(field),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_is_read_back_as_written() {
        let fault = Fault::TooManyClients { limit: 7 };
        let mut out = b"before".to_vec();
        write(&mut out, &fault, Phase::Login);
        let message = &out[6..];
        assert_eq!(message[0], b'E');
        assert_eq!(u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize, message.len() - 1);
        assert_eq!(
            ErrorFields::read(&message[5..]),
            ErrorFields {
                severity: Some(b"FATAL"),
                code: Some(SqlState::TOO_MANY_CONNECTIONS),
                message: Some(b"pgweir: all 7 client connections are in use"),
                hint: fault.hint().map(str::as_bytes),
                ..ErrorFields::default()
            }
        );
    }

    #[test]
    fn severity_follows_the_phase() {
        let severity = |phase| {
            let mut out = Vec::new();
            write(&mut out, &Fault::Cancelled, phase);
            String::from_utf8_lossy(ErrorFields::read(&out[5..]).severity.unwrap()).into_owned()
        };
        assert_eq!(severity(Phase::Login), "FATAL");
        assert_eq!(severity(Phase::Session), "ERROR");
    }

    #[test]
    fn a_nul_in_a_text_adds_no_field() {
        let mut out = Vec::new();
        write(&mut out, &Fault::UnknownDatabase("a\0Hforged".into()), Phase::Login);
        assert_eq!(ErrorFields::read(&out[5..]).hint, None);
    }

    #[test]
    fn f30_fields_of_a_peer_are_optional() {
        assert_eq!(ErrorFields::read(b""), ErrorFields::default());
        assert_eq!(ErrorFields::read(b"\0"), ErrorFields::default());
        let cut = ErrorFields::read(b"SFEHLER\0C1234\0Mno end");
        assert_eq!(cut.severity, Some(b"FEHLER".as_slice()));
        assert_eq!(cut.code, None);
        assert_eq!(cut.message_text(), "no end");
        assert_eq!(ErrorFields::read(b"SFEHLER\0VERROR\0\0").severity, Some(b"ERROR".as_slice()));
    }

    #[test]
    fn a_position_is_exchanged() {
        let body = b"SERROR\0MP1\0P27\0Rx\0\0";
        assert_eq!(ErrorFields::read(body).position, Some(27));
        assert_eq!(with_position(body, 5), b"SERROR\0MP1\0P5\0Rx\0\0");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            ErrorFields::read(&body).message_text();
        }
    }
}
