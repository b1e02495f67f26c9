//! The parameters that a server reports (ParameterStatus), compared in one step when nothing changed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::sql::Dialect;

/// Reported parameters in the order in which the server first named them.
#[derive(Clone, Debug)]
pub struct Params {
    list: Arc<Vec<(Box<str>, Box<str>)>>,
    digest: u64,
    dialect: Dialect,
}

/// Encodings whose multi-byte characters may contain bytes that look like ASCII.
const NOT_ASCII_SAFE: &[&str] = &["SJIS", "BIG5", "GBK", "UHC", "JOHAB", "GB18030", "SHIFT_JIS_2004"];

impl Default for Params {
    fn default() -> Self {
        let dialect = Dialect { standard_conforming_strings: true, ascii_safe_encoding: true };
        Self { list: Arc::default(), digest: 0, dialect }
    }
}

impl Params {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Records one report. Costs something only when the value is another.
    pub fn set(&mut self, name: &str, value: &str, hasher: &RandomState) {
        if self.get(name) == Some(value) {
            return;
        }
        let list = Arc::make_mut(&mut self.list);
        match list.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value.into(),
            None => list.push((name.into(), value.into())),
        }
        match name {
            "standard_conforming_strings" => self.dialect.standard_conforming_strings = value == "on",
            "client_encoding" => self.dialect.ascii_safe_encoding = !NOT_ASCII_SAFE.contains(&value),
            _ => {}
        }
        // The order of the reports doesn't matter, so neither does that of the sum.
        self.digest = list.iter().fold(0, |sum: u64, pair| sum.wrapping_add(hasher.hash_one(pair)));
    }

    /// How the session reads SQL texts.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether both hold the same values: one comparison.
    pub fn same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Takes over the other's values. Equal ones become one copy, so that thousands of clients share it.
    pub fn adopt(&mut self, other: &Self) {
        if !Arc::ptr_eq(&self.list, &other.list) {
            self.clone_from(other);
        }
    }

    /// What `self` has and `other` lacks or has otherwise.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(|&(name, value)| other.get(name) != Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_equal_in_any_order() {
        let hasher = RandomState::new();
        let (mut a, mut b) = (Params::default(), Params::default());
        a.set("TimeZone", "UTC", &hasher);
        a.set("DateStyle", "ISO, MDY", &hasher);
        b.set("DateStyle", "ISO, DMY", &hasher);
        b.set("TimeZone", "UTC", &hasher);
        assert!(!a.same_as(&b));
        assert_eq!(a.difference(&b).collect::<Vec<_>>(), [("DateStyle", "ISO, MDY")]);
        b.set("DateStyle", "ISO, MDY", &hasher);
        assert!(a.same_as(&b));
    }
}
