//! The regular task: ten times a second it sees how late it is woken, once a second it lets the watch look at all pools.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::advice::judge;
use crate::advice::recommend::backends;
use crate::client::house::House;
use crate::observe::watch::{EVERY, Seen, Upstream, Watch};

const TICK: Duration = Duration::from_millis(100);
/// Timers are right to a millisecond; what is less late than this wasn't late.
const TIMER: Duration = Duration::from_millis(2);

pub(super) async fn beat(house: Arc<House>, watch: Arc<Watch>) {
    let (mut worst, mut looked) = (Duration::ZERO, Instant::now());
    loop {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        let lag = now.saturating_duration_since(due).saturating_sub(TIMER);
        house.counters.lag.record(lag);
        worst = worst.max(lag);
        if now.saturating_duration_since(looked) + TICK / 2 >= EVERY {
            watch.look(now, seen(&house), std::mem::take(&mut worst));
            looked = now;
        }
    }
}

fn seen(house: &House) -> Vec<Seen> {
    let all = house.pools.all();
    let pools: Vec<_> = all.iter().map(|pool| (pool.upstream().hosts.clone(), pool.watch())).collect();
    let upstream = |database: &str, user: &str| {
        let home = house.homes.get(&(database.to_owned(), user.to_owned()))?;
        let connections = home.catalog.connections()?;
        let hosts = &home.pool.upstream().hosts;
        // Of all our pools, since they share what PostgreSQL gives.
        let ours = pools.iter().filter(|(there, _)| there == hosts).map(|(_, pool)| backends(pool)).sum();
        Some(Upstream {
            connections: judge::Connections {
                max: connections.max,
                reserved: connections.reserved,
                used: connections.used,
                ours,
            },
            at: connections.at.duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    };
    let upstreams: Vec<_> = pools.iter().map(|(_, pool)| upstream(&pool.database, &pool.user)).collect();
    pools.into_iter().zip(upstreams).map(|((_, pool), upstream)| Seen { pool, upstream }).collect()
}
