//! Which `CREATE` and `ALTER` may change what other texts do: those of something that runs SQL when it is used, or of a
//! relation to which such things may belong.
//!
//! Depends on `lexer`. Invariant: what is temporary doesn't count, since nobody else can use it.

use super::lexer::{Dialect, Lexer, Token};

/// Where the keyword stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Text,
    /// In the body of a routine. Many make tables, partitions say; those that belong to a table that runs something are
    /// mostly used by that table's name.
    Body,
}

/// Objects that run SQL when they are used, or come with such ones.
const RUN: &[&str] = &[
    "function",
    "procedure",
    "routine",
    "aggregate",
    "trigger",
    "constraint", // TRIGGER
    "event",      // TRIGGER
    "view",
    "materialized", // VIEW
    "recursive",    // VIEW
    "rule",
    "policy",
    "extension",
    "schema", // its elements
    "operator",
    "cast",
    "domain",
];
/// Relations that inherit triggers, or whose columns have defaults.
const RELATIONS: &[&str] = &["table", "unlogged", "foreign"];

/// Whether a `CREATE` or `ALTER` counts; `lexer` stands behind that word.
pub(super) fn changes_catalog(mut lexer: Lexer<'_>, place: Place) -> bool {
    let _ = lexer.accept("or") && lexer.accept("replace");
    let accepts = |words: &[&str]| words.iter().any(|word| lexer.clone().accept(word));
    accepts(RUN) || (place == Place::Text && accepts(RELATIONS))
}

/// Whether a command tag tells of such a statement. That of a table doesn't count, since it may be temporary.
pub fn tag_changes_catalog(tag: &[u8]) -> bool {
    let mut lexer = Lexer::new(tag, Dialect::default());
    (lexer.accept("create") || lexer.accept("alter")) && changes_catalog(lexer, Place::Body)
}

/// Whether a string in this text looks like such a statement, or like the beginning of one: dynamic SQL may run it.
pub(super) fn is_quoted_in(text: &[u8], dialect: Dialect) -> bool {
    let mut lexer = Lexer::new(text, dialect);
    while let Some(token) = lexer.next() {
        if let Token::Literal(value) = token {
            let written = &text[lexer.span()];
            let opened = written.iter().position(|byte| *byte == b'\'').map_or(0, |quote| quote + 1);
            if is_mentioned_in(value.unwrap_or_else(|| &written[opened..])) {
                return true;
            }
        }
    }
    false
}

fn is_mentioned_in(string: &[u8]) -> bool {
    let mut lexer = Lexer::new(string, Dialect::default());
    while let Some(token) = lexer.next() {
        let Token::Word(word, _) = token else { continue };
        let begins = word.eq_ignore_ascii_case(b"create") || word.eq_ignore_ascii_case(b"alter");
        let continues_elsewhere = || matches!(lexer.ahead(), None | Some(Token::Byte(b'%')));
        if begins && (changes_catalog(lexer, Place::Body) || continues_elsewhere()) {
            return true;
        }
    }
    false
}
