//! Taking back what requests changed in the maps when the server didn't do them.
//!
//! Of the client's side all is restored exactly. What a server has is only noted as doubtful: it is closed and
//! parsed anew when somebody needs it.

use super::exchange::Exchange;
use super::replies::{Awaits, Slot, Undo};
use super::sequences::Mark;
use super::statements::client::Held;
use super::statements::server::{Rows, Unnamed};

impl Exchange<'_> {
    /// What was asked of a server that is gone, and not answered, was not done.
    pub fn abandon(&mut self) {
        let slots: Vec<_> = self.server.replies.abandon().collect();
        slots.into_iter().for_each(|slot| self.undo(slot.undo));
        self.client.portals = None;
    }

    /// `failed` ended with an error, and the server skips to the next Sync.
    pub(super) fn undo_failed(&mut self, failed: Slot) {
        while let Some(slot) = self.server.replies.skipped() {
            self.undo(slot.undo);
        }
        match (failed.awaits, failed.undo) {
            // It drops the unnamed statement before it reads the text.
            (Awaits::Parse, Undo::Unnamed { client }) => {
                self.undo(Undo::Unnamed { client: client.map(|_| None) });
            }
            (_, undo) => self.undo(undo),
        }
    }

    /// The request was done: of what it changed, only deallocations that no tag confirmed are taken back.
    pub(super) fn settle_done(&mut self, undo: Undo) {
        match undo {
            Undo::Deallocating(_) | Undo::DeallocatingAll(_) => self.undo(undo),
            Undo::Both(both) => self.settle_done(both.1),
            _ => {}
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Unnamed { client } => {
                self.server.statements.unnamed = Unnamed::Unknown;
                if let Some(held) = client {
                    self.restore_unnamed(held);
                }
            }
            Undo::Parsed { name, id } => {
                self.server.statements.doubt(id);
                if let Some(name) = name {
                    self.client.statements.remove(&name);
                }
            }
            Undo::Asked { id, unnamed } => self.server.statements.set_rows(id, unnamed, Rows::Unknown),
            Undo::CopyClosed(id) => self.server.statements.doubt(id),
            Undo::SequencesDiscarded => self.server.sequences = Some(Mark::NOBODYS),
            Undo::NameClosed { name, held } => self.client.statements.insert(name, held),
            Undo::Deallocating(dropped) => {
                for (name, held) in dropped.into_iter().rev() {
                    if let Some(held) = held {
                        self.client.statements.insert(name, held);
                    }
                }
            }
            Undo::DeallocatingAll(names) => {
                names.into_iter().for_each(|(name, held)| self.client.statements.insert(name, held));
            }
            Undo::Both(both) => {
                self.undo(both.1);
                self.undo(both.0);
            }
        }
    }

    /// Requests behind the skipped ones may have replaced the unnamed statement already; then what it was
    /// before *them* is restored.
    fn restore_unnamed(&mut self, held: Option<Held>) {
        let later = self.server.replies.behind_sync().find_map(|slot| slot.undo.unnamed_of_client());
        *later.unwrap_or(&mut self.client.statements.unnamed) = held;
    }

    /// The tag of a `DEALLOCATE` came: the oldest name that waits for one is gone.
    pub(super) fn confirm_deallocated(&mut self) {
        let undo = self.server.replies.front_mut().map(|slot| slot.undo.of_names());
        if let Some(Undo::Deallocating(dropped)) = undo
            && !dropped.is_empty()
        {
            dropped.remove(0);
        }
    }

    /// The tag of a `DEALLOCATE ALL` or `DISCARD ALL` came.
    pub(super) fn confirm_deallocated_all(&mut self) {
        let undo = self.server.replies.front_mut().map(|slot| slot.undo.of_names());
        match undo {
            Some(undo @ Undo::DeallocatingAll(_)) => *undo = Undo::Nothing,
            // No text told of it. Names that were given behind it stay.
            _ => self.deallocated_unforeseen(),
        }
        self.server.statements.forget_doubtful();
    }

    fn deallocated_unforeseen(&mut self) {
        self.server.questions = 0;
        self.server.statements.doubt_all();
        for (name, held) in *self.client.statements.take_named() {
            let given =
                |slot: &Slot| matches!(&slot.undo, Undo::Parsed { name: Some(given), .. } if *given == name);
            if self.server.replies.slots().skip(1).any(given) {
                self.client.statements.insert(name, held);
            }
        }
    }
}
