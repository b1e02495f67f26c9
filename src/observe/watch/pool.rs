//! What is remembered of one pool, and what a look at it finds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Seen, Upstream};
use crate::advice::causes::causes;
use crate::advice::judge::{Facts, judge};
use crate::advice::load::Load;
use crate::advice::recommend::{explain, recommend};
use crate::advice::standing::Standing;
use crate::advice::verdict::{Advice, Cause, Verdict};
use crate::observe::history::History;
use crate::pool::snapshot::{PoolSnapshot, Trouble};

/// Readings within the window, besides the latest.
const READINGS: u32 = 12;
/// A verdict gives way to one that has been found for this part of the window.
const PATIENCE: u32 = 6;
/// Figures of "now" look back at least so long.
const NOW: Duration = Duration::from_secs(5);
/// How long the most that waited at once is remembered.
const HIGH_WATER: Duration = Duration::from_secs(60);
/// How long it is remembered how much work a transaction used to be…
const USUAL: Duration = Duration::from_secs(900);
/// …with so many transactions in a reading, and so many readings, or nothing is said.
const USUAL_TRANSACTIONS: f64 = 10.0;
const USUAL_READINGS: usize = 5;

pub(super) struct Watched {
    /// Oldest first; the first one is about a window old.
    readings: VecDeque<Reading>,
    latest: Reading,
    upstream: Option<Upstream>,
    /// Where the history's next point begins.
    step: Reading,
    step_waiting: u32,
    pub(super) history: History,
    peaks: VecDeque<(Instant, u32)>,
    /// Seconds of PostgreSQL's work in a transaction.
    works: VecDeque<(Instant, f64)>,
    standing: Standing,
    judgement: Judgement,
    shortage: Option<Shortage>,
    down_since: Option<Instant>,
}

struct Reading {
    at: Instant,
    pool: PoolSnapshot,
}

/// What goes with the verdict that stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Judgement {
    pub(super) text: String,
    pub(super) causes: Vec<Cause>,
    pub(super) advice: Option<Advice>,
}

struct Shortage {
    since: Instant,
    /// The most that waited at once.
    peak: u32,
}

/// Something to tell.
pub(super) enum Found {
    ShortageBegan(Verdict),
    ShortageEnded { verdict: Verdict, after: Duration, peak: u32 },
    Verdict { verdict: Verdict, before: Verdict },
    Down(String),
    Up { after: Duration },
    TimedOut(u64),
    Refused { count: u64, limit: u32 },
}

impl Watched {
    /// A pool that has done nothing yet, `now`.
    pub(super) fn new(now: Instant, step: u64, seen: &Seen) -> Self {
        let PoolSnapshot { database, user, .. } = &seen.pool;
        let (database, user) = (database.clone(), user.clone());
        let pool = PoolSnapshot { database, user, ..PoolSnapshot::default() };
        let reading = || Reading { at: now, pool: pool.clone() };
        Self {
            readings: VecDeque::from([reading()]),
            latest: reading(),
            upstream: seen.upstream,
            step: reading(),
            step_waiting: 0,
            history: History::new(step),
            peaks: VecDeque::new(),
            works: VecDeque::new(),
            standing: Standing::new(now),
            judgement: Judgement::default(),
            shortage: None,
            down_since: None,
        }
    }

    pub(super) fn latest(&self) -> &PoolSnapshot {
        &self.latest.pool
    }

