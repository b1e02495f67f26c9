//! Proving who someone is, in both directions: pure state machines over message bodies.
//!
//! [`hba`] says by which method, [`login`] asks our clients, [`respond`] answers our servers; both speak SCRAM-SHA-256
//! ([`scram`]), MD5 and cleartext. Sockets, files, randomness and the threads for key derivation belong to the shell:
//! nonces come in as arguments, and an expensive derivation goes out as a value ([`scram::Derivation`]) whose result
//! comes back.
//!
//! Invariant: only [`login`] makes an [`login::Authenticated`], so whoever holds one did log in.
#![deny(clippy::disallowed_methods)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

pub mod answers;
pub mod failures;
pub mod hba;
pub mod keyring;
pub mod login;
pub mod lookup;
pub mod md5;
mod mock;
pub mod passfile;
pub mod respond;
pub mod roster;
pub mod scram;
pub mod secret;
pub mod source;
pub mod users;
