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
    #[error("both protocols were mixed in one batch")]
    Mixed,
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
    if ledger.mixed {
        return Err(Unclean::Mixed);
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

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::session::params::Params;
    use crate::session::replies::{Fate, Undo};
    use crate::session::settings::Interner;

    fn ledger() -> Ledger {
        Ledger::new(Params::default(), RandomState::new(), 10, Interner::default().plain().clone())
    }

    #[test]
    fn only_a_server_that_owes_and_holds_nothing_is_clean() {
        assert!(prove(&ledger(), true).is_ok());
        assert_eq!(prove(&ledger(), false).err(), Some(Unclean::BytesLeft));
        let unclean = |change: fn(&mut Ledger)| {
            let mut ledger = ledger();
            change(&mut ledger);
            prove(&ledger, true).err()
        };
        let query = |ledger: &mut Ledger| ledger.sent(Awaits::Query, Fate::Forward, None, Undo::Nothing);
        assert_eq!(unclean(query), Some(Unclean::Owes(Awaits::Query)));
        assert_eq!(unclean(|ledger| ledger.tx = Tx::Open), Some(Unclean::InTransaction));
        assert_eq!(unclean(|ledger| ledger.tx = Tx::Failed), Some(Unclean::InTransaction));
        assert_eq!(unclean(|ledger| ledger.unsynced = true), Some(Unclean::Unsynced));
        assert_eq!(unclean(|ledger| ledger.mixed = true), Some(Unclean::Mixed));
        assert_eq!(unclean(|ledger| ledger.settings = None), Some(Unclean::StateUnknown));
        let cancelling = |ledger: &mut Ledger| ledger.cancels = Arc::new(AtomicU32::new(1));
        assert_eq!(unclean(cancelling), Some(Unclean::CancelInFlight));
    }
}
