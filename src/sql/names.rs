//! Identifiers: folding, unquoting, quoting, and the names that the lexer meets.
//!
//! Depends on `lexer`. Invariant: a name is what PostgreSQL makes of it: folded if unquoted, cut to 63 bytes.

use std::borrow::Cow;

use super::lexer::{Lexer, Token};

/// The longest identifier in bytes: `NAMEDATALEN - 1`.
const LONGEST: usize = 63;

/// A value that is longer isn't taken for a setting's name, in bytes.
const LONGEST_SETTING: usize = 128;

/// An unquoted identifier as PostgreSQL takes it. (In single-byte encodings the server also folds letters beyond
/// ASCII; this doesn't.)
pub fn fold_identifier(word: &[u8]) -> Box<[u8]> {
    cut(word).to_ascii_lowercase().into()
}

/// An identifier in double quotes, for use in SQL.
pub fn quote_identifier(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in name {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The name that stands next, if one does.
pub(super) fn take_name(lexer: &mut Lexer<'_>) -> Option<Box<[u8]>> {
    let mut ahead = *lexer;
    let name = match ahead.next()? {
        Token::Word(word, _) => fold_identifier(word),
        Token::Quoted(inner) => cut(&unquote(inner)).into(),
        _ => return None,
    };
    *lexer = ahead;
    Some(name)
}

/// The setting's name that stands next: dotted parts, in lower case, since settings don't differ by case.
pub(super) fn take_setting(lexer: &mut Lexer<'_>) -> Option<Box<str>> {
    let mut name = take_name(lexer)?.into_vec();
    while lexer.accept_byte(b'.') {
        name.push(b'.');
        name.extend(take_name(lexer)?);
    }
    setting_name(&name)
}

/// The canonical spelling of a setting's name, unless it isn't UTF-8.
pub(super) fn setting_name(spelt: &[u8]) -> Option<Box<str>> {
    let name = std::str::from_utf8(spelt).ok()?.to_ascii_lowercase();
    // The old names that map_old_guc_names in guc.c still knows.
    Some(match name.as_str() {
        "sort_mem" => "work_mem".into(),
        "vacuum_mem" => "maintenance_work_mem".into(),
        _ => name.into(),
    })
}

/// A value that may be the name of a custom setting: words with dots between them.
pub fn custom_setting_name(value: &[u8]) -> Option<Box<str>> {
    let is_word = |word: &[u8]| {
        word.first().is_some_and(|byte| !byte.is_ascii_digit() && *byte != b'$')
            && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..))
    };
    let is_name = value.len() <= LONGEST_SETTING
        && value.contains(&b'.')
        && value.split(|byte| *byte == b'.').all(is_word);
    if is_name { setting_name(value) } else { None }
}

/// What stands between the quotes of a quoted identifier, without the doubling.
fn unquote(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'"') {
        return Cow::Borrowed(inner);
    }
    let mut name = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        name.push(byte);
        if byte == b'"' {
            bytes.next();
        }
    }
    Cow::Owned(name)
}

/// At most 63 bytes, never half a UTF-8 character.
fn cut(name: &[u8]) -> &[u8] {
    if name.len() <= LONGEST {
        return name;
    }
    let mut end = LONGEST;
    while end > LONGEST - 4 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &name[..end]
}
