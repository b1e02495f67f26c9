//! The values that settings have in a session which changed none.
//!
//! Depends on nothing. Invariant: names are in lower case; values are as `current_setting` shows them.

use std::collections::HashMap;

/// The values of a fresh session of one profile (database, user, startup parameters).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    values: HashMap<Box<str>, Box<str>, foldhash::fast::RandomState>,
    /// Whether a custom setting that was reset counts as another thing than one that was never heard of.
    exact: bool,
}

impl Baseline {
    /// From the rows of [`queries::BASELINE`](super::queries::BASELINE). NULL reads as the empty string.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut baseline = Self::default();
        for (name, value) in rows {
            baseline.learn(name, value.unwrap_or_default());
        }
        baseline
    }

    /// Sessions that know a custom setting are told from those that don't.
    pub fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// The value of a setting after `RESET`; `None` if it isn't known.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| &**value)
    }

    /// Whether a session in which `name` has this value has changed it. `None` is a custom setting that the
    /// session never heard of; one that it did hear of reads as empty after a `RESET`.
    pub fn overridden_by(&self, name: &str, value: Option<&str>) -> bool {
        match (self.value(name), value) {
            (Some(baseline), value) => baseline != value.unwrap_or_default(),
            (None, Some(value)) => !value.is_empty() || self.is_for_good(name),
            (None, None) => false,
        }
    }

    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether it matters that a session which has heard of this setting can't forget it: `current_setting(name, true)`
    /// is never NULL again there, not even after `DISCARD ALL`.
    pub fn is_for_good(&self, name: &str) -> bool {
        self.exact && name.contains('.') && self.value(name).is_none()
    }

    /// The startup parameters that give a session which would begin with `other` the values of this one, as far as
    /// `settings` are concerned (names in lower case).
    pub fn to_give(&self, other: &Self, settings: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
        let differing = settings.into_iter().filter(|name| self.value(name) != other.value(name));
        differing.filter_map(|name| self.value(&name).map(str::to_owned).map(|value| (name, value))).collect()
    }

    /// Takes a new value, as reported when a configuration was reloaded. True if it is another one.
    pub fn learn(&mut self, name: &str, value: &str) -> bool {
        let name = name.to_ascii_lowercase();
        if self.value(&name) == Some(value) {
            return false;
        }
        self.values.insert(name.into(), value.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_what_differs_from_the_baseline() {
        let rows = [("work_mem", Some("4MB")), ("DateStyle", Some("ISO, MDY")), ("unix_socket_group", None)];
        let mut baseline = Baseline::from_rows(rows);
        assert_eq!(baseline.value("datestyle"), Some("ISO, MDY"));
        assert!(!baseline.overridden_by("work_mem", Some("4MB")));
        assert!(baseline.overridden_by("work_mem", Some("4096kB")));
        assert!(!baseline.overridden_by("unix_socket_group", Some("")));
        assert!(!baseline.overridden_by("app.tenant", None));
        assert!(!baseline.overridden_by("app.tenant", Some("")));
        assert!(baseline.overridden_by("app.tenant", Some("a")));
        let exact = baseline.clone().exact();
        assert!(!exact.overridden_by("app.tenant", None) && exact.is_for_good("app.tenant"));
        assert!(exact.overridden_by("app.tenant", Some("")));
        assert!(!exact.overridden_by("unix_socket_group", Some("")) && !exact.is_for_good("work_mem"));
        assert!(baseline.learn("datestyle", "ISO, DMY"));
        assert!(!baseline.learn("datestyle", "ISO, DMY"));
        assert!(!baseline.overridden_by("datestyle", Some("ISO, DMY")));
    }

    #[test]
    fn what_differs_is_given_where_it_may_be() {
        let old = Baseline::from_rows([("TimeZone", Some("UTC")), ("jit", Some("on")), ("geqo", Some("on"))]);
        let new =
            Baseline::from_rows([("TimeZone", Some("PST8PDT")), ("jit", Some("off")), ("geqo", Some("on"))]);
        let given = old.to_give(&new, ["timezone".to_owned(), "geqo".to_owned(), "unheard_of".to_owned()]);
        assert_eq!(given, [("timezone".to_owned(), "UTC".to_owned())]);
    }
}
