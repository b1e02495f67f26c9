//! From a visitor to the method that it has to use, or to its refusal.

use std::net::IpAddr;

use super::Hba;
use super::rule::{ClientCert, Rule};
use crate::auth::users::Method;
use crate::wire::fault::Fault;

/// Someone who wants to log in.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    pub database: &'a str,
    pub user: &'a str,
    pub line: Line<'a>,
}

/// How a visitor came here.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    Unix,
    Tcp { address: IpAddr, tls: bool, certificate: Option<Certificate<'a>> },
}

/// A certificate of one of our CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The first common name of its subject, if that is a text.
    pub common_name: Option<&'a str>,
}

/// What rules may allow clients on other machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// To come in without any proof.
    pub remote_trust: bool,
    /// To send a password that anyone between can read.
    pub remote_cleartext: bool,
}

impl Hba {
    /// The first rule that fits.
    ///
    /// # Errors
    /// No rule does, or its method is `reject`.
    pub fn rule(&self, visitor: &Visitor<'_>) -> Result<&Rule, Fault> {
        let described = || visitor.describe();
        match self.rules.iter().find(|rule| rule.fits(visitor)) {
            None => Err(Fault::NoRule { whom: described() }),
            Some(rule) if rule.method == Method::Reject => Err(Fault::RejectedByRule { whom: described() }),
            Some(rule) => Ok(rule),
        }
    }

    /// What `rule` leaves to be proved, once all that is no password has been looked at. `system_user` is who the
    /// kernel says is at the other end of a Unix socket: only `peer` asks for it.
    ///
    /// # Errors
    /// The visitor isn't who it says it is, or comes in a way that isn't allowed.
    pub fn judge(
        &self,
        rule: &Rule,
        visitor: &Visitor<'_>,
        system_user: Option<&str>,
    ) -> Result<Method, Fault> {
        let certificate = match visitor.line {
            Line::Tcp { certificate, .. } => certificate,
            Line::Unix => None,
        };
        if rule.needs_certificates() && certificate.is_none() {
            return Err(Fault::RefusedByRule("a valid client certificate is required"));
        }
        let is_vouched = |system_user: Option<&str>| {
            system_user.is_some_and(|name| self.maps.same(rule.map.as_deref(), name, visitor.user))
        };
        let common_name = certificate.and_then(|certificate| certificate.common_name);
        if rule.client_cert == ClientCert::VerifyFull && !is_vouched(common_name) {
            return Err(not_this_user(rule.method, visitor.user));
        }
        match rule.method {
            Method::Peer if !is_vouched(system_user) => Err(not_this_user(rule.method, visitor.user)),
            Method::Trust if rule.client_cert < ClientCert::VerifyFull && !self.may_trust(visitor) => {
                Err(Fault::RefusedByRule("trust is for this machine only (auth.allow_remote_trust)"))
            }
            Method::Cleartext if !self.may_read_along(visitor) => {
                Err(Fault::RefusedByRule("a password in clear text needs TLS (auth.allow_remote_cleartext)"))
            }
            method => Ok(method),
        }
    }

    fn may_trust(&self, visitor: &Visitor<'_>) -> bool {
        self.allowed.remote_trust || visitor.is_local()
    }

    fn may_read_along(&self, visitor: &Visitor<'_>) -> bool {
        let encrypted = matches!(visitor.line, Line::Tcp { tls: true, .. });
        self.allowed.remote_cleartext || encrypted || visitor.is_local()
    }
}

/// PostgreSQL says so of every method, and with this code of all but passwords.
fn not_this_user(method: Method, user: &str) -> Fault {
    let user = user.to_owned();
    match method {
        Method::Cert => Fault::NotThisUser { method: "certificate", user },
        Method::Peer => Fault::NotThisUser { method: "Peer", user },
        Method::Trust => Fault::NotThisUser { method: "\"trust\"", user },
        Method::Cleartext | Method::Md5 | Method::ScramSha256 | Method::Reject => Fault::LoginFailed { user },
    }
}

impl Visitor<'_> {
    /// On this very machine.
    fn is_local(&self) -> bool {
        match self.line {
            Line::Unix => true,
            Line::Tcp { address, .. } => address.to_canonical().is_loopback(),
        }
    }

    /// As PostgreSQL words it.
    fn describe(&self) -> String {
        let (host, how) = match self.line {
            Line::Unix => ("[local]".to_owned(), "no encryption"),
            Line::Tcp { address, tls: true, .. } => (address.to_canonical().to_string(), "SSL encryption"),
            Line::Tcp { address, .. } => (address.to_canonical().to_string(), "no encryption"),
        };
        format!("host \"{host}\", user \"{}\", database \"{}\", {how}", self.user, self.database)
    }
}
