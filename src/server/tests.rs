//! Pools as tasks see them, over backends in memory.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::lease::Lease;
use super::lend::{Backend, Blueprint, Pool};
use super::pools::Pools;
use super::upstream::Upstream;
use crate::meter::work::Work;
use crate::pool::core::{Pin, Refusal};
use crate::pool::health::{OpenError, OpenErrorKind};
use crate::pool::key::{Profile, Wish};
use crate::pool::settings::{PoolSettings, Totals};
use crate::session::clean::Clean;

/// A PostgreSQL of sorts.
struct Postgres {
    up: AtomicBool,
    /// Backends that exist.
    backends: AtomicUsize,
    most_backends: AtomicUsize,
    opened: AtomicU32,
    abandoned: AtomicU32,
    /// Backends end when they get one of these.
    endings: Semaphore,
    /// The next attempt to open panics.
    panics: AtomicBool,
}

struct Session {
    number: u32,
    alive: Arc<AtomicBool>,
    postgres: Arc<Postgres>,
}

impl Postgres {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            up: AtomicBool::new(true),
            backends: AtomicUsize::new(0),
            most_backends: AtomicUsize::new(0),
            opened: AtomicU32::new(0),
            abandoned: AtomicU32::new(0),
            endings: Semaphore::new(Semaphore::MAX_PERMITS),
            panics: AtomicBool::new(false),
        })
    }

    /// From now on backends end only by [`Self::let_end`].
    fn hold_endings(&self) {
        self.endings.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn let_end(&self, backends: usize) {
        self.endings.add_permits(backends);
    }

    fn blueprint(self: &Arc<Self>, settings: PoolSettings) -> Blueprint<Session> {
        let postgres = Arc::clone(self);
        let upstream = Upstream::default();
        let opener = move |_: Arc<Profile>| -> super::lend::Opening<Session> {
            let postgres = Arc::clone(&postgres);
            Box::pin(async move { postgres.open().await })
        };
        Blueprint { settings, upstream: Arc::new(upstream), opener: Box::new(opener), epochs: Arc::default() }
    }

    async fn open(self: Arc<Self>) -> Result<Box<Session>, OpenError> {
        tokio::task::yield_now().await;
        assert!(!self.panics.swap(false, SeqCst), "as the test wants it");
        if !self.up.load(SeqCst) {
            return Err(OpenError {
                kind: OpenErrorKind::Unreachable,
                sqlstate: None,
                text: "connection refused".into(),
            });
        }
        let backends = self.backends.fetch_add(1, SeqCst) + 1;
        self.most_backends.fetch_max(backends, SeqCst);
        let number = self.opened.fetch_add(1, SeqCst);
        Ok(Box::new(Session { number, alive: Arc::new(AtomicBool::new(true)), postgres: self }))
    }
}

impl Backend for Session {
    fn idle_check(&mut self) -> bool {
        self.alive.load(SeqCst)
    }

    async fn close(self: Box<Self>) {
        self.postgres.endings.acquire().await.expect("never closed").forget();
        self.postgres.backends.fetch_sub(1, SeqCst);
    }

    async fn abandon(self: Box<Self>) {
        self.postgres.abandoned.fetch_add(1, SeqCst);
        self.close().await;
    }
}

/// One pool over one PostgreSQL, and a profile for its clients.
struct Bench {
    postgres: Arc<Postgres>,
    pools: Pools<Session>,
    pool: Arc<Pool<Session>>,
    profile: Arc<Profile>,
}

fn bench(settings: PoolSettings) -> Bench {
    let postgres = Postgres::new();
    let pools = Pools::new(Totals::default());
    let pool = pools.get_or_start("app", "alice", || postgres.blueprint(settings));
    let profile = pool.profile([("client_encoding", "UTF8")]);
    Bench { postgres, pools, pool, profile }
}

impl Bench {
    fn wish(&self) -> Wish {
        Wish::plain(self.profile.id)
    }

    async fn checkout(&self) -> Result<Lease<Session>, Refusal> {
        self.pool.checkout(self.wish()).await
    }

    async fn lease(&self) -> Lease<Session> {
        self.checkout().await.expect("a server")
    }
}

fn size(size: u32) -> PoolSettings {
    PoolSettings { size, ..PoolSettings::default() }
}

fn release(lease: Lease<Session>) {
    lease.release(Clean::for_tests(), Work { transactions: 1, ..Work::default() });
}

/// Whatever hangs is a failure.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("hangs")
}