    pub(super) fn upstream(&self) -> Option<Upstream> {
        self.upstream
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The most that waited at once in the last minute.
    pub(super) fn high_water(&self) -> u32 {
        self.peaks.iter().map(|(_, peak)| *peak).max().unwrap_or(0)
    }

    /// The reading against which the figures of now are told, and the figures.
    pub(super) fn now(&self) -> (&PoolSnapshot, Load) {
        let old_enough = |reading: &&Reading| self.latest.at.saturating_duration_since(reading.at) >= NOW;
        let from = self
            .readings
            .iter()
            .rev()
            .find(old_enough)
            .or_else(|| self.readings.front())
            .unwrap_or(&self.latest);
        (&from.pool, self.latest.since(from))
    }

    /// Takes in a look, `steps` history points after the last one; what is to be told of it.
    pub(super) fn look(&mut self, now: Instant, window: Duration, steps: u64, seen: Seen) -> Vec<Found> {
        let before = std::mem::replace(&mut self.latest, Reading { at: now, pool: seen.pool });
        self.upstream = seen.upstream;
        self.remember(now);
        self.keep_history(steps);
        let mut found = self.limits(&before.pool);
        found.extend(self.outage(now));
        found.extend(self.verdict(now, window));
        self.keep_reading(now, window);
        found
    }

    fn remember(&mut self, now: Instant) {
        let waiting = self.latest.pool.waiting_peak;
        self.peaks.push_back((now, waiting));
        forget(&mut self.peaks, now, HIGH_WATER);
        self.step_waiting = self.step_waiting.max(waiting);
        if let Some(shortage) = &mut self.shortage {
            shortage.peak = shortage.peak.max(waiting);
        }
    }

    /// If more than one point is over, since nobody looked, they are all alike.
    fn keep_history(&mut self, steps: u64) {
        if steps == 0 {
            return;
        }
        let load = self.latest.since(&self.step);
        for _ in 0..steps.min(1_000) {
            self.history.add(&load, self.step_waiting);
        }
        self.step = self.latest.clone();
        self.step_waiting = self.latest.pool.waiting;
    }

    /// Keeps the latest reading if the last one that was kept is old enough, and forgets what is older than the window.
    fn keep_reading(&mut self, now: Instant, window: Duration) {
        let last = self.readings.back().map_or(now, |reading| reading.at);
        if now.saturating_duration_since(last) < window / READINGS {
            return;
        }
        if let Some(reading) = self.readings.back() {
            let load = self.latest.since(reading);
            if load.transactions * load.span >= USUAL_TRANSACTIONS
                && let Some(work) = load.work()
            {
                self.works.push_back((now, work));
            }
        }
        forget(&mut self.works, now, USUAL);
        self.readings.push_back(self.latest.clone());
        while self.readings.get(1).is_some_and(|second| now.saturating_duration_since(second.at) >= window) {
            self.readings.pop_front();
        }
    }

    /// The lower quartile of what a transaction was before the window began.
    fn usual_work(&self, now: Instant, window: Duration) -> Option<f64> {
        let earlier = self.works.iter().filter(|(at, _)| now.saturating_duration_since(*at) >= window);
        let mut works: Vec<f64> = earlier.map(|(_, work)| *work).collect();
        works.sort_by(f64::total_cmp);
        (works.len() >= USUAL_READINGS).then(|| works[works.len() / 4])
    }
}

// -- what is found

impl Watched {
    fn limits(&self, before: &PoolSnapshot) -> Vec<Found> {
        let pool = self.latest();
        let timeouts = pool.queue_timeouts.saturating_sub(before.queue_timeouts);
        let refusals = pool.queue_refusals.saturating_sub(before.queue_refusals);
        let timed_out = (timeouts > 0).then_some(Found::TimedOut(timeouts));
        let refused = (refusals > 0).then_some(Found::Refused { count: refusals, limit: pool.queue_limit });
        timed_out.into_iter().chain(refused).collect()
    }

    fn outage(&mut self, now: Instant) -> Option<Found> {
        match (&self.latest.pool.trouble, self.down_since) {
            (Some(Trouble::Unreachable(why)), None) => {
                self.down_since = Some(now);
                Some(Found::Down(why.to_string()))
            }
            (Some(Trouble::Unreachable(_)), Some(_)) | (_, None) => None,
            (_, Some(since)) => {
                self.down_since = None;
                Some(Found::Up { after: now.saturating_duration_since(since) })
            }
        }
    }

    fn verdict(&mut self, now: Instant, window: Duration) -> Option<Found> {
        let from = self.readings.front()?;
        let load = self.latest.since(from);
        let facts = Facts {
            from: &from.pool,
            to: &self.latest.pool,
            load: &load,
            usual_work: self.usual_work(now, window),
            connections: self.upstream.map(|upstream| upstream.connections),
        };
        let found = judge(&facts, self.standing.verdict);
        let before = self.standing.verdict;
        let mut standing = self.standing.clone();
        let changed = standing.find(now, found, window / PATIENCE);
        // What is said belongs to the verdict that stands; it stays as it was while another one is only suspected.
        let judgement = (changed || found == before).then(|| Judgement {
            text: explain(&facts, found),
            causes: causes(&facts, found),
            advice: recommend(&facts, found),
        });
        self.standing = standing;
        self.judgement = judgement.unwrap_or_else(|| std::mem::take(&mut self.judgement));
        changed.then(|| self.changed(now, found, before))
    }

    fn changed(&mut self, now: Instant, verdict: Verdict, before: Verdict) -> Found {
        match (verdict.is_shortage(), self.shortage.take()) {
            (true, None) => {
                self.shortage =
                    Some(Shortage { since: self.standing.since, peak: self.latest.pool.waiting_peak });
                Found::ShortageBegan(verdict)
            }
            (true, ongoing) => {
                self.shortage = ongoing;
                Found::Verdict { verdict, before }
            }
            (false, Some(over)) => Found::ShortageEnded {
                verdict,
                after: now.saturating_duration_since(over.since),
                peak: over.peak,
            },
            (false, None) => Found::Verdict { verdict, before },
        }
    }
}

impl Reading {
    fn since(&self, earlier: &Self) -> Load {
        Load::between(&earlier.pool, &self.pool, self.at.saturating_duration_since(earlier.at))
    }
}

impl Clone for Reading {
    fn clone(&self) -> Self {
        Self { at: self.at, pool: self.pool.clone() }
    }
}

fn forget<T>(entries: &mut VecDeque<(Instant, T)>, now: Instant, after: Duration) {
    while entries.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > after) {
        entries.pop_front();
    }
}
