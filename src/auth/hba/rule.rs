//! One rule: whom it is about, and what it demands of them.

use super::judge::{Line, Visitor};
use super::name::{Database, User};
use super::network::Network;
use super::token::Place;
use crate::auth::users::Method;

/// A line of `pg_hba.conf`, understood.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) place: Place,
    pub(super) from: Origin,
    pub(super) databases: Vec<Database>,
    pub(super) users: Vec<User>,
    pub(super) method: Method,
    pub(super) client_cert: ClientCert,
    /// The map between names of the system and of users; `None`: they have to be equal.
    pub(super) map: Option<String>,
}

/// The connections that a rule is about.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// `local`: Unix sockets.
    Local,
    /// `host`, `hostssl`, `hostnossl`.
    Host { tls: Option<bool>, network: Option<Network> },
}

/// What a rule demands of the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum ClientCert {
    NotAsked,
    /// There has to be one; that it is one of our CA's was seen in the handshake.
    VerifyCa,
    /// And its name has to be the user's, or one that the map turns into it.
    VerifyFull,
}

impl Rule {
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where it stands, for the log.
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn needs_certificates(&self) -> bool {
        self.client_cert > ClientCert::NotAsked
    }

    pub fn needs_tls(&self) -> bool {
        matches!(self.from, Origin::Host { tls: Some(true), .. })
    }

    pub(super) fn fits(&self, visitor: &Visitor<'_>) -> bool {
        self.from.fits(&visitor.line)
            && self.databases.iter().any(|database| database.fits(visitor.database, visitor.user))
            && self.users.iter().any(|user| user.fits(visitor.user))
    }
}

impl Origin {
    fn fits(&self, line: &Line<'_>) -> bool {
        match (self, line) {
            (Self::Local, Line::Unix) => true,
            (Self::Host { tls, network }, Line::Tcp { address, tls: encrypted, .. }) => {
                tls.is_none_or(|tls| tls == *encrypted)
                    && network.is_none_or(|network| network.contains(address.to_canonical()))
            }
            _ => false,
        }
    }
}

impl Rule {
    /// What `auth.method` comes to.
    pub(super) fn of_method(method: Method) -> Vec<Self> {
        let (named, tls) = match method {
            Method::Cert => (ClientCert::VerifyFull, Some(true)),
            _ => (ClientCert::NotAsked, None),
        };
        let rule = |from| Self {
            place: Place { file: "auth.method".into(), line: 0 },
            from,
            databases: vec![Database::All],
            users: vec![User::All],
            method,
            client_cert: named,
            map: None,
        };
        let local = (method != Method::Cert).then(|| rule(Origin::Local));
        let host = (method != Method::Peer).then(|| rule(Origin::Host { tls, network: None }));
        local.into_iter().chain(host).collect()
    }
}
