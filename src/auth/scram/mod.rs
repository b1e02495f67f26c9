//! SCRAM-SHA-256, both roles, with and without channel binding. Source: RFC 5802, RFC 7677, RFC 5929.
//!
//! ```text
//!  client                                   server
//!  n,,n=,r=NONCE                    ──▶                      client-first
//!                                   ◀──     r=NONCE+,s=SALT,i=N     server-first
//!  c=biws,r=NONCE+,p=PROOF          ──▶                      client-final
//!                                   ◀──     v=SIGNATURE             server-final
//! ```
//!
//! With channel binding client-first begins with `p=tls-server-end-point,,` and `c=` carries the hash of the certificate
//! that the client sees: a go-between with another certificate can't pass the proof on.
//!
//! The server role works from stored keys alone: a few HMACs a login. PBKDF2 runs only as a [`Derivation`].

pub mod client;
mod keys;
pub mod server;
mod verifier;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use keys::{Derivation, Key, Keys};
pub use verifier::{Salting, Verifier};

/// Random bytes of a nonce; the nonce is their base64, 24 characters.
pub const SEED_LEN: usize = 18;
/// Random bytes of a nonce. Never used twice.
pub type Seed = [u8; SEED_LEN];

/// PostgreSQL's number of iterations for a new verifier.
pub const DEFAULT_ITERATIONS: u32 = 4_096;
/// The most iterations that we do because a server says so.
pub const MAX_ITERATIONS: u32 = 600_000;
/// The longest salt, in bytes.
pub const MAX_SALT: usize = 256;
/// The longest nonce of a server, in bytes, ours included.
pub const MAX_NONCE: usize = 512;

/// What is wrong with a peer's SCRAM message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    #[error("SCRAM channel binding does not match")]
    ChannelBinding,
    /// It says that we offer no channel binding: somebody between us took the offer away.
    #[error("SCRAM channel binding was offered, but the peer does not know of it")]
    Downgrade,
    #[error("SCRAM authorization identity is not supported")]
    AuthorizationIdentity,
    #[error("SCRAM nonce does not match")]
    Nonce,
    #[error("SCRAM salt is empty or too long")]
    Salt,
    #[error("SCRAM iteration count {0} is outside {DEFAULT_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations(u32),
    #[error("the server refused the SCRAM exchange")]
    RefusedByServer,
    /// It doesn't know the password: an impostor.
    #[error("the server's SCRAM signature is wrong")]
    ServerSignature,
}

/// What client-first says about the channel (its GS2 header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The client can't, or won't.
    None,
    /// The client could, but the server offers nothing.
    NotOffered,
    /// By `tls-server-end-point`: the hash of the server's certificate.
    EndPoint(Vec<u8>),
}

impl Binding {
    /// What stands before client-first-bare; no authorization identity.
    fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// What client-final repeats as `c=`.
    fn input(&self) -> String {
        let mut input = self.header().as_bytes().to_vec();
        if let Self::EndPoint(hash) = self {
            input.extend_from_slice(hash);
        }
        encode(&input)
    }
}

/// Takes the attribute `name=value` off the front, with the comma behind it.
fn attribute<'a>(rest: &mut &'a [u8], name: u8) -> Result<&'a [u8], ScramError> {
    match rest {
        [first, b'=', tail @ ..] if *first == name => {
            let (value, tail) = tail.split_at(memchr::memchr(b',', tail).unwrap_or(tail.len()));
            *rest = tail.split_first().map_or(&[], |(_comma, tail)| tail);
            Ok(value)
        }
        [b'm', b'=', ..] => Err(ScramError::Malformed("mandatory extension")),
        _ => Err(ScramError::Malformed("attribute missing")),
    }
}

/// A nonce is printable ASCII without a comma.
fn check_nonce(nonce: &[u8]) -> Result<&str, ScramError> {
    str::from_utf8(nonce)
        .ok()
        .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(ScramError::Malformed("nonce"))
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decode(text: &[u8]) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Malformed("base64"))
}

fn decode_key(text: &[u8]) -> Result<Key, ScramError> {
    decode(text)?.try_into().map_err(|_| ScramError::Malformed("length of a key"))
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn sha256(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

/// What both sides sign: client-first-bare, server-first, client-final-without-proof, joined by commas.
fn auth_message<'a>(bare: &'a [u8], server_first: &'a [u8], without_proof: &'a [u8]) -> [&'a [u8]; 5] {
    [bare, b",", server_first, b",", without_proof]
}

fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a.get(i).zip(b.get(i)).map_or(0, |(a, b)| a ^ b))
}

#[cfg(test)]
mod tests;
