//! A key by its owner and name: how TOML, the environment and errors spell it.
//!
//! Depends on the tables of [`super::keys`], which say what names there are.

use std::fmt;

use super::keys::{
    About, DATABASE, PARAMETER, PARAMETERS, POOL, POOL_PREFIX, Row, SERVER_TLS, SERVER_TLS_PREFIX,
    TLS_PREFIX, TOP, USER,
};
use super::value::quote;

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Process,
    /// By name; `*` is the wildcard.
    Database(String),
    User(String),
}

/// A key with its scope: `pool.size` of the process, `pool.size` of a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub scope: Scope,
    pub name: String,
}

impl Key {
    pub fn new(scope: Scope, name: impl Into<String>) -> Self {
        Self { scope, name: name.into() }
    }

    /// `None`: there is no such key.
    pub fn about(&self) -> Option<&'static About> {
        let name = self.name.as_str();
        match self.scope {
            Scope::Process => below(POOL_PREFIX, POOL, name)
                .or_else(|| below(SERVER_TLS_PREFIX, SERVER_TLS, name))
                .or_else(|| find(TOP, name)),
            Scope::Database(_) => parameter(name)
                .or_else(|| below(POOL_PREFIX, POOL, name))
                .or_else(|| below(TLS_PREFIX, SERVER_TLS, name))
                .or_else(|| find(DATABASE, name)),
            Scope::User(_) => find(USER, name),
        }
    }

    /// The table that its owner has in TOML; `None`: it has no owner.
    pub(super) fn section(&self) -> Option<String> {
        match &self.scope {
            Scope::Process => None,
            Scope::Database(owner) => Some(format!("databases.{}", toml_key(owner))),
            Scope::User(owner) => Some(format!("users.{}", toml_key(owner))),
        }
    }

    /// The environment variable that gives it; `None` if its name doesn't survive upper-casing.
    pub fn variable(&self) -> Option<String> {
        let name = self.name.replace('.', "__");
        let bent = |name: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            name.is_empty() || !name.chars().all(plain) || name.contains("__") || name.ends_with('_')
        };
        let path = match &self.scope {
            Scope::Process => name,
            Scope::Database(owner) | Scope::User(owner) if bent(owner) => return None,
            Scope::Database(owner) => format!("databases__{owner}__{name}"),
            Scope::User(owner) => format!("users__{owner}__{name}"),
        };
        Some(format!("PGWEIR_{}", path.to_ascii_uppercase()))
    }
}

/// As TOML writes it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section() {
            None => f.write_str(&self.name),
            Some(section) => write!(f, "{section}.{}", self.name),
        }
    }
}

/// A name as one part of a TOML key, quoted where it must be.
pub(super) fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quote(name) }
}

/// The names of all keys in a scope.
pub(super) fn names(scope: &Scope) -> Vec<String> {
    fn of<T>(table: &'static [Row<T>]) -> impl Iterator<Item = String> {
        table.iter().map(|row| row.about.name.to_owned())
    }
    let pool = || of(POOL).map(|name| format!("{POOL_PREFIX}{name}"));
    let tls = |prefix| of(SERVER_TLS).map(move |name| format!("{prefix}{name}"));
    match scope {
        Scope::Process => of(TOP).chain(pool()).chain(tls(SERVER_TLS_PREFIX)).collect(),
        Scope::Database(_) => of(DATABASE).chain(pool()).chain(tls(TLS_PREFIX)).collect(),
        Scope::User(_) => of(USER).collect(),
    }
}

fn find<T>(table: &'static [Row<T>], name: &str) -> Option<&'static About> {
    table.iter().map(|row| &row.about).find(|about| about.name == name)
}

fn below<T>(prefix: &str, table: &'static [Row<T>], name: &str) -> Option<&'static About> {
    name.strip_prefix(prefix).and_then(|name| find(table, name))
}

fn parameter(name: &str) -> Option<&'static About> {
    let known = name.strip_prefix(PARAMETERS).is_some_and(|parameter| !parameter.is_empty());
    known.then_some(&PARAMETER)
}
