//! Where a database really is, and how pgweir logs in there.

use std::io;

use tokio::time::Instant;

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
        directory: std::path::PathBuf,
        port: u16,
    },
}

impl Host {
    /// Connects, without a word.
    pub async fn dial(&self, dialer: &Dialer, deadline: Instant) -> io::Result<Stream> {
        match self {
            Self::Tcp { name, port } => dialer.tcp(name, *port, deadline).await,
            Self::Unix { directory, port } => dialer.unix(directory, *port, deadline).await,
        }
    }
}

/// Login methods that a server may ask of us. SCRAM is always allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowedMethods {
    pub md5: bool,
    pub cleartext: bool,
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
