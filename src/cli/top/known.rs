//! What is known of a running pgweir: its latest status, the histories of its pools, and which of them is looked at.
//!
//! Pure: answers and keys go in. The latest status has whole histories, joined from the answers' new points.

use std::cmp::Ordering;
use std::time::Duration;

use crate::advice::verdict::Verdict;
use crate::observe::status::{History, Pool, Status};

use super::watch::Answer;

/// As far back as histories go.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// Worst first.
const ORDER: [Verdict; 10] = [
    Verdict::UpstreamDown,
    Verdict::UpstreamLimit,
    Verdict::Saturated,
    Verdict::StarvedByPins,
    Verdict::HeldByIdleTransactions,
    Verdict::UpstreamSlow,
    Verdict::Tight,
    Verdict::Oversized,
    Verdict::Healthy,
    Verdict::Idle,
];

#[derive(Debug)]
pub(super) struct Known {
    pub address: String,
    /// Its pools stand worst first.
    pub status: Status,
    /// Why there is no newer status.
    pub lost: Option<String>,
    /// Database and user of the pool that is looked at; `None`: the worst.
    selected: Option<(String, String)>,
}

/// Which pool to look at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    /// The worst, whichever that is.
    Worst,
    /// So many rows further down.
    By(isize),
}

impl Known {
    pub(super) fn new(address: String, mut status: Status) -> Self {
        status.pools.sort_by(worst_first);
        Self { address, status, lost: None, selected: None }
    }

    /// What was known stays where the new answer has nothing newer.
    pub(super) fn take(&mut self, answer: Answer) {
        let mut status = match answer {
            Ok(status) => status,
            Err(why) => return self.lost = Some(why),
        };
        self.lost = None;
        if status.process.started == self.status.process.started {
            let kept = (KEPT.as_secs_f64() / status.history.step_s).round() as usize;
            for pool in &mut status.pools {
                let old = self.status.pools.iter().find(|old| name(old) == name(pool));
                if let Some(old) = old {
                    join(&old.history, &mut pool.history, kept);
                }
            }
        }
        status.pools.sort_by(worst_first);
        self.status = status;
    }

    pub(super) fn select(&mut self, to: Move) {
        self.selected = match to {
            Move::Worst => None,
            Move::By(0) => return,
            Move::By(rows) => {
                let last = self.status.pools.len().saturating_sub(1);
                let row = self.selected_row().saturating_add_signed(rows).min(last);
                self.status.pools.get(row).map(|pool| (pool.database.clone(), pool.user.clone()))
            }
        };
    }

    /// The row of the pool that is looked at; 0 if there is none.
    pub(super) fn selected_row(&self) -> usize {
        let Some((database, user)) = &self.selected else { return 0 };
        let mut pools = self.status.pools.iter();
        pools.position(|pool| name(pool) == (database.as_str(), user.as_str())).unwrap_or(0)
    }
}

fn name(pool: &Pool) -> (&str, &str) {
    (&pool.database, &pool.user)
}

/// Utilisation counts in tenths, so that neighbours don't change places each second.
fn worst_first(a: &Pool, b: &Pool) -> Ordering {
    let rank = |pool: &Pool| ORDER.iter().position(|verdict| *verdict == pool.standing.verdict);
    let tenths = |pool: &Pool| (10.0 * pool.now.utilisation).round() as i64;
    rank(a).cmp(&rank(b)).then(tenths(b).cmp(&tenths(a))).then_with(|| name(a).cmp(&name(b)))
}

/// Puts the old points before the new ones; `kept` at most. Points that both have count once.
fn join(old: &History, new: &mut History, kept: usize) {
    let end = new.first + new.utilisation.len() as u64;
    let known = new.first.checked_sub(old.first).and_then(|n| usize::try_from(n).ok());
    let Some(known) = known.filter(|known| *known <= old.utilisation.len()) else { return }; // a gap
    put(&old.utilisation, &mut new.utilisation, known, kept);
    put(&old.waiting, &mut new.waiting, known, kept);
    put(&old.wait_p50_s, &mut new.wait_p50_s, known, kept);
    put(&old.wait_p99_s, &mut new.wait_p99_s, known, kept);
    put(&old.transactions_per_s, &mut new.transactions_per_s, known, kept);
    new.first = end - new.utilisation.len() as u64;
}

fn put<T: Copy>(old: &[T], new: &mut Vec<T>, known: usize, kept: usize) {
    new.splice(0..0, old.iter().take(known).copied());
    new.drain(..new.len().saturating_sub(kept));
}
