//! Where PostgreSQL's own programs are on this machine.
//!
//! Depends on the file system, `PATH` and `pg_config`. A folder counts only if both `initdb` and `postgres` are
//! in it, so whoever holds a [`Binaries`] can start a cluster.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

/// Folders with one sub-folder for each installed PostgreSQL: the parent, and how the sub-folders' names begin.
const INSTALLATIONS: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),          // Debian, Ubuntu, PGDG by apt: 17/bin
    ("/usr", "pgsql-"),                   // PGDG by dnf: pgsql-17/bin
    ("/opt/homebrew/opt", "postgresql@"), // Homebrew: postgresql@17/bin
    ("/usr/local/opt", "postgresql@"),    // Homebrew on Intel
    ("/Applications/Postgres.app/Contents/Versions", ""), // Postgres.app: 17/bin
];

/// The folder of one PostgreSQL's server programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
}

/// No PostgreSQL server could be found.
#[derive(Debug, Error)]
#[error(
    "no PostgreSQL server programs (initdb, postgres) found{}\n\
     Install them and try again:\n  \
       Debian, Ubuntu   apt-get install postgresql\n  \
       Fedora, RHEL     dnf install postgresql-server\n  \
       Alpine           apk add postgresql\n  \
       macOS            brew install postgresql@17",
    .given.as_ref().map(|directory| format!(" in {}", directory.display())).unwrap_or_default()
)]
pub struct NotFound {
    given: Option<PathBuf>,
}

impl Binaries {
    /// The programs in the folder `given`; without one, those that `pg_config` or `PATH` leads to, else the newest
    /// in the places where packages put them.
    pub fn find(given: Option<&Path>) -> Result<Self, NotFound> {
        let found = match given {
            Some(directory) => Self::in_directory(directory.to_owned()),
            None => pg_config().into_iter().chain(on_path()).chain(installed()).find_map(Self::in_directory),
        };
        found.ok_or_else(|| NotFound { given: given.map(Path::to_owned) })
    }

    fn in_directory(directory: PathBuf) -> Option<Self> {
        let complete = ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file());
        complete.then_some(Self { directory })
    }

    /// The path of `program` beside the server's.
    pub fn program(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What `pg_config` says; it may belong to a client-only installation, so the answer is only a candidate.
fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Folders of `PATH`. An `initdb` that is a link leads to the folder with the other programs.
fn on_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter_map(|directory| directory.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned))
        .collect()
}

/// The places of packages, newest version first.
fn installed() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = INSTALLATIONS
        .iter()
        .flat_map(|(parent, prefix)| versions(Path::new(parent), prefix))
        .map(|(version, directory)| (version, directory.join("bin")))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, directory)| directory).collect()
}

/// Sub-folders of `parent` that are named `prefix` and a major version.
fn versions(parent: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    fn folder(programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for program in programs {
            fs::write(folder.path().join(program), "").expect("a file in it");
        }
        folder
    }

    #[test]
    fn a_given_folder_wins_over_everything_else() {
        let folder = folder(&["initdb", "postgres"]);
        assert_eq!(Binaries::find(Some(folder.path())).expect("complete").directory(), folder.path());
    }

    #[test]
    fn a_folder_without_the_server_is_refused_by_name() {
        let folder = folder(&["initdb"]);
        let error = Binaries::find(Some(folder.path())).expect_err("no postgres in it").to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn versions_are_numbers_behind_the_prefix() {
        let folder = folder(&[]);
        for name in ["postgresql@9", "postgresql@17", "postgresql", "postgresql@beta", "18"] {
            fs::create_dir(folder.path().join(name)).expect("a sub-folder");
        }
        let mut found: Vec<u32> =
            versions(folder.path(), "postgresql@").into_iter().map(|(v, _)| v).collect();
        found.sort();
        assert_eq!(found, [9, 17]);
    }
}
