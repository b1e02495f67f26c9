//! SCRAM, the client's role: proves that we know a password, and that the server does.
//!
//! The server may be hostile: its nonce, salt and iterations are bounded before any work is done for it.

use subtle::ConstantTimeEq;

use super::keys::{Key, Keys};
use super::verifier::Salting;
use super::{
    Binding, DEFAULT_ITERATIONS, MAX_ITERATIONS, MAX_NONCE, MAX_SALT, ScramError, Seed, attribute,
    auth_message, check_nonce, decode, decode_key, encode, hmac, xor,
};

/// client-first is to be sent, server-first to be awaited.
pub struct Client {
    /// With an empty user name, as libpq sends it: the startup packet named the user.
    first_bare: String,
    nonce: String,
    binding: Binding,
}

impl Client {
    pub fn start(seed: &Seed, binding: Binding) -> Self {
        let nonce = encode(seed);
        Self { first_bare: format!("n=,r={nonce}"), nonce, binding }
    }

    pub fn client_first(&self) -> String {
        format!("{}{}", self.binding.header(), self.first_bare)
    }

    pub fn server_first(self, message: &[u8]) -> Result<Challenge, ScramError> {
        let mut rest = message;
        let nonce = check_nonce(attribute(&mut rest, b'r')?)?;
        if nonce.len() > MAX_NONCE || nonce == self.nonce || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Nonce);
        }
        let nonce = nonce.to_owned();
        let salt = decode(attribute(&mut rest, b's')?)?;
        if !(1..=MAX_SALT).contains(&salt.len()) {
            return Err(ScramError::Salt);
        }
        let iterations = str::from_utf8(attribute(&mut rest, b'i')?)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(ScramError::Malformed("iterations"))?;
        if !(DEFAULT_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        Ok(Challenge {
            first_bare: self.first_bare,
            server_first: message.to_vec(),
            nonce,
            binding: self.binding,
            salting: Salting { salt: salt.into(), iterations },
        })
    }
}

/// The server told its salt: keys are to be derived, or found.
pub struct Challenge {
    first_bare: String,
    server_first: Vec<u8>,
    nonce: String,
    binding: Binding,
    salting: Salting,
}

impl Challenge {
    pub fn salting(&self) -> &Salting {
        &self.salting
    }

    /// client-final, and what to await behind it. `keys` were made with [`Challenge::salting`].
    pub fn answer(self, keys: &Keys) -> (String, Answered) {
        let without_proof = format!("c={},r={}", self.binding.input(), self.nonce);
        let signed = auth_message(self.first_bare.as_bytes(), &self.server_first, without_proof.as_bytes());
        let proof = xor(&keys.client, &hmac(&keys.stored(), &signed));
        let answered = Answered { signature: hmac(&keys.server, &signed) };
        (format!("{without_proof},p={}", encode(&proof)), answered)
    }
}

/// client-final was sent; the server has to prove itself.
pub struct Answered {
    signature: Key,
}

impl Answered {
    pub fn server_final(self, message: &[u8]) -> Result<(), ScramError> {
        let mut rest = message;
        if message.starts_with(b"e=") {
            return Err(ScramError::RefusedByServer);
        }
        let signature = decode_key(attribute(&mut rest, b'v')?)?;
        if bool::from(signature.ct_eq(&self.signature)) { Ok(()) } else { Err(ScramError::ServerSignature) }
    }
}
