//! Bounds on servers across pools: over all, per database, per user. Depends on `settings` only.
//!
//! Invariants: the places counted here are those of backends that may exist plus those kept ready for a hungry
//! pool, and never exceed [`Totals`] (unless these were lowered meanwhile). A free place goes to the hungry pool
//! that has least, and pools that have more give up some of theirs: a busy pool can't starve its neighbours.
//!
//! Touched only when servers open, end, or when someone is hungry.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::settings::Totals;

/// What all pools share.
#[derive(Clone, Debug, Default)]
pub struct Ceilings(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    books: Mutex<Books>,
    /// Someone is hungry: read on each release, so that the lock isn't taken for nothing.
    hungry: AtomicBool,
}

/// One pool's place at the table. Dropped when the pool ends.
#[derive(Debug)]
pub struct Seat {
    ceilings: Ceilings,
    pool: usize,
}

type Sums = HashMap<Box<str>, u32, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Books {
    totals: Totals,
    used: u32,
    by_database: Sums,
    by_user: Sums,
    pools: slab::Slab<Holding>,
    /// Who wants a place and got none, in this order.
    hungry: Vec<usize>,
    /// Servers being closed so that a hungry pool may have their place.
    yielding: usize,
    /// Pinned servers that don't count against the sizes of their pools.
    pinned: u32,
    /// Pools that may not have one more of these now.
    pinned_wanted: Vec<usize>,
    /// Pools for which a place was kept, or that may pin more, and that don't know it yet.
    ready: Vec<usize>,
}

#[derive(Debug)]
struct Holding {
    database: Box<str>,
    user: Box<str>,
    /// Places of backends that may exist.
    held: u32,
    /// A place is kept for this pool until it takes or declines it.
    kept: bool,
    /// Its pinned servers among those.
    pinned: u32,
}

impl Ceilings {
    pub fn new(totals: Totals) -> Self {
        let ceilings = Self::default();
        ceilings.0.books.lock().totals = totals;
        ceilings
    }

    pub fn seat(&self, database: &str, user: &str) -> Seat {
        let holding =
            Holding { database: database.into(), user: user.into(), held: 0, kept: false, pinned: 0 };
        Seat { ceilings: self.clone(), pool: self.0.books.lock().pools.insert(holding) }
    }

    /// New bounds. Those lowered below what exists are reached as servers end.
    pub fn set(&self, totals: Totals) {
        self.with(|books| {
            books.totals = totals;
            books.tell_pinning();
        });
    }

    /// Pools, by their [`Seat::number`], that may try again now.
    pub fn ready(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.books.lock().ready)
    }

    /// Some pool is hungry: idle servers of the others should be shed.
    pub fn hungry(&self) -> bool {
        self.0.hungry.load(Ordering::Relaxed)
    }

    fn concern_someone(&self) -> bool {
        self.hungry() || !self.0.books.lock().ready.is_empty()
    }

    /// Places counted: backends and places kept ready.
    pub fn used(&self) -> u32 {
        self.0.books.lock().used
    }

    /// Pinned servers that don't count against the sizes of their pools.
    pub fn pinned(&self) -> u32 {
        self.0.books.lock().pinned
    }

    fn with<R>(&self, change: impl FnOnce(&mut Books) -> R) -> R {
        let mut books = self.0.books.lock();
        let result = change(&mut books);
        books.feed();
        self.0.hungry.store(!books.hungry.is_empty(), Ordering::Relaxed);
        result
    }
}

impl Seat {
    /// How [`Ceilings::ready`] calls this pool.
    pub fn number(&self) -> usize {
        self.pool
    }

    pub fn ceilings(&self) -> &Ceilings {
        &self.ceilings
    }

    /// Takes a place for one more backend. If there is none, the pool is hungry from now on.
    pub(super) fn take(&self) -> bool {
        self.ceilings.with(|books| {
            let taken = books.take(self.pool);
            if !taken && !books.hungry.contains(&self.pool) {
                books.hungry.push(self.pool);
            }
            taken
        })
    }

    /// The same for a backend that no client waits for: never at a neighbour's cost.
    pub(super) fn take_spare(&self) -> bool {
        self.ceilings.with(|books| books.hungry.is_empty() && books.take(self.pool))
    }

    /// A backend is gone. `yielded`: it was closed because [`Self::should_yield`] said so.
    /// True: other pools are concerned, see [`Ceilings::ready`] and [`Ceilings::hungry`].
    pub(super) fn leave(&self, yielded: bool) -> bool {
        self.ceilings.with(|books| {
            books.yielding -= usize::from(yielded);
            books.pools[self.pool].held -= 1;
            books.count(self.pool, u32::checked_sub);
        });
        self.ceilings.concern_someone()
    }

