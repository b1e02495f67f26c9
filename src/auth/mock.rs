//! Made-up secrets for users that we don't know, so that they can't be told from the others.
//!
//! They are stable: whoever asks again, even after a restart, sees the same salt if the instance's secret is the
//! same.

use super::md5::Md5Hash;
use super::scram::{Key, Salting, Verifier, hmac};
use super::secret::Secret;

/// What made-up secrets are made from: 32 random bytes, best kept over restarts and shared by instances.
#[derive(Clone)]
pub(super) struct Mock {
    instance_secret: zeroize::Zeroizing<Key>,
}

impl Mock {
    pub(super) fn new(instance_secret: Key) -> Self {
        Self { instance_secret: zeroize::Zeroizing::new(instance_secret) }
    }

    /// A user's salt, 16 bytes as PostgreSQL's. Users with a plain password have it too.
    pub(super) fn salting(&self, user: &str, iterations: u32) -> Salting {
        let salt = self.make("salt", user);
        Salting { salt: salt.first_chunk::<16>().expect("16 of 32").as_slice().into(), iterations }
    }

    /// A verifier of no password that anybody knows.
    pub(super) fn verifier(&self, user: &str, salting: Salting) -> Verifier {
        Verifier {
            salting,
            stored_key: self.make("StoredKey", user),
            server_key: self.make("ServerKey", user),
        }
    }

    /// A password that nobody knows.
    pub(super) fn password(&self, user: &str) -> Secret {
        Secret::new(self.make("password", user).escape_ascii().to_string())
    }

    /// A hash of no password that anybody knows.
    pub(super) fn md5(&self, user: &str) -> Md5Hash {
        Md5Hash::new(&self.make("md5", user), user)
    }

    fn make(&self, what: &str, user: &str) -> Key {
        hmac(self.instance_secret.as_slice(), &[what.as_bytes(), b"\0", user.as_bytes()])
    }
}
