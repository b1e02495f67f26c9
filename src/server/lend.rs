//! The pool as tasks see it: ask for a server, wait for it, be woken.
//!
//! Depends on `pool::core`, which decides everything; here is one short lock around it, and nobody is woken and
//! nothing is awaited under that lock. Invariants: a [`Checkout`] that is dropped leaves the queue, and a server
//! that it was given meanwhile goes to the next in line; a server is wrapped in a [`Lease`] before anything else
//! is done with it, so it can't be lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::connection::Connection;
use super::keeper;
use super::lease::Lease;
use super::pools::Neighbours;
use super::upstream::Upstream;
use crate::catalog::Epochs;
use crate::pool::applications::ApplicationId;
use crate::pool::core::{self, Core, Refusal, Ticket};
use crate::pool::health::OpenError;
use crate::pool::key::{Profile, ProfileId, Profiles, Wish};
use crate::pool::limits::Seat;
use crate::pool::settings::PoolSettings;
use crate::pool::snapshot::{PoolSnapshot, ServerSnapshot};
use crate::wire::sqlstate::SqlState;

/// What a pool needs of a connection to a backend.
pub trait Backend: Send + 'static {
    /// The process id of the backend; 0 if it isn't known.
    fn pid(&self) -> i32 {
        0
    }

    /// Whether an idle connection is still silent and alive, as far as can be known without a system call.
    fn idle_check(&mut self) -> bool;

    /// Says goodbye and waits, bounded, until the backend has really ended.
    fn close(self: Box<Self>) -> impl Future<Output = ()> + Send;

    /// Cancels what the backend does, then as [`Self::close`].
    fn abandon(self: Box<Self>) -> impl Future<Output = ()> + Send;
}

/// Opens a server with the startup parameters of a profile. It bounds its own time (`connect_timeout`), and when
/// it fails no backend of it exists any more.
pub type Opener<C> = Box<dyn Fn(Arc<Profile>) -> Opening<C> + Send + Sync>;

/// An attempt to open a server.
pub type Opening<C> = Pin<Box<dyn Future<Output = Result<Box<C>, OpenError>> + Send>>;

/// What a pool is made from.
pub struct Blueprint<C = Connection> {
    pub settings: PoolSettings,
    pub upstream: Arc<Upstream>,
    pub opener: Opener<C>,
    pub epochs: Arc<Epochs>,
}

/// The servers of one database and user.
pub struct Pool<C: Backend = Connection> {
    database: Arc<str>,
    user: Arc<str>,
    upstream: Arc<Upstream>,
    settings: ArcSwap<PoolSettings>,
    core: Mutex<Core<Box<C>, Waker>>,
    profiles: Mutex<Profiles>,
    epochs: Arc<Epochs>,
    pub(super) opener: Opener<C>,
    /// How the other pools under the same ceilings call this one.
    pub(super) seat: usize,
    pub(super) neighbours: Weak<Neighbours<C>>,
    clients: AtomicU32,
    /// Rings when the keeper is needed.
    bell: Arc<Notify>,
    emptied: Notify,
    pub(super) tasks: Handle,
}

impl<C: Backend> Pool<C> {
    /// Starts the pool's keeper, so a runtime must be there.
    pub(super) fn start(
        database: &str,
        user: &str,
        plan: Blueprint<C>,
        seat: Seat,
        neighbours: Weak<Neighbours<C>>,
        seed: u64,
    ) -> Arc<Self> {
        let Blueprint { settings, upstream, opener, epochs } = plan;
        let bell = Arc::new(Notify::new());
        let pool = Arc::new(Self {
            database: database.into(),
            user: user.into(),
            upstream,
            seat: seat.number(),
            core: Mutex::new(Core::new(Instant::now(), settings.clone(), seat, seed)),
            settings: ArcSwap::from_pointee(settings),
            profiles: Mutex::default(),
            epochs,
            opener,
            neighbours,
            clients: AtomicU32::new(0),
            bell: Arc::clone(&bell),
            emptied: Notify::new(),
            tasks: Handle::current(),
        });
        pool.tasks.spawn(keeper::keep(Arc::downgrade(&pool), bell));
        pool
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub fn settings(&self) -> Arc<PoolSettings> {
        self.settings.load_full()
    }

    /// The profile of a client's startup parameters. The client keeps it for as long as it may ask for servers.
    pub fn profile<'a>(&self, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<Profile> {
        self.profiles.lock().intern(self.epochs.defaults(), parameters)
    }

    /// `None`: nobody has this profile any more.
    pub(super) fn known_profile(&self, id: ProfileId) -> Option<Arc<Profile>> {
        self.profiles.lock().get(id)
    }

