//! Where pgweir itself listens: `host:port`, `[ipv6]:port`, `unix:DIR`, `unix:DIR:PORT`.

use std::fmt;
use std::path::PathBuf;

use super::value::{Kind, Raw, Wrong, quote};

/// The port that names our sockets when an address gives none.
pub const DEFAULT_PORT: u16 = 6432;

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(TcpAddress),
    /// The socket is `DIRECTORY/.s.PGSQL.PORT`.
    Unix {
        directory: PathBuf,
        port: u16,
    },
}

/// A host (an IPv6 address without brackets) and a port; port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAddress {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { directory, port: DEFAULT_PORT } => write!(f, "unix:{}", directory.display()),
            Self::Unix { directory, port } => write!(f, "unix:{}:{port}", directory.display()),
        }
    }
}

impl TcpAddress {
    /// `None` unless it is `host:port`, or `[ipv6]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':'))?,
            None if host.contains([':', '/', '*']) => return None,
            None => host,
        };
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

impl Listen {
    /// `None` unless it is one of the forms above; a socket's directory must be absolute.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(path) = text.strip_prefix("unix:") else {
            return TcpAddress::parse(text).map(Self::Tcp);
        };
        let (directory, port) = match path.rsplit_once(':') {
            Some((directory, port)) => (directory, port.parse().ok()?),
            None => (path, DEFAULT_PORT),
        };
        directory.starts_with('/').then(|| Self::Unix { directory: directory.into(), port })
    }
}

/// One or more addresses; untyped, they are separated by commas.
pub(super) struct Addresses;

impl Kind for Addresses {
    type Value = Vec<Listen>;

    fn accepts(&self) -> String {
        "a list of \"host:port\", \"unix:DIR\" or \"unix:DIR:PORT\"".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<Vec<Listen>, Wrong> {
        let texts: Vec<&str> = match raw {
            Raw::List(texts) => texts.iter().map(String::as_str).collect(),
            Raw::String(text) => vec![text],
            Raw::Untyped(text) => text.split(',').map(str::trim).collect(),
            _ => return Err(self.wrong_type(raw)),
        };
        if texts.is_empty() {
            return Err(Wrong::Other("give at least one address".to_owned()));
        }
        texts.into_iter().map(|text| Listen::parse(text).ok_or_else(|| malformed(text))).collect()
    }

    fn show(&self, value: &Vec<Listen>) -> Option<String> {
        let addresses: Vec<_> = value.iter().map(|address| quote(&address.to_string())).collect();
        Some(format!("[{}]", addresses.join(", ")))
    }
}

/// One TCP address.
pub(super) struct Tcp;

impl Kind for Tcp {
    type Value = TcpAddress;

    fn accepts(&self) -> String {
        "\"host:port\"".to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<TcpAddress, Wrong> {
        let text = raw.text().ok_or_else(|| self.wrong_type(raw))?;
        TcpAddress::parse(text.trim()).ok_or_else(|| malformed(text))
    }

    fn show(&self, value: &TcpAddress) -> Option<String> {
        Some(quote(&value.to_string()))
    }
}

fn malformed(text: &str) -> Wrong {
    let expected = "an address: write \"host:port\", \"[ipv6]:port\", \"0.0.0.0:port\" for all of IPv4, or \
                    \"unix:/dir\""
        .to_owned();
    Wrong::Form { text: text.to_owned(), expected }
}
