//! Because of whom: what takes most of the servers' time.
//!
//! Depends on `judge`, `load`.

use std::time::Duration;

use super::judge::Facts;
use super::load::{applications, pins};
use super::recommend::span;
use super::verdict::{Cause, CauseKind, Verdict};

/// Causes that are told.
const MOST: usize = 3;
/// Shares that are worth a word.
const LEAST: f64 = 0.05;
/// A transaction is long if it takes so many times as long as the median, and at least a while.
const LONG_TIMES: u32 = 10;
const LONG: Duration = Duration::from_millis(100);

/// The largest, largest first.
pub fn causes(facts: &Facts<'_>, verdict: Verdict) -> Vec<Cause> {
    let Facts { from, to, load, .. } = facts;
    let all = (load.busy * load.span).max(1e-9);
    let mut causes = Vec::new();
    for (reason, seconds) in pins(from, to) {
        let text = format!("pins by {reason} take {:.0} % of the servers' time", percent(seconds / all));
        causes.push(cause(CauseKind::Pin, reason, seconds / all, text));
    }
    for (name, seconds) in applications(from, to) {
        let shown =
            if name.is_empty() { "clients without an application_name".to_owned() } else { name.clone() };
        let text = format!("{shown}: {:.0} % of the servers' time", percent(seconds / all));
        causes.push(cause(CauseKind::Application, &name, seconds / all, text));
    }
    let paused = load.paused / load.busy.max(1e-9);
    let text = format!("transactions that pause take {:.0} % of the servers' time", percent(paused));
    causes.push(cause(CauseKind::IdleTransactions, "", paused, text));
    causes.extend(long_transactions(facts, all));
    causes.retain(|cause| cause.share >= LEAST);
    if verdict == Verdict::UpstreamLimit {
        causes.extend(others(facts));
    }
    causes.sort_by(|a, b| b.share.total_cmp(&a.share));
    causes.truncate(MOST);
    causes
}

fn long_transactions(facts: &Facts<'_>, all: f64) -> Option<Cause> {
    let spread = &facts.load.transaction;
    let limit = (spread.quantile(0.5, 0)? * LONG_TIMES).max(LONG);
    let (count, time) = spread.beyond(limit);
    let share = time.as_secs_f64() / all;
    let text = format!(
        "{count} transactions of more than {} take at least {:.0} % of the servers' time",
        span(limit.as_secs_f64()),
        percent(share)
    );
    (count > 0).then(|| cause(CauseKind::LongTransactions, "", share, text))
}

fn others(facts: &Facts<'_>) -> Option<Cause> {
    let connections = facts.connections?;
    let share = f64::from(connections.of_others()) / f64::from(connections.max.max(1));
    let text =
        format!("others have {} of PostgreSQL's {} connections", connections.of_others(), connections.max);
    Some(cause(CauseKind::Connections, "others", share, text))
}

fn cause(kind: CauseKind, name: &str, share: f64, text: String) -> Cause {
    Cause { kind, name: name.to_owned(), share: share.min(1.0), text }
}

fn percent(share: f64) -> f64 {
    100.0 * share.min(1.0)
}
