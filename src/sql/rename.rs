//! Statement names within a text, and their exchange for others.
//!
//! A client's prepared statements bear other names on the server, so `EXECUTE n` and its kin must be rewritten.
//! Depends on `analyse` and `names`. Invariant: but for the names exchanged, the text stays byte for byte.

use std::ops::Range;

use super::analyse::Analysis;
use super::names::quote_identifier;

/// What a text does with a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `PREPARE n`.
    Prepare,
    /// `EXECUTE n`, also within `EXPLAIN` and `CREATE TABLE … AS`.
    Execute,
    /// `DEALLOCATE [PREPARE] n`.
    Deallocate,
}

/// A place where a text names a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRef {
    pub usage: Use,
    /// As PostgreSQL takes it: folded or unquoted, in the client's encoding.
    pub name: Box<[u8]>,
    /// The bytes of the text that spell it.
    pub span: Range<usize>,
}

/// Writes the text with new statement names to the end of `out`, and says whether there was any; if not, `out` is
/// as before. `analysis` must be of this text. `lookup` gives the new name, or `None` to leave the old one.
pub fn rename_statements(
    text: &[u8],
    analysis: &Analysis,
    mut lookup: impl FnMut(&StatementRef) -> Option<String>,
    out: &mut Vec<u8>,
) -> bool {
    let mut written = 0;
    for reference in &analysis.statements {
        if let Some(name) = lookup(reference) {
            out.extend_from_slice(&text[written..reference.span.start]);
            quote_identifier(name.as_bytes(), out);
            written = reference.span.end;
        }
    }
    // A name has at least one byte, so nothing written means nothing renamed.
    if written > 0 {
        out.extend_from_slice(&text[written..]);
    }
    written > 0
}
