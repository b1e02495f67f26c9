//! What pgweir was told, by whom, and what it means together: flags, environment, file and defaults become one
//! [`Plan`].
//!
//! Reading goes in two steps. Sources say what was *typed* ([`layer::Setting`]); the rows of [`keys`] and
//! [`build`] say what is *meant*. The environment is handed in, so that only `main` touches the process's own.
//! Depends on the settings structs of the rooms below, which know no key's name.
//!
//! Invariant: a [`Plan`] exists only if nothing at all was wrong, and a [`Report`] holds all that was.

pub mod address;
pub mod auth;
mod build;
pub mod docs;
mod key;
pub mod keys;
pub mod layer;
pub mod lookup;
mod measure;
mod nearest;
pub mod origin;
pub mod pgbouncer;
pub mod plan;
pub mod report;
pub mod require_auth;
pub mod shutdown;
pub mod source;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod value;

use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

pub use address::{Listen, TcpAddress};
pub use lookup::Lookup;
pub use plan::{Database, Databases, Http, Log, LogFormat, Plan};
pub use report::Report;
pub use shutdown::Shutdown;
pub use source::environment::Environment;

use layer::{Draft, Setting};
use report::Problem;
use source::{environment, exposed};

/// Everything that may say something.
#[derive(Default)]
pub struct Inputs {
    /// `pgweir.toml`, or by its extension a `pgbouncer.ini`.
    pub file: Option<PathBuf>,
    pub environment: Environment,
    /// The strongest, in this order.
    pub flags: Vec<Setting>,
}

/// What the inputs mean.
pub struct Loaded {
    pub plan: Plan,
    /// Who set what.
    pub draft: Draft,
}

/// Reads the file and the files of secrets that the inputs name.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(inputs: Inputs) -> Result<Loaded, Report> {
    let passfile = environment::passfile(&inputs.environment);
    let Read { mut draft, problems, notes } = read(inputs);
    let mut plan = build::build(&mut draft, problems, passfile)?;
    plan.warnings.splice(0..0, notes);
    Ok(Loaded { plan, draft })
}

/// Where the HTTP endpoint of a pgweir with these inputs is, even if they lack an upstream; `None`: off.
pub fn http_address(inputs: Inputs) -> Option<TcpAddress> {
    read(inputs).draft.process.http.listen
}

/// The sources, read and laid on each other, but not yet understood.
struct Read {
    draft: Draft,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

fn read(mut inputs: Inputs) -> Read {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let file = match &inputs.file {
        Some(path) => take(read_file(path, &mut notes), &mut problems),
        None => Vec::new(),
    };
    let mut variables = take(environment::read(&inputs.environment), &mut problems);
    // DATABASE_URL is rarely meant for us alone: it counts where nobody else says where a database is.
    let says_where = |setting: &Setting| {
        matches!(setting.key.scope, keys::Scope::Database(_))
            && matches!(setting.key.name.as_str(), "url" | "host")
    };
    if ![&file, &variables, &inputs.flags].into_iter().flatten().any(says_where) {
        variables.extend(environment::database_url(&inputs.environment));
    }
    inputs.environment.values_mut().for_each(Zeroize::zeroize);
    Read { draft: Draft::of(vec![file, variables, inputs.flags]), problems, notes }
}

type Found = (Vec<Setting>, Vec<Problem>);

fn take((settings, mut found): Found, problems: &mut Vec<Problem>) -> Vec<Setting> {
    problems.append(&mut found);
    settings
}

fn read_file(path: &Path, notes: &mut Vec<String>) -> Found {
    if path.extension().is_some_and(|extension| extension == "ini") {
        let translation = pgbouncer::translate(path);
        notes.extend(translation.notes());
        return translation.into_settings();
    }
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let found = source::toml::read(path, &text);
            notes.extend(exposed::note(path).filter(|_| exposed::holds_secret(&found.0)));
            found
        }
        Err(error) => {
            let reason = format!("can't read {}: {error}", path.display());
            (Vec::new(), vec![Problem::general(reason)])
        }
    }
}
