//! Whose clients take the servers: the accounts of a pool by `application_name`.
//!
//! Names come from the network, so there is a bound: [`MOST`] of them are told apart, the others share one row. A row
//! without clients makes way for a new name; what it counted is then the others'. Invariant: the rows sum to the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names that are told apart.
pub const MOST: usize = 30;
/// Bytes of a name that are kept, as PostgreSQL keeps them.
const LONGEST: usize = 63;
/// The row of those that aren't told apart.
pub const OTHER: &str = "other";

/// A row. Good for as long as its client is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplicationId(u16);

impl ApplicationId {
    /// For those who keep it where only numbers can be.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Of a number that [`Self::number`] gave.
    pub fn of_number(number: u16) -> Self {
        Self(number)
    }
}

/// What one application did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationSnapshot {
    /// Empty for clients that gave none.
    pub name: Arc<str>,
    pub clients: u32,
    pub transactions: u64,
    /// Time for which it had servers.
    pub held: Duration,
    pub waits: u64,
    pub waited: Duration,
}

#[derive(Debug)]
pub(super) struct Applications {
    /// The first one is the others'.
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    books: ApplicationSnapshot,
    /// Clients, and loans, that have this row's number.
    users: u32,
}

impl Default for Applications {
    fn default() -> Self {
        let books = ApplicationSnapshot { name: OTHER.into(), ..ApplicationSnapshot::default() };
        Self { rows: vec![Row { books, users: 0 }] }
    }
}

impl Applications {
    /// A client comes.
    pub(super) fn join(&mut self, name: &str) -> ApplicationId {
        let at = self.find(name);
        self.rows[at].books.clients += 1;
        self.rows[at].users += 1;
        ApplicationId(at as u16)
    }

    pub(super) fn leave(&mut self, id: ApplicationId) {
        let row = self.row(id);
        row.books.clients -= 1;
        row.users -= 1;
    }

    /// A client has another name now.
    pub(super) fn rename(&mut self, id: ApplicationId, name: &str) -> ApplicationId {
        if *self.row(id).books.name == *shortened(name) {
            return id;
        }
        let new = self.join(name);
        self.leave(id);
        new
    }

    fn find(&mut self, name: &str) -> usize {
        let name = shortened(name);
        if let Some(at) = self.rows.iter().position(|row| *row.books.name == *name) {
            return at;
        }
        let books = ApplicationSnapshot { name: name.into(), ..ApplicationSnapshot::default() };
        let row = Row { books, users: 0 };
        if self.rows.len() <= MOST {
            self.rows.push(row);
            return self.rows.len() - 1;
        }
        let unused = (1..self.rows.len()).filter(|&at| self.rows[at].users == 0);
        let Some(at) = unused.min_by_key(|&at| self.rows[at].books.held) else { return 0 };
        let old = std::mem::replace(&mut self.rows[at], row).books;
        let other = &mut self.rows[0].books;
        other.transactions += old.transactions;
        other.held += old.held;
        other.waits += old.waits;
        other.waited += old.waited;
        at
    }

    /// A server was lent. It comes to [`Self::returned`].
    pub(super) fn lent(&mut self, id: ApplicationId) {
        self.row(id).users += 1;
    }

    pub(super) fn returned(&mut self, id: ApplicationId, held: Duration) {
        let row = self.row(id);
        row.users -= 1;
        row.books.held += held;
    }

    pub(super) fn worked(&mut self, id: ApplicationId, transactions: u64) {
        self.row(id).books.transactions += transactions;
    }

    pub(super) fn waited(&mut self, id: ApplicationId, waited: Duration) {
        let books = &mut self.row(id).books;
        books.waits += 1;
        books.waited += waited;
    }

    pub(super) fn name(&self, id: ApplicationId) -> Arc<str> {
        Arc::clone(&self.rows[usize::from(id.0)].books.name)
    }

    /// All rows that ever had a client. `loans`: those under way, since when.
    pub(super) fn snapshot(
        &self,
        now: Instant,
        loans: impl Iterator<Item = (ApplicationId, Instant)>,
    ) -> Vec<ApplicationSnapshot> {
        let mut rows: Vec<_> = self.rows.iter().map(|row| row.books.clone()).collect();
        for (id, since) in loans {
            rows[usize::from(id.0)].held += now.saturating_duration_since(since);
        }
        rows.retain(|row| row.clients > 0 || row.held > Duration::ZERO || row.waits > 0);
        rows
    }

    fn row(&mut self, id: ApplicationId) -> &mut Row {
        &mut self.rows[usize::from(id.0)]
    }
}

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_a_row_and_nothing_is_lost() {
        let now = crate::pool::tests::epoch();
        let mut applications = Applications::default();
        let ids: Vec<_> = (0..MOST + 5).map(|n| applications.join(&format!("app {n}"))).collect();
        for &id in &ids {
            applications.lent(id);
            applications.returned(id, Duration::from_secs(1));
        }
        let rows = applications.snapshot(now, std::iter::empty());
        assert_eq!(rows.len(), MOST + 1);
        assert_eq!((&*rows[0].name, rows[0].clients, rows[0].held.as_secs()), (OTHER, 5, 5));

        applications.leave(ids[3]);
        let late = applications.join("late");
        assert_eq!(late, ids[3], "the row of one that is gone");
        assert_eq!(applications.rename(late, "late"), late);
        let rows = applications.snapshot(now, std::iter::empty());
        assert_eq!(rows.iter().map(|row| row.held.as_secs()).sum::<u64>(), (MOST + 5) as u64);
        assert_eq!(rows.iter().map(|row| row.clients).sum::<u32>(), (MOST + 5) as u32);
    }

    #[test]
    fn a_loan_keeps_its_row_and_counts_while_it_lasts() {
        let now = crate::pool::tests::epoch();
        let mut applications = Applications::default();
        let ids: Vec<_> = (0..MOST).map(|n| applications.join(&n.to_string())).collect();
        applications.lent(ids[0]);
        applications.leave(ids[0]);
        assert_eq!(applications.join("new"), ApplicationId(0), "no row is free");
        let rows = applications.snapshot(now + Duration::from_secs(2), [(ids[0], now)].into_iter());
        assert!(rows.iter().any(|row| &*row.name == "0" && row.held.as_secs() == 2));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long = "ä".repeat(40);
        assert_eq!(shortened(&long).len(), 62);
    }
}