    /// The profiles that servers are of use for.
    pub(super) fn profiles_in_use(&self) -> MutexGuard<'_, Profiles> {
        let mut profiles = self.profiles.lock();
        profiles.forget_outdated(self.epochs.defaults());
        profiles
    }

    /// Ends the idle servers of a pool that has no client, and lets it open none by itself.
    pub fn vacate_unused(&self) {
        if self.clients.load(Ordering::Relaxed) == 0 {
            self.with(|core, now| core.vacate(now));
        }
    }

    /// Asks for a server. Nothing happens before the first poll.
    pub fn checkout(self: &Arc<Self>, wish: Wish) -> Checkout<C> {
        Checkout { pool: Some(Arc::clone(self)), wish, ticket: None }
    }

    /// Counts a logged-in client of an application, until [`Self::leave`].
    pub fn enter(&self, application: &str) -> ApplicationId {
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.with(|core, _| core.join(application))
    }

    /// The client may have set its `application_name`.
    pub fn rename(&self, application: ApplicationId, name: &str) -> ApplicationId {
        self.with(|core, _| core.rename(application, name))
    }

    pub fn leave(&self, application: ApplicationId) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
        self.with(|core, _| core.leave(application));
    }

    pub fn snapshot(&self) -> PoolSnapshot {
        self.named(self.core.lock().snapshot(Instant::now()))
    }

    /// For the one who looks regularly: peaks begin anew.
    pub fn watch(&self) -> PoolSnapshot {
        let mut core = self.core.lock();
        let snapshot = core.snapshot(Instant::now());
        core.forget_peaks();
        drop(core);
        self.named(snapshot)
    }

    /// A client heard this from pgweir.
    pub fn note_error(&self, code: SqlState) {
        self.with(|core, _| core.note_error(code));
    }

    /// A client heard this from PostgreSQL.
    pub fn note_server_error(&self, code: SqlState) {
        self.with(|core, _| core.note_server_error(code));
    }

    pub fn servers(&self) -> Vec<ServerSnapshot> {
        self.core.lock().servers(Instant::now())
    }

    fn named(&self, snapshot: PoolSnapshot) -> PoolSnapshot {
        PoolSnapshot {
            database: self.database.as_ref().into(),
            user: self.user.as_ref().into(),
            clients: self.clients.load(Ordering::Relaxed),
            ..snapshot
        }
    }

    /// New limits and timeouts, in force at once.
    pub fn configure(&self, settings: PoolSettings) {
        self.settings.store(Arc::new(settings.clone()));
        self.with(|core, now| core.configure(now, settings));
    }

    /// Tries again what was rejected.
    pub(super) fn forgive(&self) {
        self.with(|core, now| core.forgive(now));
    }

    /// Replaces all servers, one after the other.
    pub fn renew(&self) {
        self.with(|core, now| core.renew(now));
    }

    /// Nobody new is served; those who wait are until `until`; idle servers end.
    pub fn drain(&self, until: Instant) {
        self.with(|core, now| core.drain(now, until));
    }

    /// Nobody is served. Lent servers end when they come back.
    pub fn shut_down(&self) {
        self.with(|core, now| core.shutdown(now));
    }

    /// Until nobody waits and no backend is left.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.core.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Does one thing under the lock. Whoever it wakes, and the keeper, are woken outside.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Core<Box<C>, Waker>, Instant) -> R) -> R {
        let mut core = self.core.lock();
        // Under the lock: the books would not agree if time went back for them.
        let now = Instant::now();
        let result = act(&mut core, now);
        let wake = core.next_wake();
        let (attention, empty) = (core.wants_attention(), core.is_empty());
        drop(core);
        if let Some(waker) = wake {
            waker.wake();
        }
        if attention {
            self.bell.notify_one();
        }
        if empty {
            self.emptied.notify_waiters();
        }
        result
    }
}

impl<C: Backend> Drop for Pool<C> {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

/// A client that waits for a server, or is about to. Resolves once.
#[must_use = "nothing is asked for before it is polled"]
pub struct Checkout<C: Backend = Connection> {
    /// Gone when it has resolved.
    pool: Option<Arc<Pool<C>>>,
    wish: Wish,
    ticket: Option<Ticket>,
}

impl<C: Backend> Future for Checkout<C> {
    type Output = Result<Lease<C>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let pool = this.pool.as_ref().expect("a checkout isn't polled again after it has resolved");
            let ticket = this.ticket.take();
            let rested = ticket.is_none();
            let answer = pool.with(|core, now| match ticket {
                None => core.checkout(now, &this.wish, cx.waker()),
                Some(ticket) => core.collect(ticket, cx.waker()),
            });
            let held = match answer {
                core::Checkout::Lent(held) => held,
                core::Checkout::Queued(ticket) => {
                    this.ticket = Some(ticket);
                    return Poll::Pending;
                }
                core::Checkout::Refused(why) => {
                    this.pool = None;
                    return Poll::Ready(Err(why));
                }
            };
            let mut lease = Lease::new(Arc::clone(pool), held);
            // One that rested may have died meanwhile; the client must not notice.
            if !rested || lease.idle_check() {
                this.pool = None;
                return Poll::Ready(Ok(lease));
            }
            lease.close();
        }
    }
}

impl<C: Backend> Drop for Checkout<C> {
    fn drop(&mut self) {
        if let (Some(pool), Some(ticket)) = (&self.pool, self.ticket.take()) {
            pool.with(|core, now| core.cancel(now, ticket));
        }
    }
}
