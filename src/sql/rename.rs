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

/// Where names were exchanged, so that a place in the new text can be told as one in the old. Counted in
/// characters, as PostgreSQL's error positions are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamed(Vec<Exchanged>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exchanged {
    old: Range<usize>,
    new: Range<usize>,
}

impl Renamed {
    /// Whether no name was exchanged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position in the old text, counted from 1, of one in the new. Within a name it is the name's beginning.
    pub fn position_before(&self, position: usize) -> usize {
        match self.0.iter().rfind(|name| name.new.start < position) {
            None => position,
            Some(name) if position <= name.new.end => name.old.start + 1,
            Some(name) => name.old.end + (position - name.new.end),
        }
    }
}

/// Writes the text with new statement names to the end of `out`, and says where; if nowhere, `out` is as before.
/// `analysis` must be of this text. `lookup` gives the new name, or `None` to leave the old one.
pub fn rename_statements(
    text: &[u8],
    analysis: &Analysis,
    mut lookup: impl FnMut(&StatementRef) -> Option<String>,
    out: &mut Vec<u8>,
) -> Renamed {
    let (mut renamed, mut written, begin) = (Renamed::default(), 0, out.len());
    for reference in &analysis.statements {
        if let Some(name) = lookup(reference) {
            out.extend_from_slice(&text[written..reference.span.start]);
            let start = characters(&out[begin..]);
            quote_identifier(name.as_bytes(), out);
            written = reference.span.end;
            let old = characters(&text[..reference.span.start])..characters(&text[..written]);
            renamed.0.push(Exchanged { old, new: start..characters(&out[begin..]) });
        }
    }
    if !renamed.is_empty() {
        out.extend_from_slice(&text[written..]);
    }
    renamed
}

/// In UTF-8; what isn't, is taken for an encoding of single bytes.
fn characters(text: &[u8]) -> usize {
    std::str::from_utf8(text).map_or(text.len(), |text| text.chars().count())
}
