//! One message's header: a type byte and a length that counts itself but not the type.

use thiserror::Error;

/// Type byte and length word.
pub const HEAD: usize = 5;

/// PostgreSQL's own bound on what it sends (`MaxAllocSize`, 1 GiB − 1) and the length word. What it takes is
/// bounded by type, a little lower ([`longest_request`](super::tag::frontend::longest_request)).
const LARGEST: i32 = 0x3fff_ffff + 4;

/// A header that passed its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub tag: u8,
    /// The whole message in bytes, header included; at least [`HEAD`].
    pub total: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message type {:?} with the impossible length {length}", char::from(*tag))]
pub struct BadLength {
    pub tag: u8,
    pub length: i32,
}

/// Reads the header at the start of `bytes`; `None` while fewer than [`HEAD`] bytes are there.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, BadLength> {
    let &[tag, a, b, c, d, ..] = bytes else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    if !(4..=LARGEST).contains(&length) {
        return Err(BadLength { tag, length });
    }
    Ok(Some(Head { tag, total: length as usize + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_judged_as_the_i32_that_it_is() {
        let with = |length: i32| head(&[&[b'Q'][..], &length.to_be_bytes()].concat());
        for bad in [0, 3, -1, i32::MIN, i32::MAX, LARGEST + 1] {
            assert_eq!(with(bad), Err(BadLength { tag: b'Q', length: bad }));
        }
        assert_eq!(with(4), Ok(Some(Head { tag: b'Q', total: 5 })));
        assert_eq!(with(LARGEST), Ok(Some(Head { tag: b'Q', total: LARGEST as usize + 1 })));
    }

    #[test]
    fn a_header_waits_for_its_five_bytes() {
        assert_eq!(head(&[]), Ok(None));
        assert_eq!(head(&[b'Q', 0, 0, 0]), Ok(None));
    }
}
