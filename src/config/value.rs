//! What was typed, and the kinds of value it may mean.
//!
//! A [`Raw`] is a value as its source wrote it. A [`Kind`] turns it into a value with a type, or says why it
//! can't, and writes it back as TOML. After this step no text is left to interpret.

use std::path::PathBuf;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::auth::secret::Secret;

use super::nearest;
use super::source::url::Url;

/// A value as it was typed; it may be a secret, so it has no `Debug` and is wiped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub enum Raw {
    /// From a source without types: an environment variable, a flag, an ini file, a secret's file.
    Untyped(String),
    String(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

/// Why a value can't be used. Never quotes a secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    #[error("expected {expected}, found {found}")]
    Type { expected: String, found: &'static str },
    #[error("\"{text}\" is not {expected}")]
    Form { text: String, expected: String },
    #[error("{value} is out of range: {range}")]
    Range { value: String, range: String },
    #[error("unknown word \"{text}\"; {}", nearest::advice(.text, .known.iter().copied()))]
    Word { text: String, known: Vec<&'static str> },
    #[error("{0}")]
    Other(String),
}

/// One way to read a value, to show it, and to say what it may be.
pub trait Kind {
    type Value;

    /// What may be written, for documentation and errors: `integer from 1 to 9`.
    fn accepts(&self) -> String;
    fn read(&self, raw: &Raw) -> Result<Self::Value, Wrong>;
    /// The value as TOML, a secret as `"***"`; `None`: not set.
    fn show(&self, value: &Self::Value) -> Option<String>;
    /// Whether it may be given by a file, and is hidden.
    fn is_secret(&self) -> bool {
        false
    }
    fn wrong_type(&self, raw: &Raw) -> Wrong {
        Wrong::Type { expected: self.accepts(), found: raw.type_name() }
    }
}

impl Raw {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Untyped(_) => "text",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// As TOML, secrets too.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Untyped(text) | Self::String(text) => quote(text),
            Self::Integer(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::List(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| quote(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        }
    }

    pub(super) fn is_off(&self) -> bool {
        matches!(self, Self::Integer(0)) || matches!(self.text(), Some("off" | "0"))
    }
}

/// A whole number within bounds, both included.
pub(super) struct Count {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Count {
    fn check(&self, value: i64, written: &str) -> Result<u32, Wrong> {
        u32::try_from(value)
            .ok()
            .filter(|value| (self.min..=self.max).contains(value))
            .ok_or_else(|| Wrong::Range { value: written.to_owned(), range: self.accepts() })
    }
}

impl Kind for Count {
    type Value = u32;

    fn accepts(&self) -> String {
        match self.max {
            u32::MAX => format!("an integer from {}", self.min),
            max => format!("an integer from {} to {max}", self.min),
        }
    }

    fn read(&self, raw: &Raw) -> Result<u32, Wrong> {
        match raw {
            Raw::Integer(value) => self.check(*value, &value.to_string()),
            Raw::Untyped(text) => {
                let value = text
                    .trim()
                    .parse()
                    .map_err(|_| Wrong::Form { text: text.clone(), expected: self.accepts() })?;
                self.check(value, text)
            }
            _ => Err(self.wrong_type(raw)),
        }
    }

    fn show(&self, value: &u32) -> Option<String> {
        Some(value.to_string())
    }
}

pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<bool, Wrong> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Untyped(text) => {
                text.trim().parse().map_err(|_| Wrong::Form { text: text.clone(), expected: self.accepts() })
            }
            _ => Err(self.wrong_type(raw)),
        }
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// One of a few words. The first spelling of a value is the one shown.
pub(super) struct Word<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Word<T> {
    type Value = T;

    fn accepts(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        words.join(", ")
    }

    fn read(&self, raw: &Raw) -> Result<T, Wrong> {
        let text = raw.text().ok_or_else(|| self.wrong_type(raw))?;
        self.0.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value).ok_or_else(
            || Wrong::Word { text: text.to_owned(), known: self.0.iter().map(|(word, _)| *word).collect() },
        )
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, known)| known == value).map(|(word, _)| format!("\"{word}\""))
    }
}

/// Any text that isn't empty and has no NUL (none can be sent to a server).
pub(super) struct Text;

impl Kind for Text {
    type Value = String;

