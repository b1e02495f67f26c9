//! How users that aren't configured are looked up: what is typed about it, and what that comes to for one database.
//!
//! The connection that asks is logged in as the servers of a pool would be, by the same sources of passwords.

use std::path::Path;

use crate::auth::secret::Secret;
use crate::auth::users::Users;
use crate::server::upstream::PasswordCommand;

use super::keys::DatabaseKeys;
use super::plan::Database;

/// What is typed about looking up users, under `auth.` of the process or of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupKeys {
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// `Some(None)`: nobody is looked up.
    pub query: Option<Option<String>>,
    pub dbname: Option<String>,
}

impl LookupKeys {
    /// What these keys leave out, the `weaker` ones say.
    pub(super) fn over(self, weaker: &Self) -> Self {
        let (user, password) = match self.user {
            Some(user) => (Some(user), self.password),
            None => (weaker.user.clone(), self.password.or_else(|| weaker.password.clone())),
        };
        let query = self.query.or_else(|| weaker.query.clone());
        Self { user, password, query, dbname: self.dbname.or_else(|| weaker.dbname.clone()) }
    }
}

/// Where and as whom users are looked up, at a database's upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub user: String,
    /// It counts more than `passwords`.
    pub password_command: Option<PasswordCommand>,
    /// In the order in which they are tried; if there is none, the upstream's file of passwords may have one.
    pub passwords: Vec<Secret>,
    pub dbname: String,
    /// `None`: pgweir's own.
    pub query: Option<String>,
}

/// Who looks up a database's users: `auth.user`, or else the one whose servers these are, or else the one in the URL if
/// there is something to log in with. `passfile`: libpq's own, which counts where no other is named.
pub(super) fn lookup(
    keys: &DatabaseKeys,
    process: &LookupKeys,
    database: &Database,
    users: &Users,
    passfile: Option<&Path>,
) -> Option<Lookup> {
    let typed = keys.lookup.clone().over(process);
    let query = match typed.query {
        Some(None) => return None,
        Some(own) => own,
        None => None,
    };
    let (upstream, url) = (&database.upstream, keys.url.as_ref());
    let command = &upstream.password_command;
    // The first of them that holds any.
    let of_user = |user: &str| users.passwords(user).cloned().collect::<Vec<_>>();
    let or_of_user = |own: Option<Secret>, user: &str| own.map_or_else(|| of_user(user), |own| vec![own]);
    let named = typed.user.map(|user| {
        // What stands beside the user is for nobody else, the command for anybody.
        let command = command.clone().filter(|_| typed.password.is_none());
        (command, or_of_user(typed.password, &user), user)
    });
    let of_servers = || {
        let user = upstream.user.clone()?;
        Some((command.clone(), or_of_user(upstream.password.clone(), &user), user))
    };
    let of_url = || {
        let user = url?.user.clone()?;
        let mut passwords = of_user(&user);
        if passwords.is_empty() {
            passwords.extend(url?.password.clone());
        }
        let has_file = || upstream.passfile.is_some() || passfile.is_some_and(Path::is_file);
        let has_any = !passwords.is_empty() || command.is_some() || has_file();
        has_any.then(|| (command.clone(), passwords, user))
    };
    let (password_command, passwords, user) = named.or_else(of_servers).or_else(of_url)?;
    let dbname = typed.dbname.or_else(|| database.probe.clone()).unwrap_or_else(|| "postgres".to_owned());
    Some(Lookup { user, password_command, passwords, dbname, query })
}
