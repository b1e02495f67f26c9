//! Many clients at once, each with a transaction of three statements, a pause, and the next transaction.
//!
//! Depends on [`Session`] and tokio. Invariant: what is reported as committed was answered with a COMMIT, so the
//! payments in the table can be compared with the report.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::session::{Failure, Login, Session};

/// Between two transactions: an application does other things too.
const PAUSE: Duration = Duration::from_millis(100);
const ACCOUNTS: u64 = 10_000;

/// The table that the transactions work on.
pub(super) fn schema() -> String {
    format!(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, payments bigint NOT NULL);
         INSERT INTO accounts SELECT id, 0 FROM generate_series(0, {}) AS id;
         ANALYZE accounts;",
        ACCOUNTS - 1
    )
}

/// Every committed transaction added one.
pub(super) const COUNT_PAYMENTS: &str = "SELECT sum(payments)::bigint FROM accounts";

/// Numbers to show while the clients work.
#[derive(Default)]
pub(super) struct Live {
    pub(super) connected: AtomicU64,
    pub(super) transactions: AtomicU64,
    pub(super) errors: AtomicU64,
}

/// How the logins went.
pub(super) struct Crowd {
    pub(super) sessions: Vec<Session>,
    pub(super) refused: usize,
    /// The first refusal's text.
    pub(super) refusal: Option<Failure>,
}

/// What the clients achieved.
#[derive(Default)]
pub(super) struct Report {
    /// Time from BEGIN to the answer to COMMIT, in microseconds, sorted: one for each transaction.
    pub(super) latencies_us: Vec<u32>,
    pub(super) errors: usize,
    /// The first error's text.
    pub(super) error: Option<Failure>,
    pub(super) elapsed: Duration,
}

impl Report {
    pub(super) fn transactions(&self) -> usize {
        self.latencies_us.len()
    }

    pub(super) fn per_second(&self) -> f64 {
        self.transactions() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `percent` of the transactions stayed within, in milliseconds.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.latencies_us.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies_us.get(rank).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }
}

/// Logs `clients` in, all at once, and keeps the connections of those who got in.
pub(super) async fn connect(login: &Login, clients: usize, live: &Arc<Live>) -> Crowd {
    let mut logins = JoinSet::new();
    for _ in 0..clients {
        let (login, live) = (login.clone(), Arc::clone(live));
        logins.spawn(async move {
            let outcome = Session::open(&login).await;
            let counter = if outcome.is_ok() { &live.connected } else { &live.errors };
            counter.fetch_add(1, Relaxed);
            outcome
        });
    }
    let mut crowd = Crowd { sessions: Vec::with_capacity(clients), refused: 0, refusal: None };
    for outcome in logins.join_all().await {
        match outcome {
            Ok(session) => crowd.sessions.push(session),
            Err(failure) => {
                crowd.refused += 1;
                crowd.refusal.get_or_insert(failure);
            }
        }
    }
    crowd
}

/// Lets every session work for `duration` and the time that its last transaction takes. A client whose transaction
/// fails stops.
pub(super) async fn work(sessions: Vec<Session>, duration: Duration, live: &Arc<Live>) -> Report {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for (number, session) in (0..).zip(sessions) {
        clients.spawn(client(number, session, start + duration, Arc::clone(live)));
    }
    let mut report = Report::default();
    for (latencies, failure) in clients.join_all().await {
        report.latencies_us.extend(latencies);
        report.errors += usize::from(failure.is_some());
        report.error = report.error.or(failure);
    }
    report.elapsed = start.elapsed();
    report.latencies_us.sort_unstable();
    report
}

/// One client's life: its latencies in microseconds, and what ended it early.
async fn client(
    number: u64,
    mut session: Session,
    end: Instant,
    live: Arc<Live>,
) -> (Vec<u32>, Option<Failure>) {
    let mut latencies = Vec::new();
    // Arrivals spread over the first pause, accounts over the table; both the same in each run.
    sleep(PAUSE * (number % 100) as u32 / 100).await;
    let mut account = number.wrapping_mul(7919);
    while Instant::now() < end {
        account = account.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let start = Instant::now();
        if let Err(failure) = pay(&mut session, (account >> 33) % ACCOUNTS).await {
            live.errors.fetch_add(1, Relaxed);
            return (latencies, Some(failure));
        }
        live.transactions.fetch_add(1, Relaxed);
        latencies.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
        sleep(PAUSE).await;
    }
    (latencies, None)
}

async fn pay(session: &mut Session, account: u64) -> Result<(), Failure> {
    session.query("BEGIN").await?;
    session.query(&format!("UPDATE accounts SET payments = payments + 1 WHERE id = {account}")).await?;
    session.query("COMMIT").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(latencies_us: &[u32]) -> Report {
        Report { latencies_us: latencies_us.to_vec(), elapsed: Duration::from_secs(2), ..Report::default() }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred = report(&(1..=100).map(|ms| ms * 1000).collect::<Vec<_>>());
        assert_eq!((hundred.percentile_ms(50), hundred.percentile_ms(99)), (50.0, 99.0));
        assert_eq!(report(&[7000]).percentile_ms(50), 7.0);
        assert!(report(&[]).percentile_ms(99).is_nan());
    }

    #[test]
    fn a_rate_counts_transactions_over_the_time_they_took() {
        assert_eq!(report(&[1, 2, 3]).per_second(), 1.5);
    }
}