    fn accepts(&self) -> String {
        "a string".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<String, Wrong> {
        match raw.text() {
            None => Err(self.wrong_type(raw)),
            Some("") => Err(Wrong::Other("must not be empty".to_owned())),
            Some(text) if text.contains('\0') => Err(Wrong::Other("must not contain NUL".to_owned())),
            Some(text) => Ok(text.to_owned()),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quote(value))
    }
}

/// The name of a file.
pub(super) struct File;

impl Kind for File {
    type Value = PathBuf;

    fn accepts(&self) -> String {
        "a file's path".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<PathBuf, Wrong> {
        Text.read(raw).map(PathBuf::from)
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quote(&value.to_string_lossy()))
    }
}

/// A text that is never shown.
pub(super) struct Hidden;

impl Kind for Hidden {
    type Value = Secret;

    fn accepts(&self) -> String {
        "a string (secret)".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<Secret, Wrong> {
        Text.read(raw).map(Secret::new)
    }

    fn show(&self, _: &Secret) -> Option<String> {
        Some("\"***\"".to_owned())
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// Several such texts; untyped, a line each, since any other character may be part of one.
pub(super) struct HiddenList;

impl Kind for HiddenList {
    type Value = Vec<Secret>;

    fn accepts(&self) -> String {
        "a list of strings (secret)".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<Vec<Secret>, Wrong> {
        let texts: Vec<&str> = match raw {
            Raw::List(texts) => texts.iter().map(String::as_str).collect(),
            Raw::Untyped(text) => text.lines().collect(),
            _ => return Err(self.wrong_type(raw)),
        };
        texts.into_iter().map(|text| Hidden.read(&Raw::String(text.to_owned()))).collect()
    }

    fn show(&self, value: &Vec<Secret>) -> Option<String> {
        let hidden: Vec<_> = value.iter().filter_map(|secret| Hidden.show(secret)).collect();
        Some(format!("[{}]", hidden.join(", ")))
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A program and its arguments; untyped, blanks separate them.
pub(super) struct Words;

impl Kind for Words {
    type Value = Vec<String>;

    fn accepts(&self) -> String {
        "a list such as [\"program\", \"argument\"]".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Wrong> {
        let words: Vec<String> = match raw {
            Raw::List(words) => words.clone(),
            Raw::Untyped(text) => text.split_whitespace().map(str::to_owned).collect(),
            _ => return Err(self.wrong_type(raw)),
        };
        match words.first() {
            Some(program) if !program.is_empty() && !words.iter().any(|word| word.contains('\0')) => {
                Ok(words)
            }
            _ => Err(Wrong::Other("must name a program".to_owned())),
        }
    }

    fn show(&self, value: &Vec<String>) -> Option<String> {
        let words: Vec<_> = value.iter().map(|word| quote(word)).collect();
        Some(format!("[{}]", words.join(", ")))
    }
}

/// A connection URL. It may hold a password, so it may come from a file, and is shown without it.
pub(super) struct Link;

impl Kind for Link {
    type Value = Url;

    fn accepts(&self) -> String {
        "a URL such as \"postgres://user:password@host:5432/name\" (secret)".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<Url, Wrong> {
        let text = raw.text().ok_or_else(|| self.wrong_type(raw))?;
        Url::parse(text.trim()).map_err(|error| Wrong::Other(error.to_string()))
    }

    fn show(&self, value: &Url) -> Option<String> {
        Some(quote(&value.redacted()))
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A key without a default: what isn't written stays unset.
pub(super) struct Maybe<K>(pub(super) K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn read(&self, raw: &Raw) -> Result<Self::Value, Wrong> {
        self.0.read(raw).map(Some)
    }

    fn show(&self, value: &Self::Value) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }

    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
}

/// A bound that may be switched off, by `"off"` or `0`.
pub(super) struct OrOff<K>(pub(super) K);

impl<K: Kind> Kind for OrOff<K> {
    type Value = Option<K::Value>;

    fn accepts(&self) -> String {
        format!("{}, or \"off\"", self.0.accepts())
    }

    fn read(&self, raw: &Raw) -> Result<Self::Value, Wrong> {
        if raw.is_off() { Ok(None) } else { self.0.read(raw).map(Some) }
    }

    fn show(&self, value: &Self::Value) -> Option<String> {
        match value {
            Some(value) => self.0.show(value),
            None => Some("\"off\"".to_owned()),
        }
    }
}

/// A basic TOML string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
