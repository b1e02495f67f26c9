//! The passwords with which pgweir logs in to servers, of one pool or to look users up, in the order in which they are
//! tried.
//!
//! A database's command or password, else those of its user, else libpq's file of passwords. While a password is being
//! changed there are several: when a server takes one, that is tried first the next time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::connect::{ConnectError, Connector, Established, Target};
use super::password_command::{CommandError, Token, Tokens};
use super::upstream::{Host, Upstream};
use crate::auth::passfile::Passfile;
use crate::auth::secret::Secret;

/// Where the passwords of one user at one database come from.
#[derive(Debug)]
pub struct Credentials {
    supply: Supply,
    /// The last resort.
    passfile: Option<PathBuf>,
}

#[derive(Debug)]
enum Supply {
    Command(Tokens),
    Kept {
        /// Maybe none.
        passwords: Vec<Secret>,
        /// The one that a server took last.
        good: AtomicUsize,
    },
}

impl Credentials {
    /// `of_user`: the passwords that are known of the user who logs in.
    pub fn new<'a>(
        upstream: &Upstream,
        database: &str,
        user: &str,
        of_user: impl Iterator<Item = &'a Secret>,
    ) -> Self {
        let supply = match &upstream.password_command {
            Some(command) => {
                Supply::Command(Tokens::new(command.clone(), variables(upstream, database, user)))
            }
            None => {
                let passwords = match &upstream.password {
                    Some(password) => vec![password.clone()],
                    None => of_user.cloned().collect(),
                };
                Supply::Kept { passwords, good: AtomicUsize::new(0) }
            }
        };
        Self { supply, passfile: upstream.passfile.clone() }
    }

    /// For one connection, with the first password taken up. Reads the file of passwords, if that is all there is.
    ///
    /// # Errors
    /// The command's.
    pub async fn round(&self) -> Result<Round<'_>, CommandError> {
        let nothing = matches!(&self.supply, Supply::Kept { passwords, .. } if passwords.is_empty());
        let passfile = match self.passfile.clone().filter(|_| nothing) {
            // A panic there would be a bug, and costs this password only.
            Some(path) => tokio::task::spawn_blocking(move || read(&path)).await.unwrap_or_default(),
            None => Passfile::default(),
        };
        let mut round = Round { credentials: self, began: Instant::now(), passfile, tried: Tried::Nothing };
        round.next().await?;
        Ok(round)
    }
}

/// The passwords of one connection, one after the other.
#[derive(Debug)]
pub struct Round<'a> {
    credentials: &'a Credentials,
    began: Instant,
    passfile: Passfile,
    tried: Tried,
}

#[derive(Debug)]
enum Tried {
    Nothing,
    Token(Token),
    /// So many; the last of them at this place.
    Kept {
        count: usize,
        last: usize,
    },
}

impl Round<'_> {
    /// Logs in with the first password that the server takes. `target` names none.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub async fn connect(
        &mut self,
        connector: &Connector,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        loop {
            let with = Target { password: self.password(), passfile: Some(&self.passfile), ..*target };
            match connector.connect(&with, deadline).await {
                Ok(established) => {
                    self.was_right();
                    return Ok(established);
                }
                Err(error) if error.is_about_the_password() && self.has_more() => self.next().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next password up.
    async fn next(&mut self) -> Result<(), CommandError> {
        self.tried = match (&self.credentials.supply, &self.tried) {
            (Supply::Command(tokens), Tried::Token(refused)) => {
                Tried::Token(tokens.current(Some(refused)).await?)
            }
            (Supply::Command(tokens), _) => Tried::Token(tokens.current(None).await?),
            (Supply::Kept { passwords, .. }, Tried::Kept { count, last }) => {
                Tried::Kept { count: count + 1, last: (last + 1) % passwords.len().max(1) }
            }
            (Supply::Kept { good, .. }, _) => Tried::Kept { count: 1, last: good.load(Ordering::Relaxed) },
        };
        Ok(())
    }

    /// The password that was taken up.
    fn password(&self) -> Option<&Secret> {
        match (&self.tried, &self.credentials.supply) {
            (Tried::Token(token), _) => Some(token.secret()),
            (Tried::Kept { last, .. }, Supply::Kept { passwords, .. }) => passwords.get(*last),
            _ => None,
        }
    }

    /// Whether there is another to be tried when the server doesn't take this one.
    fn has_more(&self) -> bool {
        match (&self.tried, &self.credentials.supply) {
            // A token that was printed for this round is as new as can be.
            (Tried::Token(token), _) => token.since() < self.began,
            (Tried::Kept { count, .. }, Supply::Kept { passwords, .. }) => *count < passwords.len(),
            _ => false,
        }
    }

    /// The server took it.
    fn was_right(&self) {
        if let (Tried::Kept { last, .. }, Supply::Kept { good, .. }) = (&self.tried, &self.credentials.supply)
        {
            good.store(*last, Ordering::Relaxed);
        }
    }
}

/// libpq's, so that what works with psql works as a command.
fn variables(upstream: &Upstream, database: &str, user: &str) -> Vec<(&'static str, String)> {
    let joined = |of: fn(&Host) -> String| upstream.hosts.iter().map(of).collect::<Vec<_>>().join(",");
    let database = upstream.database.as_deref().unwrap_or(database);
    vec![
        ("PGHOST", joined(|host| host.name().into_owned())),
        ("PGPORT", joined(|host| host.port().to_string())),
        ("PGDATABASE", database.to_owned()),
        ("PGUSER", user.to_owned()),
    ]
}

/// Nothing, if others may read the file: so does libpq.
fn read(path: &Path) -> Passfile {
    let Ok(metadata) = fs::metadata(path) else { return Passfile::default() };
    let path_shown = path.display();
    if !metadata.is_file() {
        tracing::warn!(path = %path_shown, "the file of passwords is not used: it is no plain file");
    } else if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %path_shown, "the file of passwords is not used: others may read it (make it 0600)");
    } else {
        match fs::read_to_string(path) {
            Ok(text) => return Passfile::read(&zeroize::Zeroizing::new(text)),
            Err(error) => tracing::warn!(path = %path_shown, %error, "the file of passwords can't be read"),
        }
    }
    Passfile::default()
}
