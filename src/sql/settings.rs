//! Which settings a `SET`, a `RESET` or a call of `set_config` means, in each of their spellings
//! (`VariableSetStmt` and `VariableResetStmt` in PostgreSQL's `gram.y`).
//!
//! Depends on `analyse` for where to write them, `lexer`, `names`, `effects`. Invariant: a spelling that isn't understood counts as all settings.

use super::analyse::Analysis;
use super::effects::Effects;
use super::lexer::{Lexer, Token};
use super::names::{setting_name, take_setting};

/// Settings that change what a statement's text means when it is analysed.
pub const MEANING: &[&str] = &[
    "client_encoding",
    "search_path",
    "datestyle",
    "timezone",
    "intervalstyle",
    "standard_conforming_strings",
    "backslash_quote",
    "transform_null_equals",
    "array_nulls",
    "xmloption",
    "xmlbinary",
    "bytea_output",
    "lc_monetary",
    "default_text_search_config",
    "quote_all_identifiers",
    "row_security",
];

/// How long a new value lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Session,
    Transaction,
}

/// Tokens read to see whether a `set_config` is local; beyond that it counts as not.
const TOKENS_AHEAD: usize = 64;

impl Analysis {
    /// A `SET`; `lexer` stands behind that word.
    pub(super) fn set(&mut self, mut lexer: Lexer<'_>) {
        let mut lasts = Lasts::Session;
        if assigned(lexer).is_none() {
            let mut ahead = lexer;
            if ahead.accept("local") {
                (lexer, lasts) = (ahead, Lasts::Transaction);
            } else if ahead.accept("session") && !continues_session(ahead) {
                lexer = ahead;
            }
        }
        self.set_rest(lexer, lasts);
    }

    /// Behind `LOCAL` or `SESSION`, if there was one.
    fn set_rest(&mut self, mut lexer: Lexer<'_>, lasts: Lasts) {
        if let Some(name) = assigned(lexer) {
            self.note(&name, lasts);
        } else if lexer.accept("transaction") || lexer.accept("constraints") {
            // Ends with the transaction.
        } else if lexer.accept("session") && lexer.accept("characteristics") {
            self.note("default_transaction_isolation", lasts);
            self.note("default_transaction_read_only", lasts);
            self.note("default_transaction_deferrable", lasts);
        } else if lexer.accept("authorization") {
            self.note("session_authorization", lasts);
        } else if lexer.accept("role") {
            self.note("role", lasts);
        } else if lexer.accept("time") && lexer.accept("zone") {
            self.note("timezone", lasts);
        } else if lexer.accept("names") {
            self.note("client_encoding", lasts);
        } else if lexer.accept("schema") {
            self.note("search_path", lasts);
        } else if lexer.accept("xml") && lexer.accept("option") {
            self.note("xmloption", lasts);
        } else {
            self.note_unknown(lasts);
        }
    }

    /// A `RESET`; `lexer` stands behind that word.
    pub(super) fn reset(&mut self, mut lexer: Lexer<'_>) {
        let mut ahead = lexer;
        let setting = take_setting(&mut ahead);
        if lexer.accept("session") && lexer.accept("authorization") {
            self.note("session_authorization", Lasts::Session);
        } else if lexer.accept("transaction") && lexer.accept("isolation") {
            // Ends with the transaction.
        } else if lexer.accept("time") && lexer.accept("zone") {
            self.note("timezone", Lasts::Session);
        } else if lexer.accept("all") {
            self.effects |= Effects::GUC_ALL;
        } else if let Some(name) = setting {
            self.note(&name, Lasts::Session);
        } else {
            self.effects |= Effects::GUC_ALL;
        }
    }

    /// A call of `dblink_connect([name,] connection)`; `lexer` stands behind that word.
    pub(super) fn connect(&mut self, mut lexer: Lexer<'_>) {
        if lexer.accept_byte(b'(') {
            let is_named = next_comma(&mut lexer) != Some(false);
            self.effects |= if is_named { Effects::EXTCONN } else { Effects::EXTCONN_UNNAMED };
        }
    }

