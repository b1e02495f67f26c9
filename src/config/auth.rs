//! How clients prove who they are, as the configuration says it: by one method, or by rules.
//!
//! Reads the files of rules, so it is asked again at SIGHUP. Depends on [`crate::auth::hba`], which understands them.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::auth::hba::{Allowed, Files, Hba, HbaError, Text, Wrong};
use crate::auth::secret::Secret;
use crate::auth::users::Method;

use super::nearest::nearest;

/// The words of `auth.method`. What rules call `password` has another name here, which says what it is.
pub(super) const METHODS: &[(&str, Method)] = &[
    ("scram-sha-256", Method::ScramSha256),
    ("md5", Method::Md5),
    ("cleartext", Method::Cleartext),
    ("trust", Method::Trust),
    ("cert", Method::Cert),
    ("peer", Method::Peer),
];

/// Bytes of a mock secret, at least: whoever guesses it can tell which users exist.
const MIN_MOCK_SECRET: usize = 16;

/// `[auth]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// For everybody, where there are no rules.
    pub method: Method,
    pub hba_file: Option<PathBuf>,
    pub hba: Option<String>,
    pub ident_file: Option<PathBuf>,
    pub ident: Option<String>,
    pub allow_remote_trust: bool,
    pub allow_remote_cleartext: bool,
    /// Makes the salts of unknown users the same after a restart, and in other instances.
    pub mock_secret: Option<Secret>,
}

/// Why there are no rules to be had.
#[derive(Debug, Error)]
pub enum AuthError {
    #[error("{0} and {0}_file can't both be given")]
    Both(&'static str),
    #[error("maps are nothing without rules: give auth.hba_file, too")]
    MapsAlone,
    #[error("{}", spelled(.0))]
    Hba(#[from] HbaError),
    #[error("{place}: client certificates can't be demanded without tls.client.ca_file")]
    NoCa { place: String },
}

impl Auth {
    pub fn has_rules(&self) -> bool {
        self.hba.is_some() || self.hba_file.is_some()
    }

    /// Whether nobody can come in without a password that we know.
    pub(super) fn needs_passwords(&self) -> bool {
        let without = matches!(self.method, Method::Trust | Method::Cert | Method::Peer);
        !self.has_rules() && !without
    }

    pub(super) fn has_short_secret(&self) -> bool {
        self.mock_secret.as_ref().is_some_and(|secret| secret.expose().len() < MIN_MOCK_SECRET)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The first thing that is wrong. `has_ca`: clients' certificates can be verified.
    pub fn rules(&self, has_ca: bool) -> Result<Hba, AuthError> {
        let allowed =
            Allowed { remote_trust: self.allow_remote_trust, remote_cleartext: self.allow_remote_cleartext };
        let rules = text("auth.hba", self.hba.as_deref(), self.hba_file.as_deref())?;
        let maps = text("auth.ident", self.ident.as_deref(), self.ident_file.as_deref())?;
        let hba = match rules {
            Some(rules) => Hba::read(rules, maps, allowed, &Disk)?,
            None if maps.is_some() => return Err(AuthError::MapsAlone),
            None => Hba::of_method(self.method, allowed),
        };
        match hba.rules().iter().find(|rule| rule.needs_certificates() && !has_ca) {
            Some(rule) => Err(AuthError::NoCa { place: rule.place().to_string() }),
            None => Ok(hba),
        }
    }
}

fn text<'a>(
    key: &'static str,
    inline: Option<&'a str>,
    file: Option<&'a Path>,
) -> Result<Option<Text<'a>>, AuthError> {
    match (inline, file) {
        (Some(_), Some(_)) => Err(AuthError::Both(key)),
        (Some(text), None) => Ok(Some(Text::Inline(key, text))),
        (None, file) => Ok(file.map(Text::File)),
    }
}

/// With the nearest word in place of all that there are.
fn spelled(error: &HbaError) -> String {
    match &error.wrong {
        Wrong::Unknown { word, known, .. } => match nearest(word, known.iter().map(String::as_str)) {
            Some(name) => format!("{error}; did you mean \"{name}\"?"),
            None if known.is_empty() => format!("{error}; there are none"),
            None => format!("{error}; known are: {}", known.join(", ")),
        },
        _ => error.to_string(),
    }
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into())).collect()
    }
}
