//! The names of databases and users in a rule.

use regex::Regex;

use super::error::Wrong;
use super::token::Token;

/// A name, or all names that a regular expression finds itself in.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Exactly(String),
    /// Written with a slash in front, quoted or not.
    Like(Regex),
}

impl Name {
    pub(super) fn read(token: &Token) -> Result<Self, Wrong> {
        match token.text.strip_prefix('/') {
            Some(pattern) => regex(pattern).map(Self::Like),
            None => Ok(Self::Exactly(token.text.clone())),
        }
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Like(pattern) => pattern.is_match(name),
        }
    }
}

fn regex(pattern: &str) -> Result<Regex, Wrong> {
    Regex::new(pattern).map_err(|error| {
        // Its last line says what; the ones before draw the place.
        let why =
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Wrong::Regex { text: pattern.to_owned(), why }
    })
}

#[derive(Clone, Debug)]
pub(super) enum Database {
    All,
    /// The one of the user's own name.
    SameUser,
    /// Connections for replication, which never get as far as the rules.
    Replication,
    Named(Name),
}

impl Database {
    pub(super) fn read(token: &Token) -> Result<Self, Wrong> {
        Ok(match token.text.as_str() {
            _ if token.quoted => Self::Named(Name::read(token)?),
            "all" => Self::All,
            "sameuser" => Self::SameUser,
            "replication" => Self::Replication,
            "samerole" | "samegroup" => return Err(no_roles(token)),
            _ => Self::Named(Name::read(token)?),
        })
    }

    pub(super) fn fits(&self, database: &str, user: &str) -> bool {
        match self {
            Self::All => true,
            Self::SameUser => database == user,
            Self::Replication => false,
            Self::Named(name) => name.fits(database),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum User {
    All,
    Named(Name),
}

impl User {
    pub(super) fn read(token: &Token) -> Result<Self, Wrong> {
        match token.text.as_str() {
            "all" if !token.quoted => Ok(Self::All),
            text if !token.quoted && text.starts_with('+') => Err(no_roles(token)),
            _ => Name::read(token).map(Self::Named),
        }
    }

    pub(super) fn fits(&self, user: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => name.fits(user),
        }
    }
}

fn no_roles(token: &Token) -> Wrong {
    let what = format!("\"{}\"", token.text);
    Wrong::LeftOut { what, why: "pgweir doesn't know who is a member of which role; name the users" }
}
