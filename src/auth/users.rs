//! Whom we know, and by which methods one may prove who one is.

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
    /// By a certificate of one of our CAs, for the user's own name.
    Cert,
    /// By the kernel's word for who is at the other end of a Unix socket.
    Peer,
    /// Not at all.
    Reject,
}

impl Method {
    /// Whether it is about something that the user knows.
    pub fn asks_for_secret(self) -> bool {
        matches!(self, Self::Cleartext | Self::Md5 | Self::ScramSha256)
    }
}

/// The users that may log in to pgweir by a password.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// By name: a plain password, a `SCRAM-SHA-256$…` verifier, or an `md5…` hash, as configured.
    pub secrets: HashMap<String, Secret>,
    /// Further passwords of theirs, all plain: while one is being changed, both are right.
    pub others: HashMap<String, Vec<Secret>>,
}

impl Users {
    /// The passwords with which servers can be logged in to as this user: a verifier or a hash isn't what they ask for.
    pub fn passwords(&self, user: &str) -> impl Iterator<Item = &Secret> {
        let known = self.secrets.get(user).into_iter().chain(self.others.get(user).into_iter().flatten());
        known.filter(|secret| is_password(secret))
    }
}

/// Whether it is a password itself, and not something made from one.
pub fn is_password(secret: &Secret) -> bool {
    let text = secret.expose();
    !text.starts_with(Verifier::PREFIX) && Md5Hash::parse(text).is_none()
}
