//! What to change, to which value, and what that would do.
//!
//! Depends on `judge`, `load`, `model`. The expectation is the model's, scaled by how the model's idea of the present compares
//! with what is measured.

use super::judge::{Connections, Facts, enough, needed};
use super::model::Model;
use super::verdict::{Advice, Verdict};
use crate::pool::snapshot::{PoolSnapshot, Trouble};

/// Recommended sizes are at most so many times the present one: beyond that the arithmetic is a guess.
const MOST_TIMES: u32 = 4;
/// How far measurement and model may differ before the model is left alone.
const TRUST: (f64, f64) = (0.25, 4.0);

/// The advice that goes with a verdict; `None` if nothing need be done.
pub fn recommend(facts: &Facts<'_>, verdict: Verdict) -> Option<Advice> {
    match verdict {
        Verdict::Idle | Verdict::Healthy => None,
        Verdict::Tight | Verdict::Saturated => larger(facts),
        Verdict::Oversized => Some(smaller(facts)),
        Verdict::StarvedByPins => Some(room_for_pins(facts)),
        Verdict::HeldByIdleTransactions => Some(shorter_pauses(facts)),
        Verdict::UpstreamSlow => Some(look_at_postgres(facts)),
        Verdict::UpstreamLimit => Some(more_connections(facts)),
        Verdict::UpstreamDown => Some(bring_it_back(facts)),
    }
}

// -- the size

fn larger(facts: &Facts<'_>) -> Option<Advice> {
    let (size, load) = (facts.to.size, facts.load);
    let model = load.model()?;
    let most = size.saturating_mul(MOST_TIMES);
    let wanted = enough(&model, most).unwrap_or(most);
    // A queue that the model doesn't see is there all the same.
    let wanted = wanted.max(size.saturating_add(1));
    let room = facts.connections.map(|connections| size.saturating_add(connections.free()));
    let to = wanted.min(room.unwrap_or(u32::MAX));
    if to <= size {
        return Some(no_room(facts, wanted));
    }
    let (now, then) = (load.wait_quantile(0.99), expected(facts, &model, to));
    let mut text = format!("size {size} → {to}: {}", change_of_waits(now, then));
    if let Some(connections) = facts.connections {
        text += &format!("; {}", told(connections));
    }
    if to < wanted {
        text += &format!("; {wanted} servers would be needed, but PostgreSQL has no room for more than {to}");
    }
    Some(Advice { expected_wait_p99_s: Some(then), ..advice(text, "pool.size", size, to, now) })
}

fn no_room(facts: &Facts<'_>, wanted: u32) -> Advice {
    let size = facts.to.size;
    let connections = facts.connections.map(told).unwrap_or_default();
    let text = format!("size {size} → {wanted} would be needed, but PostgreSQL has no room: {connections}");
    plain(facts, text)
}

fn smaller(facts: &Facts<'_>) -> Advice {
    let to = facts.to;
    let needed = needed(facts.load).max(1);
    let (open, kept) = (to.open_servers(), to.min_size);
    if kept > needed {
        let text = format!("min_size {kept} → {needed}: {open} servers are open, {needed} would do");
        return advice(text, "pool.min_size", kept, needed, facts.load.wait_quantile(0.99));
    }
    let text = format!(
        "{open} servers are open, {needed} would do; those that rest end by server_idle_timeout, which may be shorter"
    );
    plain(facts, text)
}

// -- what else keeps servers

fn room_for_pins(facts: &Facts<'_>) -> Advice {
    let (to, load) = (facts.to, facts.load);
    let limit = to.pinned_limit;
    let wanted = limit.max(to.servers_pinned).saturating_add(1);
    let now = load.wait_quantile(0.99);
    let reasons: Vec<_> =
        to.pins.iter().filter(|pin| pin.now > 0).map(|pin| format!("{} {}", pin.now, pin.reason)).collect();
    let then = load.model().map(|model| {
        let freed = Model { hold: model.hold * without(load.crowding, load.busy), ..model };
        freed.with(to.size).wait_quantile(0.99)
    });
    let mut text = format!(
        "pinned_servers {limit} → {wanted}, so that the {} pinned servers ({}) don't take places of others",
        to.servers_pinned,
        reasons.join(", ")
    );
    if let Some(then) = then {
        text += &format!(": {}", change_of_waits(now, then));
    }
    text += "; docs/transaction-mode.md says how to do without pins";
    Advice { expected_wait_p99_s: then, ..advice(text, "pool.pinned_servers", limit, wanted, now) }
}

fn shorter_pauses(facts: &Facts<'_>) -> Advice {
    let load = facts.load;
    let now = load.wait_quantile(0.99);
    let then = load.model().map(|model| {
        let brisk = Model { hold: model.hold * without(load.paused, load.busy), ..model };
        brisk.with(load.size).wait_quantile(0.99)
    });
    let mut text = format!(
        "transactions pause {:.0} % of the time for which they have servers: commit before other work is done, or end long \
         pauses by timeouts.idle_in_transaction",
        100.0 * load.paused / load.busy.max(1e-9)
    );
    if let Some(then) = then {
        text += &format!("; without pauses {}", change_of_waits(now, then));
    }
    let key = Some("timeouts.idle_in_transaction".to_owned());
    Advice { key, expected_wait_p99_s: then, ..plain(facts, text) }
}

