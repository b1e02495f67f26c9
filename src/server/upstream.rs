//! Where a database really is, and how pgweir logs in there.

use crate::auth::secret::Secret;

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Tcp {
        name: String,
        port: u16,
    },
    /// The socket's directory; the socket is `DIR/.s.PGSQL.PORT`.
    Unix {
        directory: std::path::PathBuf,
        port: u16,
    },
}

/// Login methods that a server may ask of us. SCRAM is always allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowedMethods {
    pub md5: bool,
    pub cleartext: bool,
}

/// The upstream of one configured database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Tried in order.
    pub hosts: Vec<Host>,
    /// The database's name there; `None`: the name that the client asked for.
    pub database: Option<String>,
    /// Whom to log in as; `None`: the client's own user.
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Startup parameters of the server connection, `application_name` and `options` among them.
    pub parameters: Vec<(String, String)>,
    pub allowed: AllowedMethods,
}
