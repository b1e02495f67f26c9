//! What a database says of one of its users: read strictly, since the query may be the operator's own.
//!
//! Depends on `roster` for what is made of a password's hash. Invariant: whoever may not log in there, for whatever
//! reason, is [`Answer::Unknown`], and looks like any other stranger.

use std::sync::Arc;

use thiserror::Error;

use super::md5::Md5Hash;
use super::roster::{Entry, Kind};
use super::scram::{DEFAULT_ITERATIONS, Salting, Verifier};
use crate::wire::fault::Fault;
use crate::wire::sqlstate::SqlState;

/// The longest hash of a password, in bytes.
const MAX_SECRET: usize = 512;

/// What is known of a name that isn't configured.
#[derive(Clone, Debug)]
pub enum Answer {
    Known(Arc<LookedUp>),
    /// Nobody of this name may log in.
    Unknown {
        like: Usual,
    },
}

impl Answer {
    /// The same, without a user whose secret is of no use.
    pub(super) fn filtered(self, is_of_use: impl Fn(Kind) -> bool) -> Self {
        match self {
            Self::Known(found) if !is_of_use(found.entry.kind()) => Self::Unknown { like: Usual::default() },
            said => said,
        }
    }

    /// How a stranger would look who is to look the same.
    pub(super) fn like(&self) -> Usual {
        match self {
            Self::Known(found) => found.usual(),
            Self::Unknown { like } => *like,
        }
    }
}

/// Someone whom the database knows.
#[derive(Debug)]
pub struct LookedUp {
    pub(super) entry: Entry,
    door: Door,
}

/// What most users there have; strangers are shown the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usual {
    pub(super) kind: Kind,
    pub(super) iterations: u32,
}

impl Default for Usual {
    fn default() -> Self {
        Self { kind: Kind::Scram, iterations: DEFAULT_ITERATIONS }
    }
}

/// Whether PostgreSQL would let the user into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    NoSuchDatabase,
    /// `ALLOW_CONNECTIONS false`.
    Closed,
    NoPrivilege,
}

/// An answer that must not be used: whoever wrote the query has to look at it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Misfit {
    #[error("{0} columns instead of two, name and password")]
    Columns(usize),
    #[error("more than one row")]
    Rows,
    #[error("a row of somebody else")]
    OtherName,
    #[error("neither a SCRAM verifier nor an md5 hash")]
    Secret,
    #[error("no answer about the database")]
    Door,
}

/// A row as it came: columns as text, `None` is NULL.
pub type Columns = Vec<Option<Vec<u8>>>;

/// `user`'s password and whether they may log in, by the rows of the two questions
/// (`catalog::users`): `door` has one row, `secrets` as many as the operator's query likes.
///
/// # Errors
/// What is wrong with the rows. `Ok(None)`: nobody of this name may log in.
pub fn read(user: &str, door: &[Option<Vec<u8>>], secrets: &[Columns]) -> Result<Option<LookedUp>, Misfit> {
    let [may_log_in, accepts, privilege] = door else { return Err(Misfit::Door) };
    let is = |column: &Option<Vec<u8>>, letter: &[u8]| column.as_deref() == Some(letter);
    let (name, secret) = match secrets {
        [] => return Ok(None),
        [row] => match row.as_slice() {
            [name, secret] => (name, secret),
            other => return Err(Misfit::Columns(other.len())),
        },
        _ => return Err(Misfit::Rows),
    };
    if name.as_deref() != Some(user.as_bytes()) {
        return Err(Misfit::OtherName);
    }
    let Some(secret) = secret else { return Ok(None) };
    if is(may_log_in, b"f") {
        return Ok(None);
    }
    let entry = entry(secret).ok_or(Misfit::Secret)?;
    let door = match (accepts, privilege) {
        (None, _) => Door::NoSuchDatabase,
        (accepts, _) if is(accepts, b"f") => Door::Closed,
        (_, privilege) if is(privilege, b"f") => Door::NoPrivilege,
        _ => Door::Open,
    };
    Ok(Some(LookedUp { entry, door }))
}

fn entry(secret: &[u8]) -> Option<Entry> {
    let text = str::from_utf8(secret).ok().filter(|text| text.len() <= MAX_SECRET)?;
    Verifier::parse(text).map(Entry::Scram).or_else(|| Md5Hash::parse(text).map(Entry::Md5))
}

