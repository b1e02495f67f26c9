//! The proof that a server may be handed to another client.

use std::sync::atomic::Ordering;

use thiserror::Error;

use super::replies::Awaits;
use super::server::{Ledger, Tx};

/// Made only by [`prove`]: nothing is owed, nothing is open, the session's state is known.
#[must_use]
#[derive(Debug)]
pub struct Clean(());

/// Why a server is not clean; what follows from it is decided by the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unclean {
    #[error("a reply to {0:?} is still owed")]
    Owes(Awaits),
    #[error("bytes for the server or from it wait in a buffer")]
    BytesLeft,
    #[error("a transaction is open")]
    InTransaction,
    #[error("an extended batch was not closed by Sync")]
    Unsynced,
    #[error("a failed copy left open how many replies come")]
    Doubtful,
    #[error("a cancel request is under way")]
    CancelInFlight,
    #[error("the session's settings are not known")]
    StateUnknown,
}

/// Whether the server of `ledger` may be handed over. `buffers_empty`: no byte for it or from it is held.
pub fn prove(ledger: &Ledger, buffers_empty: bool) -> Result<Clean, Unclean> {
    if let Some(slot) = ledger.replies.front() {
        return Err(Unclean::Owes(slot.awaits));
    }
    if !buffers_empty {
        return Err(Unclean::BytesLeft);
    }
    if ledger.tx != Tx::Idle {
        return Err(Unclean::InTransaction);
    }
    if ledger.unsynced || ledger.replies.is_skipping() || ledger.replies.is_copying() {
        return Err(Unclean::Unsynced);
    }
    if ledger.replies.is_doubtful() {
        return Err(Unclean::Doubtful);
    }
    if ledger.cancels.load(Ordering::Acquire) > 0 {
        return Err(Unclean::CancelInFlight);
    }
    if ledger.settings.is_none() {
        return Err(Unclean::StateUnknown);
    }
    Ok(Clean(()))
}

#[cfg(test)]
impl Clean {
    /// For tests of rooms that only pass the proof on.
    pub(crate) fn for_tests() -> Self {
        Self(())
    }
}
