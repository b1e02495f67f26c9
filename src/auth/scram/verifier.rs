//! What a server keeps of a password: enough to check a proof, not enough to make one.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::keys::{Key, Keys};
use super::{MAX_SALT, decode, decode_key, encode};

/// How a password is turned into keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Salting {
    pub salt: Box<[u8]>,
    pub iterations: u32,
}

/// A SCRAM-SHA-256 verifier, as in `pg_authid.rolpassword`. Wiped when dropped: passwords can be guessed by it, and whoever
/// has it can pass for the server.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Verifier {
    #[zeroize(skip)]
    pub salting: Salting,
    pub stored_key: Key,
    pub server_key: Key,
}

impl Verifier {
    /// What the text of every verifier begins with.
    pub const PREFIX: &str = "SCRAM-SHA-256$";

    pub fn new(salting: Salting, keys: &Keys) -> Self {
        Self { salting, stored_key: keys.stored(), server_key: keys.server }
    }

    /// Reads `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`; salt and keys are base64.
    pub fn parse(text: &str) -> Option<Self> {
        let (salting, keys) = text.strip_prefix(Self::PREFIX)?.split_once('$')?;
        let (iterations, salt) = salting.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let salt = decode(salt.as_bytes()).ok().filter(|salt| (1..=MAX_SALT).contains(&salt.len()))?;
        Some(Self {
            salting: Salting {
                salt: salt.into(),
                iterations: iterations.parse().ok().filter(|n| *n > 0 && *n <= i32::MAX as u32)?,
            },
            stored_key: decode_key(stored_key.as_bytes()).ok()?,
            server_key: decode_key(server_key.as_bytes()).ok()?,
        })
    }

    /// Whether these are the keys of this verifier's password. Takes the same time either way.
    pub fn matches(&self, keys: &Keys) -> bool {
        self.stored_key.ct_eq(&keys.stored()).into()
    }
}

/// The text that [`Verifier::parse`] reads.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Salting { salt, iterations } = &self.salting;
        let [salt, stored_key, server_key] =
            [salt.as_ref(), &self.stored_key, &self.server_key].map(|bytes: &[u8]| encode(bytes));
        write!(f, "{}{iterations}:{salt}${stored_key}:{server_key}", Self::PREFIX)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
