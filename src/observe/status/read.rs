//! Puts an answer of `/status.json` together from what the board knows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CONTRACT, Phase, Pool, Process, Status, Steps, Usage};
use crate::observe::board::Board;
use crate::observe::process;
use crate::observe::readiness::NotReady;

/// The status as of now, with the points of the histories from number `since` on.
pub fn status(board: &Board, since: u64) -> Status {
    let _ = since;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Status {
        contract: CONTRACT,
        now: now.as_secs_f64(),
        process: process(board, now),
        pools: Vec::<Pool>::new(),
        history: Steps { step_s: 5.0, next: 0 },
        events: Vec::new(),
    }
}

fn process(board: &Board, now: Duration) -> Process {
    let (about, counters) = (&board.about, &board.counters);
    let phase = match board.readiness.check(false) {
        Err(NotReady::Draining) => Phase::Draining,
        Err(NotReady::NotListening) => Phase::Starting,
        _ => Phase::Serving,
    };
    let usage = process::Usage::read().map(|usage| Usage {
        resident_bytes: usage.resident_bytes,
        threads: usage.threads,
        open_fds: usage.open_fds,
        max_fds: usage.max_fds,
    });
    Process {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: about.started.as_secs_f64(),
        uptime_s: now.saturating_sub(about.started).as_secs_f64(),
        phase,
        clients: counters.clients_connected.get(),
        clients_limit: about.limits.max_clients.into(),
        logins_in_flight: counters.logins_in_flight.get(),
        logins_limit: about.limits.max_logins.into(),
        upstream_answers: board.readiness.upstream_answers(),
        usage,
        lag_s: 0.0,
    }
}
