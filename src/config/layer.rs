//! Settings in layers: what one source says, and how the layers come to lie on each other.
//!
//! A [`Draft`] takes one layer after another, the weakest first; the last to set a key wins and is remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::keys::{
    DATABASE, DatabaseKeys, Key, PARAMETERS, POOL, POOL_PREFIX, Row, SERVER_TLS, SERVER_TLS_PREFIX, Scope,
    TLS_PREFIX, TOP, USER, UserKeys,
};
use super::origin::Origin;
use super::plan::Plan;
use super::report::Problem;
use super::value::{Kind, Raw, Text, Wrong};

/// One key as one source set it.
#[derive(Clone)]
pub struct Setting {
    pub key: Key,
    pub raw: Raw,
    pub origin: Origin,
}

/// The configuration while sources are being laid on each other.
#[derive(Default)]
pub struct Draft {
    /// The keys of the process; its databases and users are still empty.
    pub(super) process: Plan,
    pub(super) databases: BTreeMap<String, DatabaseKeys>,
    pub(super) users: BTreeMap<String, UserKeys>,
    pub(super) origins: HashMap<Key, Origin>,
    problems: Vec<Problem>,
}

impl Draft {
    /// `layers`: the weakest first. A database's pool begins as the process's pool, so that one is filled first.
    pub fn of(layers: Vec<Vec<Setting>>) -> Self {
        let mut draft = Self::default();
        let (process, owned): (Vec<_>, Vec<_>) =
            layers.into_iter().flat_map(in_order).partition(|setting| setting.key.scope == Scope::Process);
        process.into_iter().chain(owned).for_each(|setting| draft.apply(setting));
        draft
    }

    /// Who set a key.
    pub fn origin(&self, key: &Key) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    fn apply(&mut self, Setting { key, raw, origin }: Setting) {
        let read = match &key.scope {
            Scope::Process => apply_process(&mut self.process, &key.name, &raw),
            Scope::Database(name) => {
                let pool = &self.process.pool;
                let database = self
                    .databases
                    .entry(name.clone())
                    .or_insert_with(|| DatabaseKeys { pool: pool.clone(), ..DatabaseKeys::default() });
                if key.name == "url" {
                    forget_place(database);
                }
                apply_database(database, &key.name, &raw)
            }
            Scope::User(name) => {
                apply_row(USER, &key.name, self.users.entry(name.clone()).or_default(), &raw)
            }
        };
        if let Err(wrong) = read {
            self.problems.push(Problem::new(&origin, &key, wrong));
        }
        self.origins.insert(key, origin);
    }
}

/// A URL before its neighbours: it replaces what weaker layers said of the place, and keys beside it refine it.
fn in_order(mut layer: Vec<Setting>) -> Vec<Setting> {
    layer.sort_by_key(|setting| setting.key.name != "url");
    layer
}

fn forget_place(database: &mut DatabaseKeys) {
    *database = DatabaseKeys {
        lookup: database.lookup.clone(),
        max_servers: database.max_servers,
        allow_md5: database.allow_md5,
        allow_cleartext: database.allow_cleartext,
        require_auth: database.require_auth.clone(),
        passfile: database.passfile.clone(),
        tls: database.tls.clone(),
        pool: database.pool.clone(),
        ..DatabaseKeys::default()
    };
}

fn apply_process(plan: &mut Plan, name: &str, raw: &Raw) -> Result<(), Wrong> {
    if let Some(name) = name.strip_prefix(SERVER_TLS_PREFIX) {
        return apply_row(SERVER_TLS, name, &mut plan.server_tls, raw);
    }
    match name.strip_prefix(POOL_PREFIX) {
        Some(name) => apply_row(POOL, name, &mut plan.pool, raw),
        None => apply_row(TOP, name, plan, raw),
    }
}

fn apply_database(database: &mut DatabaseKeys, name: &str, raw: &Raw) -> Result<(), Wrong> {
    if let Some(parameter) = name.strip_prefix(PARAMETERS) {
        let value = Text.read(raw)?;
        database.parameters.retain(|(known, _)| known != parameter);
        database.parameters.push((parameter.to_owned(), value));
        return Ok(());
    }
    if let Some(name) = name.strip_prefix(TLS_PREFIX) {
        return apply_row(SERVER_TLS, name, &mut database.tls, raw);
    }
    match name.strip_prefix(POOL_PREFIX) {
        Some(name) => apply_row(POOL, name, &mut database.pool, raw),
        None => apply_row(DATABASE, name, database, raw),
    }
}

fn apply_row<T>(table: &'static [Row<T>], name: &str, target: &mut T, raw: &Raw) -> Result<(), Wrong> {
    let row = table.iter().find(|row| row.about.name == name).expect("sources emit known keys only");
    (row.read)(target, raw)
}

/// One line of the effective configuration.
pub struct Shown {
    pub key: Key,
    /// As TOML, secrets hidden.
    pub value: String,
    pub origin: Origin,
}

impl Draft {
    /// Every key of the process, and those keys of databases and users that were set.
    pub fn shown(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        let mut show = |key: Key, value: Option<String>, needs_origin: bool| {
            let origin = self.origin(&key);
            if let Some(value) = value.filter(|_| !needs_origin || self.origins.contains_key(&key)) {
                shown.push(Shown { key, value, origin });
            }
        };
        for row in TOP {
            show(Key::new(Scope::Process, row.about.name), (row.show)(&self.process), false);
        }
        for row in POOL {
            let key = Key::new(Scope::Process, format!("{POOL_PREFIX}{}", row.about.name));
            show(key, (row.show)(&self.process.pool), false);
        }
        for row in SERVER_TLS {
            let key = Key::new(Scope::Process, format!("{SERVER_TLS_PREFIX}{}", row.about.name));
            show(key, (row.show)(&self.process.server_tls), false);
        }
        for (name, database) in &self.databases {
            let key = |rest: &str| Key::new(Scope::Database(name.clone()), rest);
            for row in DATABASE {
                show(key(row.about.name), (row.show)(database), true);
            }
            for (parameter, value) in &database.parameters {
                show(key(&format!("{PARAMETERS}{parameter}")), Text.show(value), true);
            }
            for row in SERVER_TLS {
                show(key(&format!("{TLS_PREFIX}{}", row.about.name)), (row.show)(&database.tls), true);
            }
            for row in POOL {
                show(key(&format!("{POOL_PREFIX}{}", row.about.name)), (row.show)(&database.pool), true);
            }
        }
        for (name, user) in &self.users {
            for row in USER {
                show(Key::new(Scope::User(name.clone()), row.about.name), (row.show)(user), true);
            }
        }
        shown
    }

    /// The sections of a file whose name no environment variable can carry.
    pub fn bent_names(&self) -> Vec<String> {
        let in_file = self.origins.iter().filter(|(_, origin)| matches!(origin, Origin::File(_)));
        let bent =
            in_file.map(|(key, _)| key).filter(|key| key.variable().is_none()).filter_map(Key::section);
        bent.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
