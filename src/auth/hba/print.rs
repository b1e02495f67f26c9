//! Rules and maps as they were understood, in the syntax in which they are read: what is printed means the same when it is
//! read again. Every name that isn't a keyword stands in quotes.

use std::fmt::{self, Display, Formatter};

use super::ident::{Entry, GROUP, Is};
use super::name::{Database, Name, User};
use super::network::Network;
use super::parse::{CLIENT_CERTS, METHODS};
use super::rule::{ClientCert, Origin, Rule};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (databases, users) = (List(&self.databases), List(&self.users));
        match &self.from {
            Origin::Local => write!(f, "local {databases} {users}")?,
            Origin::Host { tls, network } => {
                let kind = match tls {
                    None => "host",
                    Some(true) => "hostssl",
                    Some(false) => "hostnossl",
                };
                write!(f, "{kind} {databases} {users} ")?;
                match network {
                    Some(network) => network.fmt(f)?,
                    None => f.write_str("all")?,
                }
            }
        }
        write!(f, " {}", word(METHODS, self.method))?;
        if self.client_cert != ClientCert::NotAsked {
            write!(f, " clientcert={}", word(CLIENT_CERTS, self.client_cert))?;
        }
        match &self.map {
            Some(map) => write!(f, " {}", Quoted(&format!("map={map}"))),
            None => Ok(()),
        }
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { map, system, user } = self;
        write!(f, "{} {system} ", Quoted(map))?;
        match user {
            Is::One(user) => user.fmt(f),
            Is::Captured(before, after) => Quoted(&format!("{before}{GROUP}{after}")).fmt(f),
        }
    }
}

impl Display for Database {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::SameUser => f.write_str("sameuser"),
            Self::Replication => f.write_str("replication"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

impl Display for User {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => Quoted(name).fmt(f),
            Self::Like(pattern) => Quoted(&format!("/{pattern}")).fmt(f),
        }
    }
}

/// With its mask in a column of its own: the mask's ones needn't come first.
impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.mask())
    }
}

struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// The first word for it.
fn word<T: PartialEq>(words: &'static [(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}
