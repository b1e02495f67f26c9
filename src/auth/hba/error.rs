//! What is wrong with a rule or a map, and where.

use std::io;

use thiserror::Error;

use super::token::Place;

/// Why rules can't be used.
#[derive(Debug, Error)]
#[error("{place}: {wrong}")]
pub struct HbaError {
    pub place: Place,
    pub wrong: Wrong,
}

#[derive(Debug, Error)]
pub enum Wrong {
    #[error("can't read it: {0}")]
    Io(#[from] io::Error),
    #[error("files include one another more than {0} deep")]
    TooDeep(usize),
    #[error("a quoted name has no end")]
    OpenQuote,
    #[error("holds no rule, so nobody could come in")]
    NoRules,
    #[error("holds no name")]
    NoNames,
    #[error("ends before its {0}")]
    Missing(&'static str),
    #[error("more than one {0}")]
    Several(&'static str),
    /// Whoever knows how to spell better finds the nearest of `known`.
    #[error("unknown {what} \"{word}\"")]
    Unknown { what: &'static str, word: String, known: Vec<String> },
    /// PostgreSQL knows it.
    #[error("{what} is not supported: {why}")]
    LeftOut { what: String, why: &'static str },
    #[error("{0}")]
    Misplaced(&'static str),
    #[error("\"{0}\" is not an address with a mask, as in 10.0.0.0/8 or 10.0.0.0 255.0.0.0")]
    Network(String),
    #[error("\"{0}\" is not an option as in name=value")]
    Option(String),
    #[error("regular expression \"{text}\": {why}")]
    Regex { text: String, why: String },
    #[error("\"{0}\" has no parenthesised part that \\1 could stand for")]
    NoGroup(String),
    #[error("something stands behind the user's name")]
    Behind,
}

impl Wrong {
    pub(super) fn at(self, place: &Place) -> HbaError {
        HbaError { place: place.clone(), wrong: self }
    }
}