    /// A call of `set_config(name, value, is_local)`; `lexer` stands behind that word.
    pub(super) fn set_config(&mut self, mut lexer: Lexer<'_>) {
        if !lexer.accept_byte(b'(') {
            return;
        }
        let lasts = if is_local(lexer) { Lasts::Transaction } else { Lasts::Session };
        match first_argument(lexer).and_then(setting_name) {
            Some(name) => self.note(&name, lasts),
            None => self.note_nameless(lasts),
        }
    }

    /// A setting, by its canonical name, gets a new value for the session.
    pub(super) fn note_session(&mut self, name: &str) {
        self.note(name, Lasts::Session);
    }

    /// Adds the settings of a text within this one.
    pub(super) fn note_inner(&mut self, inner: &Self) {
        inner.names.iter().for_each(|name| self.note(name, Lasts::Session));
        inner.local_custom.iter().for_each(|name| self.note(name, Lasts::Transaction));
        self.local_nameless |= inner.local_nameless;
    }

    fn note(&mut self, name: &str, lasts: Lasts) {
        let list = match (name, lasts) {
            ("transaction_isolation" | "transaction_read_only" | "transaction_deferrable", _) => return,
            (_, Lasts::Transaction) if !name.contains('.') => {
                self.local_meaning |=
                    MEANING.contains(&name) || matches!(name, "role" | "session_authorization");
                return;
            }
            (_, Lasts::Transaction) => &mut self.local_custom,
            ("role" | "session_authorization", _) => return self.effects |= Effects::IDENT,
            ("seed", _) => return self.effects |= Effects::SEED,
            _ => {
                self.effects |= Effects::GUC;
                &mut self.names
            }
        };
        if !list.iter().any(|known| **known == *name) {
            list.push(name.into());
        }
    }

    fn note_nameless(&mut self, lasts: Lasts) {
        self.note_unknown(lasts);
        match lasts {
            Lasts::Session => self.effects |= Effects::NAMELESS,
            Lasts::Transaction => self.local_nameless = true,
        }
    }

    fn note_unknown(&mut self, lasts: Lasts) {
        match lasts {
            Lasts::Session => self.effects |= Effects::GUC_ALL,
            Lasts::Transaction => self.local_meaning = true,
        }
    }
}

/// The name in `name =`, `name TO`, `name FROM CURRENT`. Words like `session` or `role` may stand there too.
fn assigned(mut lexer: Lexer<'_>) -> Option<Box<str>> {
    let name = take_setting(&mut lexer)?;
    let assigns = lexer.accept_byte(b'=') || lexer.accept("to") || lexer.accept("from");
    assigns.then_some(name)
}

/// Whether `SESSION` was not the scope but the first word of `SESSION AUTHORIZATION | CHARACTERISTICS`.
fn continues_session(mut lexer: Lexer<'_>) -> bool {
    lexer.accept("authorization") || lexer.accept("characteristics")
}

/// The first argument, if it is one plain string; a cast may follow.
fn first_argument(mut lexer: Lexer<'_>) -> Option<&[u8]> {
    let Some(Token::Literal(value)) = lexer.next() else {
        return None;
    };
    if lexer.accept_byte(b':') && !(lexer.accept_byte(b':') && lexer.accept("text")) {
        return None;
    }
    if lexer.accept_byte(b',') { value } else { None }
}

/// Whether the third argument is the word `true`.
fn is_local(mut lexer: Lexer<'_>) -> bool {
    next_comma(&mut lexer) == Some(true)
        && next_comma(&mut lexer) == Some(true)
        && lexer.accept("true")
        && lexer.accept_byte(b')')
}

/// Goes behind the next argument: true at a comma, false at the end of the call, `None` where neither is in sight.
fn next_comma(lexer: &mut Lexer<'_>) -> Option<bool> {
    let mut depth = 0_u32;
    for _ in 0..TOKENS_AHEAD {
        match lexer.next()? {
            Token::Byte(b'(' | b'[') => depth += 1,
            Token::Byte(b')' | b']') if depth > 0 => depth -= 1,
            Token::Byte(b',') if depth == 0 => return Some(true),
            Token::Byte(b')') => return Some(false),
            Token::Byte(b';') => return None,
            _ => {}
        }
    }
    None
}