    /// One more of the pool's pinned servers needn't count against its size, if that is allowed. If it isn't,
    /// [`Ceilings::ready`] says when to ask again.
    pub(super) fn exempt(&self) -> bool {
        self.ceilings.with(|books| books.exempt(self.pool))
    }

    /// One of them counts again, or is gone. True: other pools are concerned, see [`Ceilings::ready`].
    pub(super) fn count_again(&self) -> bool {
        self.ceilings.with(|books| {
            books.pools[self.pool].pinned -= 1;
            books.pinned -= 1;
            books.tell_pinning()
        })
    }

    /// Nothing is wanted any more: gives up the turn, and a place that was kept. True: as above.
    pub(super) fn decline(&self) -> bool {
        self.ceilings.with(|books| books.decline(self.pool));
        self.ceilings.concern_someone()
    }

    /// Whether a server that this pool has in hand should be closed for a hungry neighbour. If so, the caller
    /// must close it, and say so to [`Self::leave`].
    pub(super) fn should_yield(&self, spare: Spare) -> bool {
        self.ceilings.hungry() && self.ceilings.with(|books| books.should_yield(self.pool, spare))
    }

    /// How many servers that nobody waits for here would be closed for hungry neighbours, if there were any.
    pub(super) fn owes(&self) -> u32 {
        let owes = |books: &mut Books| books.helped(self.pool, Spare::Idle).saturating_sub(books.yielding);
        if self.ceilings.hungry() { self.ceilings.with(owes) as u32 } else { 0 }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ceilings.with(|books| {
            books.decline(self.pool);
            for _ in 0..books.pools[self.pool].held {
                books.count(self.pool, u32::checked_sub);
            }
            let holding = books.pools.remove(self.pool);
            books.pinned -= holding.pinned;
            books.pinned_wanted.retain(|pool| *pool != self.pool);
            books.tell_pinning();
            books.ready.retain(|pool| *pool != self.pool);
        });
    }
}

/// How much its pool needs a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// Nobody waits for it.
    Idle,
    /// Clients of its own pool wait for it, and it has not worked for long yet.
    WantedNew,
    /// Clients of its own pool wait for it.
    Wanted,
}

impl Books {
    fn take(&mut self, pool: usize) -> bool {
        if !std::mem::take(&mut self.pools[pool].kept) {
            if !self.fits(pool) {
                return false;
            }
            self.count(pool, u32::checked_add);
        }
        self.pools[pool].held += 1;
        true
    }

    fn exempt(&mut self, pool: usize) -> bool {
        let allowed = self.totals.pinned.is_none_or(|limit| self.pinned < limit);
        if allowed {
            self.pools[pool].pinned += 1;
            self.pinned += 1;
        } else if !self.pinned_wanted.contains(&pool) {
            self.pinned_wanted.push(pool);
        }
        allowed
    }

    /// Whoever wanted to pin more may ask again, if that is of use. True: somebody did.
    fn tell_pinning(&mut self) -> bool {
        let told =
            self.totals.pinned.is_none_or(|limit| self.pinned < limit) && !self.pinned_wanted.is_empty();
        if told {
            self.ready.append(&mut self.pinned_wanted);
        }
        told
    }

    fn decline(&mut self, pool: usize) {
        self.hungry.retain(|hungry| *hungry != pool);
        if std::mem::take(&mut self.pools[pool].kept) {
            self.count(pool, u32::checked_sub);
        }
    }

    /// Keeps free places for the hungry: for whoever has least, and among equals for whoever was hungry first.
    fn feed(&mut self) {
        while let Some(pool) = (self.hungry.iter().copied().filter(|pool| self.fits(*pool)))
            .min_by_key(|pool| self.pools[*pool].held)
        {
            self.hungry.retain(|hungry| *hungry != pool);
            self.count(pool, u32::checked_add);
            self.pools[pool].kept = true;
            self.ready.push(pool);
        }
    }

    /// An idle server makes way for whoever lacks one. A wanted one does so only for a pool that is clearly worse
    /// off; if that has none at all, only after it has worked for a while: else two pools would take turns at each
    /// transaction, with a login each time.
    fn should_yield(&mut self, pool: usize, spare: Spare) -> bool {
        let yields = self.yielding < self.helped(pool, spare);
        self.yielding += usize::from(yields);
        yields
    }

    /// Hungry pools for which this one should close such a server.
    fn helped(&self, pool: usize, spare: Spare) -> usize {
        let held = self.pools[pool].held;
        let helped = self.hungry.iter().filter(|&&hungry| hungry != pool).filter(|&&hungry| {
            let theirs = self.pools[hungry].held;
            let [full, shared] = [self.exhausted(hungry), self.shared(pool, hungry)];
            let (some, all) = (full.and(shared) != NONE, full.and(shared) == full);
            match spare {
                Spare::Idle => some,
                Spare::WantedNew => all && held > theirs + 1,
                Spare::Wanted => all && (held > theirs + 1 || theirs == 0),
            }
        });
        helped.count()
    }

