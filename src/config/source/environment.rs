//! `PGWEIR_POOL__SIZE=30`: the environment, handed in as a map.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::keys::{Key, Scope, names};
use crate::config::layer::Setting;
use crate::config::nearest::nearest;
use crate::config::origin::Origin;
use crate::config::report::Problem;
use crate::config::source::secret_file;
use crate::config::value::Raw;

/// Names and values of variables.
pub type Environment = BTreeMap<String, String>;

const PREFIX: &str = "PGWEIR_";
/// Sets the wildcard's `url`; so does `PGWEIR_UPSTREAM_FILE`.
const UPSTREAM: &str = "upstream";

/// The settings that `PGWEIR_…` variables make.
pub fn read(environment: &Environment) -> (Vec<Setting>, Vec<Problem>) {
    let mut settings: Vec<Setting> = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let origin = Origin::Environment(name.clone());
        let key = key(path);
        let (key, raw) = match (key.about(), secret_file::held_key(&key)) {
            (Some(_), _) => (key, Ok(Raw::Untyped(value.clone()))),
            (None, Some(held)) => (held, secret_file::read(Path::new(""), &Raw::Untyped(value.clone()))),
            (None, None) if is_service_link(path, value) => continue,
            (None, None) => {
                problems.push(Problem::new(&origin, &key, unknown(&key, path)));
                continue;
            }
        };
        match raw {
            Err(reason) => problems.push(Problem::new(&origin, &key, reason)),
            Ok(_) if settings.iter().any(|known| known.key == key) => {
                problems.push(Problem::new(&origin, &key, "given twice, by itself and by a file"));
            }
            Ok(raw) => settings.push(Setting { key, raw, origin }),
        }
    }
    (settings, problems)
}

/// The URL of the wildcard, from a variable that isn't ours alone.
pub fn database_url(environment: &Environment) -> Option<Setting> {
    let value = environment.get("DATABASE_URL").filter(|value| !value.is_empty())?;
    Some(Setting {
        key: wildcard("url"),
        raw: Raw::Untyped(value.clone()),
        origin: Origin::Environment("DATABASE_URL".to_owned()),
    })
}

/// Where libpq would look for passwords.
pub fn passfile(environment: &Environment) -> Option<PathBuf> {
    let given = |name| environment.get(name).filter(|value: &&String| !value.is_empty());
    match given("PGPASSFILE") {
        Some(path) => Some(path.into()),
        None => given("HOME").map(|home| Path::new(home).join(".pgpass")),
    }
}

/// A key of the database that stands for all names.
pub fn wildcard(name: &str) -> Key {
    Key::new(Scope::Database("*".to_owned()), name)
}

/// `POOL__SIZE` → `pool.size`; it need not be known.
fn key(path: &str) -> Key {
    let path = path.to_ascii_lowercase();
    if path.strip_suffix("_file").unwrap_or(&path) == UPSTREAM {
        return wildcard(&path.replace(UPSTREAM, "url"));
    }
    let owned = |prefix, scope: fn(String) -> Scope| {
        let (owner, rest) = path.strip_prefix(prefix)?.split_once("__")?;
        Some(Key::new(scope(owner.to_owned()), rest.replace("__", ".")))
    };
    owned("databases__", Scope::Database)
        .or_else(|| owned("users__", Scope::User))
        .unwrap_or_else(|| Key::new(Scope::Process, path.replace("__", ".")))
}

/// Compared without the prefix, which makes all of them alike.
fn unknown(key: &Key, path: &str) -> String {
    let variable = |name| Key::new(key.scope.clone(), name).variable();
    let known: Vec<_> = names(&key.scope).into_iter().filter_map(variable).collect();
    let paths = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
    match nearest(path, paths.chain(["UPSTREAM"])) {
        Some(name) => format!("unknown variable; did you mean {PREFIX}{name}?"),
        None => "unknown variable".to_owned(),
    }
}

/// Kubernetes puts such variables into every container when a service is called `pgweir` or `pgweir-…`.
fn is_service_link(path: &str, value: &str) -> bool {
    let path = format!("_{path}");
    let behind_port = |rest: &str| {
        let mut parts = rest.split('_');
        let port =
            parts.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        port && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    !path.contains("__")
        && (path.ends_with("_SERVICE_HOST")
            || path.ends_with("_SERVICE_PORT")
            || path.ends_with("_PORT") && value.contains("://")
            || path.contains("_SERVICE_PORT_")
            || path.split_once("_PORT_").is_some_and(|(_, rest)| behind_port(rest)))
}
