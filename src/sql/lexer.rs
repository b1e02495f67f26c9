//! Tokens of PostgreSQL's SQL (`src/backend/parser/scan.l` is the authority), as far as effects need them:
//! comments vanish, numbers and operators shrink to a byte.
//!
//! Depends on memchr and on `words` for the hash of a word. Invariant: a string, quoted name or comment ends
//! where PostgreSQL ends it, given the [`Dialect`]; one that doesn't end sets `unterminated`.

use memchr::{memchr, memchr2, memmem};

use super::words::WordHash;

/// What decides how a text is cut into tokens, besides the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The setting in force when the server gets the text. Off: a backslash escapes in any string.
    pub standard_conforming_strings: bool,
    /// Bytes below 0x80 always stand for themselves in the client's encoding. That's so in all but SJIS,
    /// SHIFT_JIS_2004, BIG5, GBK, UHC, GB18030 and JOHAB.
    pub ascii_safe_encoding: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { standard_conforming_strings: true, ascii_safe_encoding: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or an unquoted identifier, as written.
    Word(&'a [u8], WordHash),
    /// What stands between the quotes of a quoted identifier; a quote within is still doubled.
    Quoted(&'a [u8]),
    /// `U&"…"`, which may spell anything.
    UnicodeName,
    /// A string constant: its value, where that is just what is written.
    Literal(Option<&'a [u8]>),
    /// Anything else: the first byte of a number, parameter or operator, or a byte of punctuation.
    Byte(u8),
}

/// A place in a text. Copy it to look ahead.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    start: usize,
    backslash: bool,
    unterminated: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Self { text, at: 0, start: 0, backslash: !dialect.standard_conforming_strings, unterminated: false }
    }

    /// Where the last token stood, in bytes.
    pub(super) fn span(&self) -> std::ops::Range<usize> {
        self.start..self.at
    }

    /// Whether a string, quoted name or comment ran into the end of the text.
    pub(super) fn unterminated(&self) -> bool {
        self.unterminated
    }

    /// Inlined, as is `word`: that takes a quarter off the walk over a text.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let &byte = self.text.get(self.at)?;
            self.start = self.at;
            self.at += 1;
            match CLASSES[usize::from(byte)] {
                Class::Space => {}
                Class::Letter => return self.word(),
                Class::Digit => {
                    self.skip_digits();
                    return Some(Token::Byte(byte));
                }
                Class::Plain => return Some(Token::Byte(byte)),
                Class::Special => match (byte, self.peek()) {
                    (b'\'', _) => {
                        return self.literal(if self.backslash { Escapes::Yes } else { Escapes::No });
                    }
                    (b'"', _) => return self.quoted().map(Token::Quoted),
                    (b'$', _) => return self.dollar(),
                    (b'-', Some(b'-')) => self.at = self.line_end(self.at),
                    (b'/', Some(b'*')) => self.skip_comment(),
                    _ => return Some(Token::Byte(byte)),
                },
            }
        }
    }

    /// The next token, left where it is.
    pub(super) fn ahead(mut self) -> Option<Token<'a>> {
        self.next()
    }

    /// Whether arguments follow.
    pub(super) fn at_call(self) -> bool {
        self.ahead() == Some(Token::Byte(b'('))
    }

    /// Takes the next token if it is this keyword, given in lower case.
    pub(super) fn accept(&mut self, keyword: &str) -> bool {
        self.accept_if(
            |token| matches!(token, Token::Word(word, _) if word.eq_ignore_ascii_case(keyword.as_bytes())),
        )
    }

    /// Takes the next token if it is this byte.
    pub(super) fn accept_byte(&mut self, byte: u8) -> bool {
        self.accept_if(|token| token == Token::Byte(byte))
    }

    fn accept_if(&mut self, wanted: impl FnOnce(Token<'a>) -> bool) -> bool {
        let mut ahead = *self;
        let accepted = ahead.next().is_some_and(wanted);
        if accepted {
            *self = ahead;
        }
        accepted
    }

    /// Behind a `(`: goes behind its `)`.
    pub(super) fn skip_group(&mut self) {
        let mut depth = 1_u32;
        while depth > 0 {
            match self.next() {
                Some(Token::Byte(b'(')) => depth += 1,
                Some(Token::Byte(b')')) => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// The end of the line that `from` stands in: its line feed, or the end of the text.
    fn line_end(&self, from: usize) -> usize {
        memchr2(b'\n', b'\r', &self.text[from..]).map_or(self.text.len(), |length| from + length)
    }

    /// Behind the slash of `/*`; comments nest.
    fn skip_comment(&mut self) {
        let mut depth = 1_u32;
        self.at += 1;
        while depth > 0 {
            let Some(found) = memchr2(b'*', b'/', &self.text[self.at..]) else {
                return self.run_out();
            };
            self.at += found;
            match self.text.get(self.at..self.at + 2) {
                Some(b"*/") => (depth, self.at) = (depth - 1, self.at + 2),
                Some(b"/*") => (depth, self.at) = (depth + 1, self.at + 2),
                _ => self.at += 1,
            }
        }
    }

    fn run_out(&mut self) {
        self.at = self.text.len();
        self.unterminated = true;
    }

    /// Behind the first letter. `e'…'` and its like are strings only if the letter stands alone.
    #[inline(always)]
    fn word(&mut self) -> Option<Token<'a>> {
        let mut hash = WordHash::EMPTY;
        let mut end = self.start;
        for &byte in &self.text[self.start..] {
            if !continues_word(byte) {
                break;
            }
            hash = hash.with(byte);
            end += 1;
        }
        self.at = end;
        let word = &self.text[self.start..end];
        if let &[letter] = word {
            match (letter | 0x20, &self.text[end..]) {
                (b'e', [b'\'', ..]) => {
                    self.at += 1;
                    return self.literal(Escapes::Yes);
                }
                (b'b' | b'x', [b'\'', ..]) => {
                    self.at += 1;
                    return self.literal(Escapes::Other);
                }
                (b'u', [b'&', b'\'', ..]) => {
                    self.at += 2;
                    return self.literal(Escapes::Other);
                }
                (b'u', [b'&', b'"', ..]) => {
                    self.at += 2;
                    return self.quoted().map(|_| Token::UnicodeName);
                }
                _ => {}
            }
        }
        Some(Token::Word(word, hash))
    }

    /// Behind the opening quote.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        loop {
            let Some(found) = memchr(b'"', &self.text[self.at..]) else {
                self.run_out();
                return None;
            };
            self.at += found + 1;
            if self.peek() != Some(b'"') {
                return Some(&self.text[start..self.at - 1]);
            }
            self.at += 1;
        }
    }

    /// Behind the opening quote. A string goes on after white space with a line break in it, by the same rules.
    fn literal(&mut self, escapes: Escapes) -> Option<Token<'a>> {
        let start = self.at;
        let mut exact = escapes != Escapes::Other;
        loop {
            let rest = &self.text[self.at..];
            let found = match escapes {
                Escapes::Yes => memchr2(b'\'', b'\\', rest),
                Escapes::No | Escapes::Other => memchr(b'\'', rest),
            };
            let Some(found) = found else {
                self.run_out();
                return None;
            };
            self.at += found + 1;
            if rest[found] == b'\\' {
                self.at = (self.at + 1).min(self.text.len());
            } else if self.peek() == Some(b'\'') {
                self.at += 1;
            } else if let Some(next_part) = self.continuation() {
                self.at = next_part;
            } else {
                let value = &self.text[start..self.at - 1];
                return Some(Token::Literal(exact.then_some(value)));
            }
            exact = false;
        }
    }

    /// Behind a closing quote: where the string's next part begins, if it has one.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut new_line = false;
        loop {
            match self.text.get(at)? {
                b'\n' | b'\r' => new_line = true,
                b' ' | b'\t' | 0x0b | 0x0c => {}
                b'-' if self.text.get(at + 1) == Some(&b'-') => at = self.line_end(at) - 1,
                b'\'' if new_line => return Some(at + 1),
                _ => return None,
            }
            at += 1;
        }
    }

    /// Behind a `$`: a parameter, a dollar-quoted string, or a stray byte.
    fn dollar(&mut self) -> Option<Token<'a>> {
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_digits();
            return Some(Token::Byte(b'$'));
        }
        let tag =
            self.text[self.at..].iter().take_while(|&&byte| byte != b'$' && continues_word(byte)).count();
        let body = self.at + tag + 1;
        if self.text.get(body - 1) != Some(&b'$') {
            return Some(Token::Byte(b'$'));
        }
        let Some(length) = memmem::find(&self.text[body..], &self.text[self.start..body]) else {
            self.run_out();
            return None;
        };
        self.at = body + length + tag + 2;
        Some(Token::Literal(Some(&self.text[body..body + length])))
    }
}

/// What a backslash means in a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Yes,
    No,
    /// Nothing, but the value isn't what is written: `b'…'`, `x'…'`, `u&'…'`.
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Digit,
    /// May begin a string, a quoted name or a comment.
    Special,
    Plain,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Class::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' | b'"' | b'$' | b'-' | b'/' => Class::Special,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

fn continues_word(byte: u8) -> bool {
    matches!(CLASSES[usize::from(byte)], Class::Letter | Class::Digit) || byte == b'$'
}
