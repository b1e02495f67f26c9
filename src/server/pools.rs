//! All pools: one for each database and user, made when first asked for.
//!
//! Depends on `lend`. Invariant: pools under the same ceilings know each other only through `Neighbours`, and no
//! pool's lock is held while another's is taken.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::connection::Connection;
use super::lend::{Backend, Blueprint, Pool};
use crate::pool::limits::Ceilings;
use crate::pool::settings::Totals;

/// The pools of the process.
pub struct Pools<C: Backend = Connection>(Arc<Neighbours<C>>);

/// What pools see of each other.
pub(super) struct Neighbours<C: Backend> {
    ceilings: Ceilings,
    pools: Mutex<HashMap<Key, Arc<Pool<C>>, foldhash::fast::RandomState>>,
}

/// Database and user.
type Key = (Box<str>, Box<str>);

impl<C: Backend> Pools<C> {
    pub fn new(totals: Totals) -> Self {
        Self(Arc::new(Neighbours { ceilings: Ceilings::new(totals), pools: Mutex::default() }))
    }

    /// The pool of a database and user; `plan` is asked for if it doesn't exist yet.
    pub fn get_or_start(
        &self,
        database: &str,
        user: &str,
        plan: impl FnOnce() -> Blueprint<C>,
    ) -> Arc<Pool<C>> {
        let mut pools = self.0.pools.lock();
        let start = || {
            let seat = self.0.ceilings.seat(database, user);
            Pool::start(database, user, plan(), seat, Arc::downgrade(&self.0), seed())
        };
        Arc::clone(pools.entry((database.into(), user.into())).or_insert_with(start))
    }

    pub fn all(&self) -> Vec<Arc<Pool<C>>> {
        self.0.all()
    }

    /// A user has something new to log in to servers with: a rejection is no reason to wait any more.
    pub fn forgive(&self, user: &str) {
        self.0.all().iter().filter(|pool| pool.user() == user).for_each(|pool| pool.forgive());
    }

    /// New bounds over all pools.
    pub fn set_totals(&self, totals: Totals) {
        self.0.ceilings.set(totals);
        self.0.share();
    }

    /// Forgets pools that `dispensable` names and that no client has. They should be shut down and empty.
    pub fn forget(&self, mut dispensable: impl FnMut(&Pool<C>) -> bool) {
        let mut forgotten = Vec::new();
        self.0.pools.lock().retain(|_, pool| {
            let keep = Arc::strong_count(pool) > 1 || !dispensable(pool);
            if !keep {
                forgotten.push(Arc::clone(pool));
            }
            keep
        });
        drop(forgotten);
        self.0.share();
    }
}

impl<C: Backend> Neighbours<C> {
    /// Tells those who may open a server, then asks for idle servers if someone still lacks a place.
    pub(super) fn share(&self) {
        let pools = self.all();
        let ready = self.ceilings.ready();
        for pool in pools.iter().filter(|pool| ready.contains(&pool.seat)) {
            pool.with(|core, now| core.retry(now));
        }
        for pool in pools {
            if !self.ceilings.hungry() {
                return;
            }
            pool.with(|core, now| core.shed(now));
        }
    }

    fn all(&self) -> Vec<Arc<Pool<C>>> {
        self.pools.lock().values().cloned().collect()
    }
}

/// For jitter only.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness servers of pools started together may end together: no reason to fail.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
