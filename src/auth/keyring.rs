//! What clients have proved themselves by, kept so that servers can be logged in to as them: no password is needed.
//!
//! A SCRAM proof that is right gives the client's key away to whoever checks it. With the key one can log in wherever
//! the verifier has the same salt and iterations, so it is kept like a password: in memory, wiped when dropped, never
//! printed.
//!
//! Depends on `scram` and `md5`. Invariant: a key is given out only for the user who proved it and for the salt and
//! iterations that it was proved with.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::md5::Md5Hash;
use super::scram::{Keys, Salting};

/// What stands for a user's password, once they have proved that they know it.
#[derive(Clone, Debug)]
pub enum Proven {
    Scram {
        salting: Salting,
        keys: Keys,
    },
    /// As good as the password where a server asks for MD5.
    Md5(Md5Hash),
}

/// Users whose keys are kept; the one not needed for longest is forgotten.
const USERS: usize = 16_384;
/// Of each user: two clusters may know them by different verifiers.
const KEPT: usize = 4;

/// Everybody's keys.
#[derive(Debug, Default)]
pub struct Keyring(Mutex<Bunches>);

#[derive(Debug, Default)]
struct Bunches {
    users: HashMap<Box<str>, Bunch, foldhash::fast::RandomState>,
    /// Grows with each use.
    clock: u64,
}

#[derive(Debug, Default)]
struct Bunch {
    /// The latest last.
    keys: Vec<Proven>,
    used: u64,
}

impl Keyring {
    /// Keeps what `user` has proved; true if it was not kept already.
    pub fn keep(&self, user: &str, proven: Proven) -> bool {
        let mut bunches = self.0.lock();
        let bunch = bunches.of(user);
        let known = bunch.keys.iter().position(|kept| kept.is_for_the_same(&proven));
        let news = known.is_none_or(|at| !bunch.keys.get(at).is_some_and(|kept| kept.is_same(&proven)));
        if let Some(at) = known {
            bunch.keys.remove(at);
        } else if bunch.keys.len() >= KEPT {
            bunch.keys.remove(0);
        }
        bunch.keys.push(proven);
        news
    }

    /// The user's keys for a verifier with this salt.
    pub fn keys(&self, user: &str, salting: &Salting) -> Option<Keys> {
        self.find(user, |kept| match kept {
            Proven::Scram { salting: own, keys } if own == salting => Some(keys.clone()),
            _ => None,
        })
    }

    pub fn md5(&self, user: &str) -> Option<Md5Hash> {
        self.find(user, |kept| match kept {
            Proven::Md5(hash) => Some(hash.clone()),
            Proven::Scram { .. } => None,
        })
    }

    /// The keys of this salt open nothing any more: the password is another one, or the user is gone.
    pub fn forget(&self, user: &str, salting: &Salting) {
        self.0
            .lock()
            .drop_where(user, |kept| matches!(kept, Proven::Scram { salting: own, .. } if own == salting));
    }

    /// As [`Self::forget`].
    pub fn forget_md5(&self, user: &str) {
        self.0.lock().drop_where(user, |kept| matches!(kept, Proven::Md5(_)));
    }

    fn find<T>(&self, user: &str, wanted: impl Fn(&Proven) -> Option<T>) -> Option<T> {
        let mut bunches = self.0.lock();
        bunches.users.contains_key(user).then(|| bunches.of(user).keys.iter().rev().find_map(wanted))?
    }
}

impl Bunches {
    /// The user's bunch, which may be new.
    fn of(&mut self, user: &str) -> &mut Bunch {
        if self.users.len() >= USERS && !self.users.contains_key(user) {
            let oldest = self.users.iter().min_by_key(|(_, bunch)| bunch.used).map(|(user, _)| user.clone());
            oldest.and_then(|user| self.users.remove(&user));
        }
        self.clock = self.clock.wrapping_add(1);
        let bunch = self.users.entry(user.into()).or_default();
        bunch.used = self.clock;
        bunch
    }

    fn drop_where(&mut self, user: &str, unwanted: impl Fn(&Proven) -> bool) {
        let Some(bunch) = self.users.get_mut(user) else { return };
        bunch.keys.retain(|kept| !unwanted(kept));
        if bunch.keys.is_empty() {
            self.users.remove(user);
        }
    }
}

impl Proven {
    /// Whether both belong to one verifier, or what takes its place.
    fn is_for_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scram { salting, .. }, Self::Scram { salting: other, .. }) => salting == other,
            (Self::Md5(_), Self::Md5(_)) => true,
            _ => false,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scram { keys, .. }, Self::Scram { keys: other, .. }) => keys.stored() == other.stored(),
            (Self::Md5(hash), Self::Md5(other)) => hash.matches(other),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::Derivation;

    fn salting(salt: &str) -> Salting {
        Salting { salt: salt.as_bytes().into(), iterations: 1 }
    }

    fn proven(password: &str, salt: &str) -> Proven {
        let keys = Derivation::new(password.as_bytes(), salting(salt)).run();
        Proven::Scram { salting: salting(salt), keys }
    }

    #[test]
    fn a_key_is_for_its_user_and_its_salt() {
        let ring = Keyring::default();
        assert!(ring.keep("ann", proven("secret", "a")));
        assert!(!ring.keep("ann", proven("secret", "a")), "it is there");
        assert!(ring.keys("ann", &salting("a")).is_some());
        for (user, salt) in [("ann", "b"), ("bob", "a"), ("", "a")] {
            assert!(ring.keys(user, &salting(salt)).is_none());
        }
        let more = Salting { iterations: 2, ..salting("a") };
        assert!(ring.keys("ann", &more).is_none());
        assert!(ring.md5("ann").is_none());
        assert_eq!(format!("{:?}", proven("secret", "a")).matches("***").count(), 1);
    }

    #[test]
    fn another_key_for_the_same_salt_takes_its_place() {
        let ring = Keyring::default();
        ring.keep("ann", proven("old", "a"));
        assert!(ring.keep("ann", proven("new", "a")));
        let expected = Derivation::new(b"new", salting("a")).run();
        assert_eq!(ring.keys("ann", &salting("a")).unwrap().stored(), expected.stored());
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_rest_stays() {
        let ring = Keyring::default();
        let hash = Md5Hash::new(b"secret", "ann");
        ring.keep("ann", proven("one", "a"));
        ring.keep("ann", proven("two", "b"));
        ring.keep("ann", Proven::Md5(hash.clone()));
        ring.forget("ann", &salting("a"));
        assert!(ring.keys("ann", &salting("a")).is_none() && ring.keys("ann", &salting("b")).is_some());
        assert!(ring.md5("ann").is_some_and(|kept| kept.matches(&hash)));
        ring.forget_md5("ann");
        ring.forget("ann", &salting("b"));
        assert!(ring.0.lock().users.is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let ring = Keyring::default();
        for n in 0..10 {
            ring.keep("ann", proven("x", &n.to_string()));
        }
        assert_eq!(ring.0.lock().users["ann"].keys.len(), KEPT);
        for n in 0..USERS {
            ring.keep(&n.to_string(), Proven::Md5(Md5Hash::new(b"x", "x")));
            ring.keys("ann", &salting("9"));
        }
        assert_eq!(ring.0.lock().users.len(), USERS);
        assert!(ring.keys("ann", &salting("9")).is_some(), "it is used all the time");
        assert!(ring.md5("0").is_none(), "nobody needed it for longest");
    }
}
