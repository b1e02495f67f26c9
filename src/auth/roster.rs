//! The users that may log in, made ready for it.
//!
//! Those that are not configured may be known to the database ([`super::lookup`]). A name that isn't known at all gets
//! a made-up entry of the kind that most users have: the same questions, the same work, the same answer. Keep all users
//! of one kind, and no guess tells which names exist.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::lookup::{Answer, LookedUp, Usual};
use super::md5::Md5Hash;
use super::mock::Mock;
use super::scram::{DEFAULT_ITERATIONS, Derivation, Key, Keys, Salting, Verifier, sha256};
use super::secret::Secret;
use super::users::{Method, Users};

/// Whom we know, by name.
pub struct Roster {
    entries: HashMap<String, Entry>,
    mock: Mock,
    /// What most users have, for those that we don't know; and most of those who can do SCRAM.
    usual: Usual,
    usual_scram: Usual,
}

/// A configured secret that begins like a verifier but isn't one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the SCRAM verifier of user {user:?} is malformed")]
pub struct BadVerifier {
    pub user: String,
}

/// What we have of a user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Plain,
    Md5,
    Scram,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Any of them is right; there are several while one is being changed.
    Plain {
        passwords: Vec<Password>,
        salting: Salting,
    },
    Md5(Md5Hash),
    Scram(Verifier),
}

/// A plain password. Its verifier is derived when it is first needed, or by [`Roster::underived`] before.
#[derive(Clone, Debug)]
pub(super) struct Password {
    pub(super) secret: Secret,
    verifier: OnceLock<Verifier>,
}

impl Password {
    fn new(secret: &Secret) -> Self {
        Self { secret: secret.clone(), verifier: OnceLock::new() }
    }

    pub(super) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.get()
    }

    pub(super) fn derivation(&self, salting: &Salting) -> Derivation {
        Derivation::new(self.secret.expose().as_bytes(), salting.clone())
    }
}

impl Roster {
    /// `instance_secret` is random; with another one, the salts of plain and unknown users change.
    /// A user whose secret is empty has none and can't log in.
    pub fn new(users: &Users, instance_secret: Key) -> Result<Self, BadVerifier> {
        let mock = Mock::new(instance_secret);
        let mut entries = HashMap::with_capacity(users.secrets.len());
        for (user, secret) in users.secrets.iter().filter(|(_, secret)| !secret.expose().is_empty()) {
            let mut entry =
                Entry::read(user, secret, &mock).ok_or_else(|| BadVerifier { user: user.clone() })?;
            if let Entry::Plain { passwords, .. } = &mut entry {
                passwords.extend(users.others.get(user).into_iter().flatten().map(Password::new));
            }
            entries.insert(user.clone(), entry);
        }
        let kinds = || entries.values().map(Entry::kind);
        let usual_scram = most_common(kinds().filter(|kind| *kind != Kind::Md5)).unwrap_or(Kind::Scram);
        let usual = most_common(kinds()).unwrap_or(Kind::Plain);
        let usual_iterations = most_common(entries.values().filter_map(Entry::iterations));
        let iterations = usual_iterations.unwrap_or(DEFAULT_ITERATIONS);
        Ok(Self {
            usual: Usual { kind: usual, iterations },
            usual_scram: Usual { kind: usual_scram, iterations },
            entries,
            mock,
        })
    }

    /// Whether the user is configured, with something that can be proved by `method`.
    pub fn knows(&self, user: &str, method: Method) -> bool {
        self.configured(user, method).is_some()
    }

    fn configured(&self, user: &str, method: Method) -> Option<&Entry> {
        self.entries.get(user).filter(|entry| is_of_use(entry.kind(), method))
    }

    /// The user's entry; without one, what the database knows, or one that is made up.
    pub(super) fn find<'r>(&'r self, user: &'r str, method: Method, said: Option<Answer>) -> Account<'r> {
        let usual = if method == Method::ScramSha256 { self.usual_scram } else { self.usual };
        let entry = match (self.configured(user, method), said) {
            (Some(entry), _) => Holding::Real(entry),
            (None, None) => Holding::MadeUp(Box::new(self.made_up(user, usual))),
            (None, Some(said)) => {
                let said = said.filtered(|kind| is_of_use(kind, method));
                // Made up for those who are known, too: the clock would tell them apart.
                let made_up = Box::new(self.made_up(user, said.like()));
                match said {
                    Answer::Known(found) => Holding::LookedUp(found),
                    Answer::Unknown { .. } => Holding::MadeUp(made_up),
                }
            }
        };
        Account { user, entry }
    }