async fn until(mut reached: impl FnMut() -> bool) {
    within(async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_released_server_is_lent_again() {
    let b = bench(size(5));
    for _ in 0..3 {
        let lease = within(b.lease()).await;
        assert_eq!(lease.number, 0);
        release(lease);
    }
    let s = b.pool.snapshot();
    assert_eq!((s.connect.count(), s.checkouts, s.work.transactions, s.servers_idle), (1, 3, 3, 1));
}

#[tokio::test]
async fn f4_g1_a_dropped_lease_keeps_its_place_until_the_backend_has_ended() {
    let b = bench(size(1));
    b.postgres.hold_endings();
    drop(within(b.lease()).await);
    let mut next = Box::pin(b.checkout());
    until(|| b.postgres.abandoned.load(SeqCst) == 1).await;
    assert!(futures_util::poll!(&mut next).is_pending());
    assert_eq!(b.pool.snapshot().servers_closing, 1);
    assert_eq!(b.postgres.opened.load(SeqCst), 1);
    b.postgres.let_end(1);
    assert_eq!(within(next).await.unwrap().number, 1);
    assert_eq!(b.postgres.most_backends.load(SeqCst), 1);
}

#[tokio::test]
async fn a_checkout_that_is_dropped_leaves_the_queue_and_what_it_was_given() {
    let b = bench(size(1));
    let lease = within(b.lease()).await;
    let mut queued = Box::pin(b.checkout());
    let mut granted = Box::pin(b.checkout());
    assert!(futures_util::poll!(&mut queued).is_pending());
    assert!(futures_util::poll!(&mut granted).is_pending());
    drop(queued);
    let mut last = Box::pin(b.checkout());
    assert!(futures_util::poll!(&mut last).is_pending());
    assert_eq!(b.pool.snapshot().waiting, 2);
    release(lease);
    drop(granted);
    assert_eq!(within(last).await.unwrap().number, 0);
    assert_eq!(b.pool.snapshot().waiting, 0);
}

#[tokio::test]
async fn a_server_that_died_while_idle_is_not_noticed_by_the_client() {
    let b = bench(size(2));
    let lease = within(b.lease()).await;
    let alive = Arc::clone(&lease.alive);
    release(lease);
    alive.store(false, SeqCst);
    assert_eq!(within(b.lease()).await.number, 1);
    until(|| b.postgres.backends.load(SeqCst) == 0).await;
    assert_eq!(b.postgres.abandoned.load(SeqCst), 1, "only the lease that the test dropped");
}

#[tokio::test]
async fn n6_an_attempt_that_panics_costs_no_place() {
    let b = bench(size(1));
    b.postgres.panics.store(true, SeqCst);
    let lease = within(b.lease()).await;
    assert_eq!(b.pool.snapshot().failures(), 1);
    release(lease);
}

#[tokio::test]
async fn f36_clients_wait_for_postgres_to_come_back() {
    let b = bench(size(3));
    b.postgres.up.store(false, SeqCst);
    let mut waiting = Box::pin(b.checkout());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    until(|| b.pool.snapshot().failures() >= 2).await;
    b.postgres.up.store(true, SeqCst);
    release(within(waiting).await.unwrap());
}

#[tokio::test]
async fn whoever_waits_for_an_unreachable_server_hears_why() {
    let b = bench(PoolSettings { queue_timeout: Duration::from_millis(100), ..size(1) });
    b.postgres.up.store(false, SeqCst);
    let why = within(b.checkout()).await.err();
    assert_eq!(why, Some(Refusal::Unreachable { why: "connection refused".into() }));
}

#[tokio::test]
async fn a_server_is_opened_again_when_its_backend_has_really_ended() {
    let b = bench(size(1));
    b.postgres.hold_endings();
    let mut reopened = Box::pin(within(b.lease()).await.reopen());
    assert!(futures_util::poll!(&mut reopened).is_pending());
    b.postgres.let_end(1);
    let lease = within(reopened).await.expect("another backend");
    assert_eq!((lease.number, b.postgres.most_backends.load(SeqCst)), (1, 1));
    b.postgres.up.store(false, SeqCst);
    b.postgres.let_end(1);
    assert!(within(lease.reopen()).await.is_none());
    b.postgres.up.store(true, SeqCst);
    assert_eq!(within(b.lease()).await.number, 2, "its place was given up");
}

#[tokio::test]
async fn a_pinned_server_leaves_its_place_to_another() {
    let b = bench(size(1));
    let pinned = within(b.lease()).await;
    pinned.pin(Pin::needed("LISTEN"));
    let other = within(b.lease()).await;
    assert_eq!((pinned.number, other.number), (0, 1));
    release(other);
    pinned.unpin();
    release(pinned);
    until(|| b.postgres.backends.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_pin_that_ends_lets_a_neighbour_pin_beyond_its_size() {
    let b = bench(size(1));
    b.pools.set_totals(Totals { pinned: Some(1), ..Totals::default() });
    let pinned = within(b.lease()).await;
    pinned.pin(Pin::needed("LISTEN"));
    let other = b.pools.get_or_start("app", "bob", || b.postgres.blueprint(size(1)));
    let profile = other.profile([]);
    let wish = Wish::plain(profile.id);
    let theirs = within(other.checkout(wish)).await.unwrap();
    theirs.pin(Pin::needed("LISTEN"));
    let mut waits = Box::pin(other.checkout(wish));
    assert!(futures_util::poll!(&mut waits).is_pending());
    until(|| other.snapshot().waiting == 1).await;
    assert_eq!(b.postgres.backends.load(SeqCst), 2, "it counts against the size");
    pinned.unpin();
    assert_eq!(within(waits).await.unwrap().number, 2);
}

#[tokio::test]
async fn another_pools_idle_server_makes_way_under_a_common_ceiling() {
    let b = bench(size(5));
    b.pools.set_totals(Totals { servers: Some(1), ..Totals::default() });
    release(within(b.lease()).await);
    let other = b.pools.get_or_start("app", "bob", || b.postgres.blueprint(size(5)));
    let profile = other.profile([]);
    let wish = Wish::plain(profile.id);
    let lease = within(other.checkout(wish)).await.unwrap();
    assert_eq!(lease.number, 1);
    assert_eq!(b.postgres.most_backends.load(SeqCst), 1);
}

#[tokio::test]
async fn drain_ends_when_the_last_backend_has_ended() {
    let b = bench(size(2));
    let (first, second) = (within(b.lease()).await, within(b.lease()).await);
    let mut queued = Box::pin(b.checkout());
    assert!(futures_util::poll!(&mut queued).is_pending());
    b.pool.drain(Instant::now() + Duration::from_secs(3600));
    assert_eq!(b.checkout().await.err(), Some(Refusal::Draining));
    release(first);
    let third = within(queued).await.unwrap();
    let mut emptied = Box::pin(b.pool.emptied());
    release(second);
    assert!(futures_util::poll!(&mut emptied).is_pending());
    release(third);
    within(emptied).await;
    assert_eq!(b.postgres.backends.load(SeqCst), 0);
}

#[tokio::test]
async fn a_pool_that_nobody_has_ends_its_keeper() {
    let b = bench(size(1));
    release(within(b.lease()).await);
    let postgres = Arc::downgrade(&b.postgres);
    drop(b);
    until(|| postgres.strong_count() == 0).await;
}

#[tokio::test]
async fn clients_are_counted_from_their_coming_to_their_leaving() {
    let b = bench(size(1));
    let application = b.pool.enter("shop");
    assert_eq!(b.pool.snapshot().clients, 1);
    assert_eq!(b.pool.snapshot().applications[0].clients, 1);
    let application = b.pool.rename(application, "backoffice");
    b.pool.leave(application);
    assert_eq!(b.pool.snapshot().clients, 0);
    assert!(b.pool.snapshot().applications.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_i10_n6_many_clients_over_few_servers() {
    let b = Arc::new(bench(size(4)));
    let busy = Arc::new([const { AtomicBool::new(false) }; 4096]);
    let clients = (0..100).map(|client: u32| {
        let (b, busy) = (Arc::clone(&b), Arc::clone(&busy));
        tokio::spawn(async move {
            for turn in 0..100 {
                let mut checkout = b.pool.checkout(b.wish());
                if (client + turn).is_multiple_of(7) && futures_util::poll!(&mut checkout).is_pending() {
                    continue; // gives up
                }
                if (client + turn).is_multiple_of(7) {
                    continue; // had one, and dropped it with its future
                }
                let lease = checkout.await.expect("a server");
                let mine = &busy[lease.number as usize];
                assert!(!mine.swap(true, SeqCst), "lent to two clients");
                tokio::task::yield_now().await;
                mine.store(false, SeqCst);
                match (client + turn) % 31 {
                    0 => drop(lease),
                    _ => release(lease),
                }
            }
        })
    });
    within(async {
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no client fails");
        }
    })
    .await;
    until(|| b.pool.snapshot().servers_closing == 0).await;
    let s = b.pool.snapshot();
    assert_eq!((s.waiting, s.servers_active), (0, 0));
    assert!(b.postgres.most_backends.load(SeqCst) <= 4);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(within(b.lease()).await);
    }
    drop(all);
    b.pool.shut_down();
    within(b.pool.emptied()).await;
    assert_eq!(b.postgres.backends.load(SeqCst), 0);
}
