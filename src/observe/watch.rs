//! The one who looks at all pools once a second: histories, verdicts, and what the log hears of them.
//!
//! Depends on `advice`, which judges; here is the memory that it needs. Reads accounts and decides nothing about
//! traffic. Invariant: what is kept of a pool is bounded, and gone with the pool.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use self::pool::{Found, Watched};
use super::history::STEP;
use crate::advice::judge;
use crate::meter::counters::Counters;
use crate::pool::snapshot::PoolSnapshot;

mod pool;
mod read;
mod tell;

pub use self::read::{Figures, WATCHED};

/// How often [`Watch::look`] should be called.
pub const EVERY: Duration = Duration::from_secs(1);
/// Looks whose worst lag is remembered.
const LAGS: usize = 10;

/// PostgreSQL's connections, for the pools of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub connections: judge::Connections,
    /// When that was asked, since the epoch.
    pub at: Duration,
}

/// What is known of one pool at a look.
#[derive(Debug)]
pub struct Seen {
    pub pool: PoolSnapshot,
    pub upstream: Option<Upstream>,
}

pub struct Watch {
    window: Duration,
    began: Instant,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By database and user.
    pools: BTreeMap<(String, String), Watched>,
    /// History points that are over.
    steps: u64,
    lags: VecDeque<Duration>,
}

impl Watch {
    /// Verdicts look back for `window`.
    pub fn new(now: Instant, window: Duration, counters: Arc<Counters>) -> Self {
        Self { window, began: now, counters, state: Mutex::default() }
    }

    /// Takes in what the pools say now; `lag` is the longest since the last look that a task had to wait for a thread.
    pub fn look(&self, now: Instant, seen: Vec<Seen>, lag: Duration) {
        let mut state = self.state.lock();
        let State { pools, steps, lags } = &mut *state;
        if lags.len() == LAGS {
            lags.pop_front();
        }
        lags.push_back(lag);
        let step = (now.saturating_duration_since(self.began).as_nanos() / STEP.as_nanos()) as u64;
        let steps_over = step.saturating_sub(std::mem::replace(steps, step));
        let keys: Vec<_> =
            seen.iter().map(|seen| (seen.pool.database.clone(), seen.pool.user.clone())).collect();
        pools.retain(|key, _| keys.contains(key));
        for (key, seen) in keys.into_iter().zip(seen) {
            // One that is new began with nothing, after the last look.
            let began = now.checked_sub(EVERY).unwrap_or(now);
            let steps_over = if pools.contains_key(&key) { steps_over } else { 0 };
            let watched = pools.entry(key).or_insert_with(|| Watched::new(began, step, &seen));
            for found in watched.look(now, self.window, steps_over, seen) {
                self.tell(watched, &found);
            }
        }
    }

    fn tell(&self, watched: &Watched, found: &Found) {
        tell::tell(&self.counters, watched.latest(), watched.judgement(), found);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("window", &self.window).finish_non_exhaustive()
    }
}

/// The moment `at`, since the epoch.
fn since_epoch(at: Instant) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(at.elapsed())
}
