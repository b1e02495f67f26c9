//! Who may come in from where, and by which method: rules in the syntax of `pg_hba.conf`, and maps from names of
//! the system to names of users in the syntax of `pg_ident.conf`.
//!
//! Source: PostgreSQL documentation, "The pg_hba.conf File" and "User Name Maps", with what version 16 added.
//! `docs/hba.md` says what is left out; that is refused when the rules are read, never passed over. Files are read by
//! whoever calls ([`Files`]), so nothing here touches the disk.
//!
//! Invariant: the first rule that fits decides, and where none fits nobody comes in.

mod error;
mod file;
mod ident;
mod judge;
mod name;
mod network;
mod parse;
mod print;
mod rule;
#[cfg(test)]
mod tests;
mod token;

pub use error::{HbaError, Wrong};
pub use file::{Files, Text};
pub use judge::{Allowed, Certificate, Line, Visitor};
pub use rule::Rule;

use std::fmt::Display;

use super::users::Method;

/// All rules, in their order, with the maps that they name.
#[derive(Clone, Debug)]
pub struct Hba {
    rules: Vec<Rule>,
    maps: ident::Maps,
    allowed: Allowed,
}

impl Hba {
    /// Reads rules and, if there are any, maps.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn read(
        rules: Text<'_>,
        maps: Option<Text<'_>>,
        allowed: Allowed,
        files: &dyn Files,
    ) -> Result<Self, HbaError> {
        let maps = maps.map_or_else(|| Ok(ident::Maps::default()), |text| ident::Maps::read(text, files))?;
        let lines = file::lines(rules, files)?;
        let read = lines.iter().map(|line| parse::rule(line, &maps)).collect::<Result<Vec<_>, _>>()?;
        match read.is_empty() {
            true => Err(Wrong::NoRules.at(&rules.whole())),
            false => Ok(Self { rules: read, maps, allowed }),
        }
    }

    /// The rules that one method for everybody comes to: `peer` is about Unix sockets alone, `cert` about TLS alone.
    pub fn of_method(method: Method, allowed: Allowed) -> Self {
        Self { rules: Rule::of_method(method), maps: ident::Maps::default(), allowed }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The lines of all maps, to be shown.
    pub fn mappings(&self) -> impl Iterator<Item = impl Display> {
        self.maps.entries().iter()
    }
}
