//! The temporary folder of a cluster, and the unprivileged user that owns it.
//!
//! Depends on the operating system. Invariant: the folder goes with the value.

use std::{
    env, fs, io,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command},
};

use rustix::process::geteuid;

/// `sun_path` has 104 bytes on macOS, 108 on Linux; the socket's name and our folder's take the rest.
const LONGEST_PARENT: usize = 50;

/// A folder of ours under the system's temporary one.
pub(super) struct Home {
    path: PathBuf,
    owner: Option<Owner>,
}

/// As whom PostgreSQL runs when we are root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Home {
    pub(super) fn new() -> io::Result<Self> {
        let owner = if geteuid().is_root() { Some(unprivileged_user()?) } else { None };
        let path = parent().join(format!("pgweir-{}-{}", process::id(), random_hex()));
        fs::create_dir(&path)?;
        let home = Self { path, owner };
        fs::set_permissions(&home.path, fs::Permissions::from_mode(0o700))?;
        home.give(&home.path)?;
        Ok(home)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the owner may read.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.give(&path)?;
        Ok(path)
    }

    /// A command that runs as the owner, in the folder, and speaks English.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).env("LC_ALL", "C");
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        let Some(Owner { uid, gid }) = self.owner else { return Ok(()) };
        chown(path, Some(uid), Some(gid))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("pgweir: {} could not be removed: {error}", self.path.display());
        }
    }
}

/// 64 random bits as text: names that don't clash, passwords that nobody guesses in a cluster's short life.
pub(super) fn random_hex() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

fn parent() -> PathBuf {
    let usual = env::temp_dir();
    if usual.as_os_str().len() <= LONGEST_PARENT { usual } else { PathBuf::from("/tmp") }
}

fn unprivileged_user() -> io::Result<Owner> {
    let users = fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"].iter().find_map(|name| find_user(&users, name)).ok_or_else(|| {
        io::Error::other(
            "PostgreSQL does not run as root, and there is neither a user \"postgres\" nor \"nobody\"",
        )
    })
}

/// passwd(5): name:password:uid:gid:…
fn find_user(users: &str, name: &str) -> Option<Owner> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Owner { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0::/:/bin/sh\nnobody2:x:1:2::/:\nnobody:x:65534:65533:n:/:/bin/false\n";
        assert_eq!(find_user(users, "nobody"), Some(Owner { uid: 65534, gid: 65533 }));
        assert_eq!(find_user(users, "postgres"), None);
    }

    #[test]
    fn the_folder_goes_with_the_value() {
        let home = Home::new().expect("a folder");
        let file = home.write("a", "b").expect("a file");
        assert!(file.is_file());
        drop(home);
        assert!(!file.exists());
    }
}
