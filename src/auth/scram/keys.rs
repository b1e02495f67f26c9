//! From a password to the keys that stand for it.

use std::borrow::Cow;

use pbkdf2::pbkdf2_hmac_array;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::verifier::Salting;
use super::{hmac, sha256};

/// The size of everything that SHA-256 makes.
pub type Key = [u8; 32];

/// ClientKey and ServerKey: with them one can log in wherever salt and iterations are the same, so they are kept
/// like a password.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    pub(super) client: Key,
    pub(super) server: Key,
}

impl Keys {
    /// Keys that were recovered or stored elsewhere.
    pub fn new(client: Key, server: Key) -> Self {
        Self { client, server }
    }

    /// StoredKey: proves a ClientKey without giving it away.
    pub fn stored(&self) -> Key {
        sha256(&self.client)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// An expensive computation, as a value: 0.1 µs an iteration, so it runs off the threads that relay.
#[derive(Clone)]
pub struct Derivation {
    password: Zeroizing<Vec<u8>>,
    salting: Salting,
}

impl Derivation {
    pub fn new(password: &[u8], salting: Salting) -> Self {
        Self { password: Zeroizing::new(password.to_vec()), salting }
    }

    /// Equal for two derivations only if they give the same keys. As secret as a fast hash of the password.
    pub fn fingerprint(&self) -> Key {
        let Salting { salt, iterations } = &self.salting;
        hmac(&sha256(&self.password), &[&iterations.to_be_bytes(), salt])
    }

    pub fn run(&self) -> Keys {
        let Salting { salt, iterations } = &self.salting;
        let salted =
            Zeroizing::new(pbkdf2_hmac_array::<Sha256, 32>(&normalize(&self.password), salt, *iterations));
        Keys {
            client: hmac(salted.as_slice(), &[b"Client Key"]),
            server: hmac(salted.as_slice(), &[b"Server Key"]),
        }
    }
}

/// SASLprep (RFC 4013). Like PostgreSQL, takes the bytes as they are where it doesn't apply: they are not UTF-8,
/// hold prohibited characters, or nothing is left of them.
fn normalize(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    Zeroizing::new(match prepared {
        Some(text) if !text.is_empty() => Cow::into_owned(text).into_bytes(),
        _ => password.to_vec(),
    })
}
