//! Where a database really is, and how pgweir logs in there.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

pub use crate::auth::respond::AllowedMethods;
use crate::auth::respond::ChannelBinding;
use crate::auth::secret::Secret;
use crate::net::dial::Dialer;
use crate::net::stream::Stream;
use crate::net::tls::outbound;

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Tcp {
        name: String,
        port: u16,
    },
    /// The socket's directory; the socket is `DIR/.s.PGSQL.PORT`.
    Unix {
        directory: PathBuf,
        port: u16,
    },
}

impl Host {
    /// The host's name or address, or the socket's directory.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Tcp { name, .. } => name.into(),
            Self::Unix { directory, .. } => directory.to_string_lossy(),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } => *port,
        }
    }

    /// Connects, without a word.
    pub async fn dial(&self, dialer: &Dialer, deadline: Instant) -> io::Result<Stream> {
        match self {
            Self::Tcp { name, port } => dialer.tcp(name, *port, deadline).await,
            Self::Unix { directory, port } => dialer.unix(directory, *port, deadline).await,
        }
    }
}

/// What a server has to be to be used, as libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionAttrs {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby, or any if there is none.
    PreferStandby,
}

impl SessionAttrs {
    /// Judges a server by what it reports when it has logged us in. All servers since PostgreSQL 14 report both.
    pub fn fit(self, parameters: &[(String, String)]) -> bool {
        let is_on = |name| parameters.iter().any(|(known, value)| known == name && value == "on");
        let standby = is_on("in_hot_standby");
        let read_only = standby || is_on("default_transaction_read_only");
        match self {
            Self::Any => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !standby,
            Self::Standby | Self::PreferStandby => standby,
        }
    }
}

/// A program that prints a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordCommand {
    /// The program and its arguments, never empty; no shell reads them.
    pub words: Vec<String>,
    /// How long what it printed is used.
    pub ttl: Duration,
}

/// The upstream of one configured database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Tried in order.
    pub hosts: Vec<Host>,
    /// The database's name there; `None`: the name that the client asked for.
    pub database: Option<String>,
    /// Whom to log in as; `None`: the client's own user.
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// What to run for a password that ends soon; it counts more than `password`.
    pub password_command: Option<PasswordCommand>,
    /// Where to look for a password if there is none else, as libpq does.
    pub passfile: Option<PathBuf>,
    /// Startup parameters of the server connection, `application_name` and `options` among them.
    pub parameters: Vec<(String, String)>,
    pub allowed: AllowedMethods,
    pub tls: outbound::Settings,
    pub channel_binding: ChannelBinding,
    pub attrs: SessionAttrs,
}

impl Upstream {
    /// The hosts that may be spoken to by TLS.
    pub fn tcp_hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter_map(|host| match host {
            Host::Tcp { name, .. } => Some(name.as_str()),
            Host::Unix { .. } => None,
        })
    }
}
