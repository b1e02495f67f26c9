//! Gets our idle servers out of the way of `DROP DATABASE` and its like.
//!
//! Depends on `client::house`. PostgreSQL refuses those while others use the database, but waits 5 s for them to go. On
//! direct connections a database without clients has no sessions, so the pools that have no client end theirs within
//! that time. A database that has clients stays in use, as it would be.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::house::House;

/// As often, and about as long, as PostgreSQL looks (`CountOtherDBBackends`). A client may just be leaving.
const STEP: Duration = Duration::from_millis(100);
const STEPS: u32 = 50;

/// Runs for ever.
pub(super) async fn on_demand(house: Arc<House>) {
    loop {
        house.vacate.notified().await;
        for _ in 0..STEPS {
            house.pools.all().iter().for_each(|pool| pool.vacate_unused());
            house.rules.lookups.rest().await;
            sleep(STEP).await;
        }
    }
}