    fn made_up(&self, user: &str, like: Usual) -> Entry {
        let salting = self.mock.salting(user, like.iterations);
        match like.kind {
            Kind::Plain => {
                let verifier = self.mock.verifier(user, salting.clone()).into();
                let password = Password { secret: self.mock.password(user), verifier };
                Entry::Plain { passwords: vec![password], salting }
            }
            Kind::Md5 => Entry::Md5(self.mock.md5(user)),
            Kind::Scram => Entry::Scram(self.mock.verifier(user, salting)),
        }
    }

    /// The derivations that the first logins would have to wait for. Run them at the start, off the hot threads,
    /// and hand each result to [`Roster::derived`].
    pub fn underived(&self) -> impl Iterator<Item = (&str, Derivation)> {
        self.entries.iter().flat_map(|(user, entry)| {
            entry.underived().map(|derivation| (user.as_str(), derivation)).collect::<Vec<_>>()
        })
    }

    /// Keeps what a derivation of [`Roster::underived`] gave.
    pub fn derived(&self, user: &str, derivation: &Derivation, keys: &Keys) {
        if let Some(entry) = self.entries.get(user) {
            entry.derived(derivation, keys);
        }
    }
}

impl Entry {
    /// `None` for a malformed verifier.
    fn read(user: &str, secret: &Secret, mock: &Mock) -> Option<Self> {
        let text = secret.expose();
        if text.starts_with(Verifier::PREFIX) {
            return Verifier::parse(text).map(Self::Scram);
        }
        Some(match Md5Hash::parse(text) {
            Some(hash) => Self::Md5(hash),
            None => Self::Plain {
                passwords: vec![Password::new(secret)],
                salting: mock.salting(user, DEFAULT_ITERATIONS),
            },
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Plain { .. } => Kind::Plain,
            Self::Md5(_) => Kind::Md5,
            Self::Scram(_) => Kind::Scram,
        }
    }

    pub(super) fn iterations(&self) -> Option<u32> {
        match self {
            Self::Plain { salting, .. } | Self::Scram(Verifier { salting, .. }) => Some(salting.iterations),
            Self::Md5(_) => None,
        }
    }

    /// What has yet to be derived before SCRAM can be judged.
    pub(super) fn underived(&self) -> impl Iterator<Item = Derivation> {
        let (passwords, salting) = match self {
            Self::Plain { passwords, salting } => (passwords.as_slice(), Some(salting)),
            Self::Md5(_) | Self::Scram(_) => (&[][..], None),
        };
        let underived = passwords.iter().filter(|password| password.verifier().is_none());
        underived.filter_map(move |password| Some(password.derivation(salting?)))
    }

    /// Keeps what one of them gave.
    pub(super) fn derived(&self, derivation: &Derivation, keys: &Keys) {
        let Self::Plain { passwords, salting } = self else { return };
        let fingerprint = derivation.fingerprint();
        let of = |password: &&Password| password.derivation(salting).fingerprint() == fingerprint;
        for password in passwords.iter().filter(of) {
            password.verifier.get_or_init(|| Verifier::new(salting.clone(), keys));
        }
    }
}

/// SCRAM can't be done with an MD5 hash.
fn is_of_use(kind: Kind, method: Method) -> bool {
    method != Method::ScramSha256 || kind != Kind::Md5
}

/// Someone who wants to log in, with what we know of them.
pub(super) struct Account<'r> {
    pub(super) user: &'r str,
    entry: Holding<'r>,
}

enum Holding<'r> {
    Real(&'r Entry),
    LookedUp(Arc<LookedUp>),
    MadeUp(Box<Entry>),
}

impl Account<'_> {
    pub(super) fn entry(&self) -> &Entry {
        match &self.entry {
            Holding::Real(entry) => entry,
            Holding::LookedUp(found) => &found.entry,
            Holding::MadeUp(entry) => entry,
        }
    }

    /// A made-up user doesn't get in, whatever they know.
    pub(super) fn is_real(&self) -> bool {
        !matches!(self.entry, Holding::MadeUp(_))
    }
}

/// Whether two secrets are equal. Takes the same time for any two.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    sha256(a).ct_eq(&sha256(b)).into()
}

pub(super) fn most_common<T: Copy + Ord + std::hash::Hash>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for value in values {
        let count = counts.entry(value).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, *value)).map(|(value, _)| value)
}
