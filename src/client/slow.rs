//! Transactions that take longer than somebody wants to know of.
//!
//! Their text isn't told: it may hold what nobody should read in a log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::relay::Client;
use crate::meter::news::{EventKind, News, Severity};
use crate::session::client::APPLICATION_NAME;

impl Client {
    /// A transaction of the client has ended.
    pub(super) fn mind_length(&self, took: Duration) {
        if self.home.deadlines.slow_transaction.is_some_and(|limit| took >= limit) {
            self.tell_slow(took);
        }
    }

    #[cold]
    fn tell_slow(&self, took: Duration) {
        let counters = &self.home.counters;
        counters.slow_transactions.inc();
        let Some(suppressed) = counters.limiter.pass("slow transaction", Instant::now()) else { return };
        let application = self.state.told.get(APPLICATION_NAME).unwrap_or_default();
        let (seconds, pool) = (took.as_secs_f64(), self.home.name());
        tracing::warn!(%pool, ?application, pid = self.card.pid, seconds, suppressed, "slow transaction");
        counters.news.add(News {
            number: 0,
            at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            kind: EventKind::SlowTransaction,
            severity: Severity::Warning,
            pool: Some((self.home.pool.database().to_owned(), self.home.pool.user().to_owned())),
            text: format!("a transaction of {application:?} took {seconds:.3} s"),
        });
    }
}