    fn fits(&self, pool: usize) -> bool {
        self.exhausted(pool) == NONE
    }

    /// The bounds that don't let this pool have one more.
    fn exhausted(&self, pool: usize) -> Bounds {
        let Holding { database, user, .. } = &self.pools[pool];
        let sum = |sums: &Sums, name: &str| sums.get(name).copied().unwrap_or(0);
        let full = |limit: Option<u32>, used: u32| limit.is_some_and(|limit| used >= limit);
        Bounds([
            full(self.totals.servers, self.used),
            full(self.totals.per_database, sum(&self.by_database, database)),
            full(self.totals.per_user, sum(&self.by_user, user)),
        ])
    }

    /// The bounds under which both pools stand.
    fn shared(&self, one: usize, other: usize) -> Bounds {
        let (one, other) = (&self.pools[one], &self.pools[other]);
        Bounds([true, one.database == other.database, one.user == other.user])
    }

    fn count(&mut self, pool: usize, change: fn(u32, u32) -> Option<u32>) {
        let Holding { database, user, .. } = &self.pools[pool];
        let change =
            |sum: &mut u32| *sum = change(*sum, 1).expect("a place is given up once for each time taken");
        change(&mut self.used);
        change(self.by_database.entry(database.clone()).or_default());
        change(self.by_user.entry(user.clone()).or_default());
    }
}

/// Over all, per database, per user.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds([bool; 3]);

const NONE: Bounds = Bounds([false; 3]);

impl Bounds {
    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|bound| self.0[bound] && other.0[bound]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(servers: Option<u32>, per_database: Option<u32>, per_user: Option<u32>) -> Ceilings {
        Ceilings::new(Totals { servers, per_database, per_user, pinned: None })
    }

    #[test]
    fn each_bound_holds() {
        let all = ceilings(Some(3), Some(2), Some(2));
        let (a, b, c) = (all.seat("d1", "u1"), all.seat("d1", "u2"), all.seat("d2", "u1"));
        assert!(a.take() && b.take());
        assert!(!a.take(), "two servers of d1");
        assert!(c.take());
        assert!(!c.take(), "three servers over all");
        drop((a, b, c));
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn a_freed_place_is_kept_for_whoever_was_hungry_first() {
        let all = ceilings(Some(1), None, None);
        let (a, b, c) = (all.seat("d", "a"), all.seat("d", "b"), all.seat("d", "c"));
        assert!(a.take());
        assert!(!b.take() && !c.take() && !a.take());
        a.leave(false);
        assert_eq!(all.ready(), [b.number()]);
        assert!(!a.take(), "kept for b");
        b.decline();
        assert_eq!(all.ready(), [c.number()]);
        assert!(c.take());
        assert_eq!(all.used(), 1);
    }

    #[test]
    fn a_rich_pool_yields_wanted_servers_until_both_are_about_equal() {
        let all = ceilings(Some(4), None, None);
        let (a, b) = (all.seat("d", "a"), all.seat("d", "b"));
        assert!((0..4).all(|_| a.take()));
        let mut given = 0;
        while !b.take() && a.should_yield(Spare::WantedNew) {
            assert!(!a.take(), "hungry itself, but better off");
            a.leave(true);
            assert!(b.take());
            given += 1;
        }
        assert_eq!(given, 2);
    }

    #[test]
    fn pinned_servers_have_a_bound_of_their_own() {
        let all = Ceilings::new(Totals { pinned: Some(2), ..Totals::default() });
        let (a, b) = (all.seat("d", "a"), all.seat("d", "b"));
        assert!(a.exempt() && b.exempt() && !b.exempt() && !a.exempt());
        assert!(all.ready().is_empty());
        assert!(a.count_again(), "others are concerned");
        assert_eq!(all.ready(), [b.number(), a.number()]);
        assert!(b.exempt() && !a.exempt());
        all.set(Totals { pinned: Some(3), ..Totals::default() });
        assert_eq!(all.ready(), [a.number()]);
        drop(b);
        assert_eq!(all.pinned(), 0);
    }

    #[test]
    fn no_more_servers_yield_than_pools_are_hungry() {
        let all = ceilings(Some(2), None, None);
        let (a, b) = (all.seat("d", "a"), all.seat("d", "b"));
        assert!(a.take() && a.take() && !b.take());
        assert!(a.should_yield(Spare::Idle));
        assert!(!a.should_yield(Spare::Idle));
    }

    #[test]
    fn nobody_yields_for_a_pool_that_it_would_not_help() {
        let all = ceilings(None, Some(1), None);
        let (a, b, other) = (all.seat("d", "a"), all.seat("d", "b"), all.seat("else", "c"));
        assert!(a.take() && other.take() && !b.take());
        assert!(!other.should_yield(Spare::Idle));
        assert!(a.should_yield(Spare::Idle));
    }
}
