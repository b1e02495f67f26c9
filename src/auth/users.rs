//! Whom we know, and by which method they prove it.

use std::collections::HashMap;

use super::md5::Md5Hash;
use super::scram::Verifier;
use super::secret::Secret;

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    Trust,
    Cleartext,
    Md5,
    #[default]
    ScramSha256,
}

/// The users that may log in to pgweir. A user without an entry never gets in (except by `trust`).
#[derive(Clone, Debug, Default)]
pub struct Users {
    pub method: Method,
    /// By name: a plain password, a `SCRAM-SHA-256$…` verifier, or an `md5…` hash, as configured.
    pub secrets: HashMap<String, Secret>,
}

impl Users {
    /// Those of the secrets with which servers can be logged in to: a verifier or a hash isn't what a server asks for.
    pub fn passwords(&self) -> HashMap<String, Secret> {
        let plain = self.secrets.iter().filter(|(_, secret)| is_password(secret));
        plain.map(|(user, secret)| (user.clone(), secret.clone())).collect()
    }
}

/// Whether it is a password itself, and not something made from one.
pub fn is_password(secret: &Secret) -> bool {
    let text = secret.expose();
    !text.starts_with(Verifier::PREFIX) && Md5Hash::parse(text).is_none()
}
