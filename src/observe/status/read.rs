//! Puts an answer of `/status.json` together from what the board knows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CONTRACT, Event, Phase, Process, Server, Status, Usage};
use crate::meter::news::News;
use crate::observe::board::Board;
use crate::observe::process;
use crate::observe::readiness::NotReady;
use crate::pool::snapshot::ServerSnapshot;

/// Servers of a pool that are listed.
const SERVERS: usize = 50;

/// The status as of the latest look, with the points of the histories from number `since` on.
pub fn status(board: &Board, since: u64) -> Status {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut pools = board.watch.pools(since);
    for (database, user, servers) in (board.servers)() {
        if let Some(pool) = pools.iter_mut().find(|pool| pool.database == database && pool.user == user) {
            pool.server_list = listed(servers);
        }
    }
    Status {
        contract: CONTRACT,
        now: now.as_secs_f64(),
        process: process(board, now),
        pools,
        history: board.watch.steps(),
        events: board.counters.news.read().into_iter().map(event).collect(),
    }
}

fn listed(mut servers: Vec<ServerSnapshot>) -> Vec<Server> {
    servers.sort_by_key(|server| (server.application.is_none(), std::cmp::Reverse(server.for_time)));
    servers.truncate(SERVERS);
    let show = |server: ServerSnapshot| Server {
        pid: server.pid,
        state: server.state.to_owned(),
        for_s: server.for_time.as_secs_f64(),
        age_s: server.age.as_secs_f64(),
        pin: server.pin.map(str::to_owned),
        application: server.application.map(|name| name.to_string()),
    };
    servers.into_iter().map(show).collect()
}

fn event(news: News) -> Event {
    let News { number, at, kind, severity, pool, text } = news;
    let (database, user) = pool.unzip();
    Event { number, at: at.as_secs_f64(), kind, severity, database, user, text }
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
        lag_s: board.watch.lag().as_secs_f64(),
    }
}
