//! Whom we know, and by which method they prove it.

use std::collections::HashMap;

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