/// The part of the time that is left.
fn without(taken: f64, of: f64) -> f64 {
    (1.0 - taken / of.max(1e-9)).clamp(0.01, 1.0)
}

// -- PostgreSQL

fn look_at_postgres(facts: &Facts<'_>) -> Advice {
    let (now, usual) = (facts.load.work().unwrap_or(0.0), facts.usual_work.unwrap_or(0.0));
    let text = format!(
        "PostgreSQL works {} for a transaction, usually {}: look for locks, for a changed plan, for its CPU and disks; more \
         servers would make it slower",
        span(now),
        span(usual)
    );
    plain(facts, text)
}

fn more_connections(facts: &Facts<'_>) -> Advice {
    let to = facts.to;
    let text = match (&to.trouble, facts.connections) {
        (Some(Trouble::Ceiling), _) => format!(
            "the limits over all pools leave this one {} of {} servers: raise limits.max_servers or give other pools less",
            to.open_servers(),
            to.configured_size
        ),
        (_, Some(connections)) => format!(
            "PostgreSQL gives {} of {} servers; {}: give others less, or raise max_connections",
            to.size,
            to.configured_size,
            told(connections)
        ),
        (_, None) => format!(
            "PostgreSQL gives {} of {} servers: give others less, or raise max_connections",
            to.size, to.configured_size
        ),
    };
    plain(facts, text)
}

fn bring_it_back(facts: &Facts<'_>) -> Advice {
    let why = match &facts.to.trouble {
        Some(Trouble::Unreachable(why)) => format!(": {why}"),
        _ => String::new(),
    };
    plain(facts, format!("no server can be opened{why}"))
}

// -- words

/// The model's expectation with `servers`, in seconds.
fn expected(facts: &Facts<'_>, model: &Model, servers: u32) -> f64 {
    let present = model.with(facts.load.capacity.round() as u32).wait_quantile(0.99);
    let measured = facts.load.wait_quantile(0.99).unwrap_or(0.0);
    let scale = if present > 0.0 && measured > 0.0 { measured / present } else { 1.0 };
    model.with(servers).wait_quantile(0.99) * scale.clamp(TRUST.0, TRUST.1)
}

fn advice(text: String, key: &str, from: u32, to: u32, wait_p99_s: Option<f64>) -> Advice {
    let (key, from, to) = (Some(key.to_owned()), Some(from), Some(to));
    Advice { text, key, from, to, wait_p99_s, expected_wait_p99_s: None }
}

fn plain(facts: &Facts<'_>, text: String) -> Advice {
    let wait_p99_s = facts.load.wait_quantile(0.99);
    Advice { text, key: None, from: None, to: None, wait_p99_s, expected_wait_p99_s: None }
}

fn change_of_waits(now: Option<f64>, then: f64) -> String {
    let then = if then < 0.001 { "less than 1 ms".to_owned() } else { format!("about {}", span(then)) };
    format!("wait p99 {} → {then}", span(now.unwrap_or(0.0)))
}

fn told(connections: Connections) -> String {
    format!(
        "{} of PostgreSQL's {} connections are in use by others",
        connections.of_others(),
        connections.max
    )
}

/// Two digits, with a unit.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.1} ms", s * 1e3),
    }
}

/// One sentence on why.
pub fn explain(facts: &Facts<'_>, verdict: Verdict) -> String {
    let Facts { to, load, .. } = facts;
    let busy = format!("{:.1} of {:.0} servers are in use", load.busy, load.capacity);
    let waits = || {
        format!(
            "somebody waits {:.0} % of the time, p99 {}",
            100.0 * load.waiting_share,
            span(load.wait_quantile(0.99).unwrap_or(0.0))
        )
    };
    match verdict {
        Verdict::Idle => "nobody asks for anything".to_owned(),
        Verdict::Healthy => busy,
        Verdict::Tight => format!("{busy}; {:.0} % of the checkouts wait", 100.0 * load.waited_share),
        Verdict::Oversized => format!("{busy}, {} are open", to.open_servers()),
        Verdict::Saturated | Verdict::UpstreamSlow => format!("{busy}; {}", waits()),
        Verdict::StarvedByPins => format!("{busy}, {:.1} of them by pins; {}", load.crowding, waits()),
        Verdict::HeldByIdleTransactions => {
            format!("{busy}, {:.1} of them by transactions that pause; {}", load.paused, waits())
        }
        Verdict::UpstreamLimit => format!(
            "{} of {} servers can be had; {}",
            to.size.min(to.open_servers().max(1)),
            to.configured_size,
            waits()
        ),
        Verdict::UpstreamDown => {
            format!("{} servers are open, {} clients wait", to.open_servers(), to.waiting)
        }
    }
}

/// Backends that pools have open or are about to.
pub fn backends(pool: &PoolSnapshot) -> u32 {
    pool.open_servers() + pool.servers_connecting + pool.servers_closing
}