impl LookedUp {
    /// What PostgreSQL would say to this user, who has proved who they are, instead of letting them in.
    pub fn refusal(&self, database: &str) -> Option<Fault> {
        let rejected = |sqlstate, message| Some(Fault::Rejected { sqlstate, message });
        match self.door {
            Door::Open => None,
            Door::NoSuchDatabase => Some(Fault::UnknownDatabase(database.to_owned())),
            Door::Closed => rejected(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("database \"{database}\" is not currently accepting connections"),
            ),
            Door::NoPrivilege => rejected(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for database \"{database}\""),
            ),
        }
    }

    /// The salt by which the user's keys are known; `None` for an md5 hash.
    pub fn salting(&self) -> Option<&Salting> {
        match &self.entry {
            Entry::Scram(verifier) => Some(&verifier.salting),
            Entry::Md5(_) | Entry::Plain { .. } => None,
        }
    }

    /// Whether the user's password is the same as in `other`, as far as can be seen.
    pub fn has_the_password_of(&self, other: &Self) -> bool {
        match (&self.entry, &other.entry) {
            (Entry::Scram(one), Entry::Scram(other)) => one == other,
            (Entry::Md5(one), Entry::Md5(other)) => one.matches(other),
            _ => false,
        }
    }

    pub(super) fn usual(&self) -> Usual {
        let iterations = self.entry.iterations().unwrap_or(DEFAULT_ITERATIONS);
        Usual { kind: self.entry.kind(), iterations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "md55ebe2294ecd0e0f08eab7690d2a6ee69";

    fn row(columns: &[Option<&str>]) -> Columns {
        columns.iter().map(|column| column.map(|text| text.as_bytes().to_vec())).collect()
    }

    fn verifier() -> String {
        postgres_protocol::password::scram_sha_256(b"secret")
    }

    fn ann(door: &[Option<&str>], secrets: &[&[Option<&str>]]) -> Result<Option<LookedUp>, Misfit> {
        let secrets: Vec<_> = secrets.iter().map(|columns| row(columns)).collect();
        read("ann", &row(door), &secrets)
    }

    const OPEN: &[Option<&str>] = &[Some("t"); 3];

    #[test]
    fn f118_answers_that_do_not_fit_are_refused() {
        let (long, verifier) = (format!("{MD5}{}", "0".repeat(600)), verifier());
        for (rows, misfit) in [
            (&[&[Some("ann")][..]][..], Misfit::Columns(1)),
            (&[&[Some("ann"), Some(MD5), None]], Misfit::Columns(3)),
            (&[&[Some("ann"), Some(MD5)], &[Some("ann"), Some(MD5)]], Misfit::Rows),
            (&[&[Some("bob"), Some(MD5)]], Misfit::OtherName),
            (&[&[Some("Ann"), Some(MD5)]], Misfit::OtherName),
            (&[&[Some("ann "), Some(MD5)]], Misfit::OtherName),
            (&[&[None, Some(MD5)]], Misfit::OtherName),
            (&[&[Some("ann"), Some("")]], Misfit::Secret),
            (&[&[Some("ann"), Some("secret")]], Misfit::Secret),
            (&[&[Some("ann"), Some(long.as_str())]], Misfit::Secret),
            (&[&[Some("ann"), Some(&verifier[..60])]], Misfit::Secret),
        ] {
            assert_eq!(ann(OPEN, rows).unwrap_err(), misfit);
        }
        assert_eq!(ann(&OPEN[1..], &[&[Some("ann"), Some(MD5)]]).unwrap_err(), Misfit::Door);
    }

    #[test]
    fn whoever_may_not_log_in_is_nobody() {
        assert!(ann(OPEN, &[]).unwrap().is_none());
        assert!(ann(OPEN, &[&[Some("ann"), None]]).unwrap().is_none());
        assert!(ann(&[Some("f"), Some("t"), Some("t")], &[&[Some("ann"), Some(MD5)]]).unwrap().is_none());
        // Not a role there: the operator's own table knows better.
        assert!(ann(&[None, Some("t"), None], &[&[Some("ann"), Some(MD5)]]).unwrap().is_some());
    }

    #[test]
    fn the_database_may_refuse_whom_it_knows() {
        let verifier = verifier();
        for (accepts, privilege, code) in [
            (Some("t"), Some("t"), None),
            (None, None, Some("3D000")),
            (Some("f"), Some("t"), Some("55000")),
            (Some("t"), Some("f"), Some("42501")),
        ] {
            let known = ann(&[Some("t"), accepts, privilege], &[&[Some("ann"), Some(&verifier)]]);
            let refusal = known.unwrap().unwrap().refusal("app");
            assert_eq!(refusal.map(|fault| fault.sqlstate().as_str().to_owned()).as_deref(), code);
        }
    }
}
