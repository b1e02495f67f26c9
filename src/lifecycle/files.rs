//! Open files: as many as the system allows, and no more clients than leave some of them for others.
//!
//! Each connection is one. Invariant: however many clients come, servers can be opened and the HTTP endpoint answers.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::client::limits::ClientLimits;
use crate::config::Plan;

/// Beside clients and servers: listeners, HTTP, the log, the runtime, clients that are turned away.
const SPARE: u64 = 64;

/// Raises the limit as far as it goes. Clients that don't fit under it are not let in: it is told in the log.
pub(super) fn fit(plan: &mut Plan) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it can't be raised, what is there counts.
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let servers = plan.totals.servers.unwrap_or(plan.pool.size + plan.pool.pinned_servers);
    let room = files.saturating_sub(u64::from(servers) + SPARE);
    if let Some((max_clients, max_logins)) = cut(&plan.client_limits, room) {
        tracing::warn!(
            files,
            max_clients,
            max_logins,
            "the system allows too few open files (ulimit -n) for limits.max_clients and limits.max_logins: they are lowered"
        );
        plan.client_limits = ClientLimits { max_clients, max_logins, ..plan.client_limits.clone() };
    }
}

/// The clients and the logins for which there is room, in the proportion that was asked for; `None`: all fit.
fn cut(limits: &ClientLimits, room: u64) -> Option<(u32, u32)> {
    let (clients, logins) = (u64::from(limits.max_clients), u64::from(limits.max_logins));
    if clients + logins <= room {
        return None;
    }
    let logins = (logins * room / (clients + logins)).max(1);
    let clients = room.saturating_sub(logins).max(1);
    let count = |number| u32::try_from(number).expect("less than what was asked for");
    Some((count(clients), count(logins)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f65_clients_that_do_not_fit_are_left_out() {
        let limits = ClientLimits { max_clients: 1_000, max_logins: 200, ..ClientLimits::default() };
        for (room, left) in [
            (u64::MAX, None),
            (1_200, None),
            (1_199, Some((1_000, 199))),
            (600, Some((500, 100))),
            (4, Some((3, 1))),
            (0, Some((1, 1))),
        ] {
            assert_eq!(cut(&limits, room), left, "{room}");
        }
    }
}
