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
    #[error("what the session has become was not asked")]
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
    // First, since more may have to be told to the client.
    if ledger.replies.is_doubtful() {
        return Err(Unclean::Doubtful);
    }
    if ledger.mixed {
        return Err(Unclean::Mixed);
    }
    if ledger.cancels.load(Ordering::Acquire) > 0 {
        return Err(Unclean::CancelInFlight);
    }
    if ledger.settings.is_none() || ledger.change.is_some() {
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

    use super::*;
    use crate::session::params::Params;
    use crate::session::replies::{About, Fate, Slot, Undo};
    use crate::session::settings::Interner;

    fn ledger() -> Ledger {
        Ledger::new(Params::default(), RandomState::new(), 10, Interner::default().plain().clone())
    }

    fn send(ledger: &mut Ledger, awaits: Awaits) {
        ledger.sent(Slot::new(awaits, Fate::Forward, About::Nothing, Undo::Nothing));
    }

    fn why(ledger: &Ledger) -> Option<Unclean> {
        prove(ledger, true).err()
    }

    #[test]
    fn a_new_server_is_clean_unless_bytes_wait() {
        assert_eq!(why(&ledger()), None);
        assert_eq!(prove(&ledger(), false).unwrap_err(), Unclean::BytesLeft);
    }

    #[test]
    fn whatever_is_open_is_a_reason() {
        let mut server = ledger();
        server.tx = Tx::Open;
        assert_eq!(why(&server), Some(Unclean::InTransaction));
        server.tx = Tx::Failed;
        assert_eq!(why(&server), Some(Unclean::InTransaction));
        let server = ledger();
        server.cancels.store(1, Ordering::Relaxed);
        assert_eq!(why(&server), Some(Unclean::CancelInFlight));
        let mut server = ledger();
        server.settings = None;
        assert_eq!(why(&server), Some(Unclean::StateUnknown));
    }

    #[test]
    fn a_batch_is_open_until_its_sync_is_answered() {
        let mut server = ledger();
        send(&mut server, Awaits::Parse);
        assert_eq!(why(&server), Some(Unclean::Owes(Awaits::Parse)));
        assert!(server.receive(b'1').is_ok());
        assert_eq!(why(&server), Some(Unclean::Unsynced));
        send(&mut server, Awaits::Sync);
        assert_eq!(why(&server), Some(Unclean::Owes(Awaits::Sync)));
        assert!(server.receive(b'Z').is_ok());
        assert_eq!(why(&server), None);
    }

    #[test]
    fn f13_a_query_in_a_batch_leaves_a_server_to_nobody() {
        let mut server = ledger();
        for awaits in [Awaits::Parse, Awaits::Query] {
            send(&mut server, awaits);
        }
        for tag in *b"1IZ" {
            assert!(server.receive(tag).is_ok());
        }
        server.unsynced = false;
        assert_eq!(why(&server), Some(Unclean::Mixed));
    }

    #[test]
    fn a_server_that_skips_is_not_clean() {
        let mut server = ledger();
        send(&mut server, Awaits::Parse);
        assert!(server.receive(b'E').is_ok());
        server.unsynced = false;
        assert_eq!(why(&server), Some(Unclean::Unsynced));
    }

    #[test]
    fn f88_a_sync_within_a_copy_closes_nothing() {
        let mut server = ledger();
        for awaits in [Awaits::Execute, Awaits::Sync] {
            send(&mut server, awaits);
        }
        assert!(server.receive(b'G').is_ok());
        send(&mut server, Awaits::Sync);
        send(&mut server, Awaits::CopyEnd);
        assert!(server.receive(b'C').is_ok());
        assert_eq!(why(&server), Some(Unclean::Unsynced));
    }

    #[test]
    fn f87_a_failed_copy_may_leave_a_doubt_but_no_late_end() {
        let mut server = ledger();
        send(&mut server, Awaits::Query);
        assert!(server.receive(b'G').is_ok());
        assert!(server.receive(b'E').is_ok());
        send(&mut server, Awaits::CopyEnd);
        assert!(server.receive(b'Z').is_ok());
        assert_eq!(why(&server), None);
        for awaits in [Awaits::Query, Awaits::Sync] {
            send(&mut server, awaits);
        }
        for tag in *b"GEZ" {
            assert!(server.receive(tag).is_ok());
        }
        assert_eq!(why(&server), Some(Unclean::Doubtful));
    }
}
