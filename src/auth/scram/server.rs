//! SCRAM, the server's role: checks a client's proof.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{Key, Keys};
use super::verifier::{Salting, Verifier};
use super::{
    Binding, ScramError, Seed, attribute, auth_message, check_nonce, decode_key, encode, hmac, sha256, xor,
};

/// After client-first: server-first is to be sent, client-final to be awaited.
pub struct Server {
    client_first_bare: Vec<u8>,
    /// What `c=` has to be.
    binding: String,
    nonce: String,
    server_first: String,
}

/// Channel binding, as it stands when client-first comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    NotOffered,
    /// Offered, but the client chose the mechanism without it.
    NotChosen,
    /// By the hash of our certificate.
    Chosen(&'a [u8]),
}

impl Server {
    /// Reads client-first. The user's name in it is ignored: the startup packet named one. `channel` is what the
    /// client's choice of mechanism and our offer come to.
    pub fn start(
        client_first: &[u8],
        salting: &Salting,
        seed: &Seed,
        channel: Channel<'_>,
    ) -> Result<Self, ScramError> {
        let binding = match (channel, client_first) {
            (_, [b'n' | b'y', b',', b'a', ..]) => return Err(ScramError::AuthorizationIdentity),
            (Channel::NotOffered | Channel::NotChosen, [b'n', b',', ..]) => Binding::None,
            (Channel::NotOffered, [b'y', b',', ..]) => Binding::NotOffered,
            (Channel::NotChosen, [b'y', b',', ..]) => return Err(ScramError::Downgrade),
            (Channel::Chosen(hash), [b'p', ..]) => Binding::EndPoint(hash.to_vec()),
            (_, [b'n' | b'y', b',', ..] | [b'p', b'=', ..]) => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed("GS2 header")),
        };
        let bare = client_first.strip_prefix(binding.header().as_bytes());
        let bare = bare.ok_or(ScramError::Malformed("GS2 header"))?;
        let mut rest = bare;
        attribute(&mut rest, b'n')?;
        let nonce = format!("{}{}", check_nonce(attribute(&mut rest, b'r')?)?, encode(seed));
        let server_first = format!("r={nonce},s={},i={}", encode(&salting.salt), salting.iterations);
        Ok(Self { client_first_bare: bare.to_vec(), binding: binding.input(), nonce, server_first })
    }

    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads client-final; what it proves is for [`Proof::verify`] to say.
    pub fn client_final(self, message: &[u8]) -> Result<Proof, ScramError> {
        let end = memchr::memmem::rfind(message, b",p=").ok_or(ScramError::Malformed("proof missing"))?;
        let (without_proof, mut rest) = message.split_at(end);
        rest = rest.get(1..).unwrap_or_default();
        let proof = decode_key(attribute(&mut rest, b'p')?)?;
        if !rest.is_empty() {
            return Err(ScramError::Malformed("data behind the proof"));
        }
        let mut rest = without_proof;
        if attribute(&mut rest, b'c')? != self.binding.as_bytes() {
            return Err(ScramError::ChannelBinding);
        }
        if attribute(&mut rest, b'r')? != self.nonce.as_bytes() {
            return Err(ScramError::Nonce);
        }
        let signed =
            auth_message(&self.client_first_bare, self.server_first.as_bytes(), without_proof).concat();
        Ok(Proof { proof, signed })
    }
}

/// A well-formed proof, not checked yet.
pub struct Proof {
    proof: Key,
    signed: Vec<u8>,
}

/// A proof that was right.
pub struct Verified {
    /// server-final: proves to the client that we know its verifier.
    pub server_final: String,
    /// The client's keys, recovered from the proof.
    pub keys: Keys,
}

impl Proof {
    /// `None` if it wasn't made with the verifier's password. Takes the same time either way.
    pub fn verify(&self, verifier: &Verifier) -> Option<Verified> {
        let client_key = Zeroizing::new(xor(&self.proof, &hmac(&verifier.stored_key, &[&self.signed])));
        let right = sha256(client_key.as_slice()).ct_eq(&verifier.stored_key);
        let signature = hmac(&verifier.server_key, &[&self.signed]);
        bool::from(right).then(|| Verified {
            server_final: format!("v={}", encode(&signature)),
            keys: Keys::new(*client_key, verifier.server_key),
        })
    }
}
