//! Key derivation, off the threads that relay.
//!
//! PBKDF2 takes from half a millisecond to a tenth of a second of a core, whoever asks for it. Few run at once, so
//! that a storm of logins leaves the cores to the clients that are logged in.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::auth::scram::{Derivation, Key, Keys};

/// Keys remembered; beyond that all are forgotten. Far more than upstreams have users.
const MAX_KNOWN: usize = 1_024;

/// Runs derivations, for logins of clients and to servers alike.
#[derive(Debug)]
pub struct Deriver {
    slots: Arc<Semaphore>,
    known: Mutex<HashMap<Key, Keys>>,
}

impl Deriver {
    /// Runs at most so many derivations at once.
    pub fn new(parallel: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(parallel.max(1))), known: Mutex::default() }
    }

    /// Runs one. Whoever stops waiting for it doesn't free its slot: its thread does, at the end.
    pub async fn run(&self, derivation: Derivation) -> Keys {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("never closed");
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            derivation.run()
        });
        work.await.expect("a derivation doesn't panic")
    }

    /// The same, for a password of our own, which will be used again: remembers the keys.
    pub async fn run_or_recall(&self, derivation: Derivation) -> Keys {
        let fingerprint = derivation.fingerprint();
        if let Some(keys) = self.known.lock().get(&fingerprint) {
            return keys.clone();
        }
        let keys = self.run(derivation).await;
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(fingerprint, keys.clone());
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::Salting;

    fn derivation(password: &str, salt: &[u8], iterations: u32) -> Derivation {
        Derivation::new(password.as_bytes(), Salting { salt: salt.into(), iterations })
    }

    #[tokio::test]
    async fn keys_are_recalled_for_the_same_password_salt_and_iterations_only() {
        let deriver = Deriver::new(1);
        for derivation in [
            derivation("a", b"x", 1),
            derivation("b", b"x", 1),
            derivation("a", b"y", 1),
            derivation("a", b"x", 2),
        ] {
            for _ in 0..2 {
                let keys = deriver.run_or_recall(derivation.clone()).await;
                assert_eq!(keys.stored(), derivation.run().stored());
            }
        }
        assert_eq!(deriver.known.lock().len(), 4);
    }
}
