//! Maps from names of the system (of a peer's process, of a certificate) to names of users.

use std::collections::BTreeSet;

use regex::Regex;

use super::error::{HbaError, Wrong};
use super::file::{Files, Line, Text, lines};
use super::name::{Name, User};
use super::token::{Field, Token};

/// All lines of `pg_ident.conf`.
#[derive(Clone, Debug, Default)]
pub(super) struct Maps(Vec<Entry>);

/// The users that a name of the system may be, by one line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) map: String,
    pub(super) system: Name,
    pub(super) user: Is,
}

#[derive(Clone, Debug)]
pub(super) enum Is {
    One(User),
    /// What the first group of the system name's expression found, between two texts.
    Captured(String, String),
}

/// What stands for the first group.
pub(super) const GROUP: &str = "\\1";

impl Maps {
    pub(super) fn read(text: Text<'_>, files: &dyn Files) -> Result<Self, HbaError> {
        let read = |line: &Line| Entry::read(&line.fields).map_err(|wrong| wrong.at(&line.place));
        lines(text, files)?.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The names of all maps, each once.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|entry| &entry.map).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Whether someone of the system may be this user. Without a map the two have to be equal.
    pub(super) fn same(&self, map: Option<&str>, system: &str, user: &str) -> bool {
        match map {
            None => system == user,
            Some(map) => self.0.iter().filter(|entry| entry.map == map).any(|entry| entry.fits(system, user)),
        }
    }
}

impl Entry {
    fn read(fields: &[Field]) -> Result<Self, Wrong> {
        let mut rest = fields.iter();
        let map = only(rest.next(), "map")?;
        let system = Name::read(only(rest.next(), "system name")?)?;
        let user = Is::read(only(rest.next(), "user's name")?, &system)?;
        match rest.next() {
            Some(_) => Err(Wrong::Behind),
            None => Ok(Self { map: map.text.clone(), system, user }),
        }
    }

    fn fits(&self, system: &str, user: &str) -> bool {
        match (&self.user, &self.system) {
            (Is::One(one), name) => name.fits(system) && one.fits(user),
            (Is::Captured(before, after), Name::Like(pattern)) => {
                let found = first_group(pattern, system);
                found.is_some_and(|found| format!("{before}{found}{after}") == user)
            }
            (Is::Captured(..), Name::Exactly(_)) => false,
        }
    }
}

impl Is {
    /// As in PostgreSQL, the first `\1` alone counts, and only behind an expression.
    fn read(token: &Token, system: &Name) -> Result<Self, Wrong> {
        let user = User::read(token)?;
        let (User::Named(Name::Exactly(text)), Name::Like(pattern)) = (&user, system) else {
            return Ok(Self::One(user));
        };
        match text.split_once(GROUP) {
            Some(_) if pattern.captures_len() < 2 => Err(Wrong::NoGroup(pattern.to_string())),
            Some((before, after)) => Ok(Self::Captured(before.to_owned(), after.to_owned())),
            None => Ok(Self::One(user)),
        }
    }
}

fn first_group<'a>(pattern: &Regex, text: &'a str) -> Option<&'a str> {
    Some(pattern.captures(text)?.get(1)?.as_str())
}

/// The one name of a field.
pub(super) fn only<'a>(field: Option<&'a Field>, what: &'static str) -> Result<&'a Token, Wrong> {
    match field.map(Field::as_slice) {
        Some([token]) => Ok(token),
        Some(_) => Err(Wrong::Several(what)),
        None => Err(Wrong::Missing(what)),
    }
}
