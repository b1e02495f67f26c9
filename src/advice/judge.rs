//! From the figures to a verdict: the conditions, in the order in which they are tried.
//!
//! Depends on `load`, `model`. `docs/saturation.md` says the same in a table. A shortage ends at half of the thresholds
//! at which it begins, so that a pool at the edge isn't judged anew each second.

use super::load::Load;
use super::model::Model;
use super::verdict::Verdict;
use crate::pool::snapshot::{PoolSnapshot, Trouble};

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub from: &'a PoolSnapshot,
    pub to: &'a PoolSnapshot,
    /// What happened between the two.
    pub load: &'a Load,
    /// Seconds of PostgreSQL's work in a transaction as it was before; `None` while that isn't known.
    pub usual_work: Option<f64>,
    pub connections: Option<Connections>,
}

/// PostgreSQL's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub max: u32,
    pub reserved: u32,
    pub used: u32,
    /// Those of pgweir's pools there, when that was asked.
    pub ours: u32,
}

impl Connections {
    /// Those that nobody has.
    pub fn free(self) -> u32 {
        self.max.saturating_sub(self.reserved).saturating_sub(self.used)
    }

    pub fn of_others(self) -> u32 {
        self.used.saturating_sub(self.ours)
    }
}

/// The share of the time in which somebody waits and no server is free, from which on it is a shortage.
const SHORT: f64 = 0.1;
/// The same for a pool that comes close to it.
const TIGHT_WAITED: f64 = 0.05;
/// Utilisation from which on little more work makes a queue.
const TIGHT_BUSY: f64 = 0.8;
/// A pool would do without pins, pauses or slowness if its utilisation were below this then.
const AT_EASE: f64 = 0.7;
/// They are the reason if they take at least this part of the servers' time.
const WEIGHTY: f64 = 0.3;
/// PostgreSQL is slow if it works so many times as long as before for a transaction.
pub(super) const SLOW: f64 = 3.0;
/// Servers beyond what is needed that aren't worth a word.
const SPARE: f64 = 3.0;
/// Waits that nobody minds, in seconds.
const SHORTEST_GOAL: f64 = 0.01;

/// The verdict on these facts, if `standing` is the one so far.
pub fn judge(facts: &Facts<'_>, standing: Verdict) -> Verdict {
    let Facts { to, load, .. } = facts;
    let ease = if standing.is_shortage() { 0.5 } else { 1.0 };
    let is_down = matches!(to.trouble, Some(Trouble::Unreachable(_)));
    if is_down && (to.open_servers() == 0 || load.waiting_share >= SHORT * ease) {
        return Verdict::UpstreamDown;
    }
    if is_short(facts, ease) {
        return reason(facts);
    }
    if load.checkouts == 0.0 && load.busy < 0.01 {
        return if is_oversized(facts, 0) { Verdict::Oversized } else { Verdict::Idle };
    }
    let tight_at = if standing == Verdict::Tight { 0.9 } else { 1.0 };
    if load.busy >= TIGHT_BUSY * tight_at * load.capacity
        || load.waited_share.min(load.full_share) >= TIGHT_WAITED * tight_at
    {
        return Verdict::Tight;
    }
    if is_oversized(facts, needed(load)) { Verdict::Oversized } else { Verdict::Healthy }
}

/// Clients wait although all servers that there may be are taken.
fn is_short(facts: &Facts<'_>, ease: f64) -> bool {
    let Facts { to, load, .. } = facts;
    // Where something else than the size bounds the servers, "full" has no meaning.
    let waited = match to.trouble {
        Some(Trouble::Ceiling | Trouble::Full) => load.waiting_share,
        _ => load.waiting_share.min(load.full_share),
    };
    waited >= SHORT * ease || load.timeouts + load.refusals > 0
}

fn reason(facts: &Facts<'_>) -> Verdict {
    let Facts { to, load, .. } = facts;
    if to.size < to.configured_size || matches!(to.trouble, Some(Trouble::Ceiling | Trouble::Full)) {
        return Verdict::UpstreamLimit;
    }
    let eases = |taken: f64| taken >= WEIGHTY * load.busy && load.busy - taken <= AT_EASE * load.capacity;
    if eases(load.crowding) && load.crowding >= load.paused {
        return Verdict::StarvedByPins;
    }
    if eases(load.paused) {
        return Verdict::HeldByIdleTransactions;
    }
    let slower = facts.usual_work.zip(load.work()).map(|(usual, now)| now / usual.max(1e-9));
    let lost =
        slower.map_or(0.0, |times| (load.busy - load.pinned - load.paused) * (1.0 - 1.0 / times.max(1.0)));
    if slower.is_some_and(|times| times >= SLOW) && eases(lost) {
        return Verdict::UpstreamSlow;
    }
    Verdict::Saturated
}

/// Servers are open, and have been all the time, that the work doesn't need by far.
fn is_oversized(facts: &Facts<'_>, needed: u32) -> bool {
    let Facts { from, to, .. } = facts;
    let open = f64::from(from.open_servers().min(to.open_servers()));
    open >= 2.0 * f64::from(needed) + SPARE
}

/// Servers with which nobody waits for long.
pub(super) fn needed(load: &Load) -> u32 {
    let peak = load.busy.ceil() as u32;
    let most = load.capacity.ceil() as u32;
    load.model().map_or(peak, |model| enough(&model, most.max(1)).unwrap_or(most)).max(peak)
}

/// Servers with which the pool would be neither short nor close to it; `None`: more than `most`.
pub(super) fn enough(model: &Model, most: u32) -> Option<u32> {
    model.servers_for(goal(model), SHORT / 2.0, most)
}

/// 99 % of the waits should be no longer than this: no longer than the work that they are for.
fn goal(model: &Model) -> f64 {
    model.hold.max(SHORTEST_GOAL)
}
