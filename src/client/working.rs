//! The buffers of a working client, kept by each worker thread for the next one.
//!
//! An idle client has none. Taking and giving back allocates nothing while the thread's stack of spare ones
//! lasts, and what was used last is used next, so it is warm.

use std::cell::RefCell;

use crate::meter::work::Work;
use crate::wire::lane::{Lane, SMALL};
use crate::wire::sqlstate::SqlState;

/// Both directions of an exchange, and its accounts.
#[derive(Debug, Default)]
pub(super) struct Working {
    /// Client to server.
    pub(super) up: Lane,
    /// Server to client.
    pub(super) down: Lane,
    /// Whether a request was judged since the exchange began.
    pub(super) worked: bool,
    /// What was done since the last release.
    pub(super) work: Work,
    /// The codes of errors that PostgreSQL sent meanwhile.
    pub(super) errors: Vec<SqlState>,
}

/// Spare ones that a thread keeps: about as many as clients that wait or work at once on it.
const SPARE: usize = 128;
/// Of these, the ones with buffers that have grown.
const GROWN: usize = 8;

thread_local! {
    // Boxed, so that a client that takes one moves a pointer.
    #[allow(clippy::vec_box)]
    static SPARES: RefCell<Vec<Box<Working>>> = const { RefCell::new(Vec::new()) };
}

impl Working {
    pub(super) fn take() -> Box<Self> {
        SPARES.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    pub(super) fn give_back(mut self: Box<Self>) {
        self.up.clear();
        self.down.clear();
        self.work = Work::default();
        self.errors.clear();
        SPARES.with_borrow_mut(|spares| {
            let grown = self.up.capacity() > SMALL || self.down.capacity() > SMALL;
            if spares.len() < if grown { GROWN } else { SPARE } {
                spares.push(self);
            }
        });
    }
}
