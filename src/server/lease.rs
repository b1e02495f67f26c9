//! A server in a client's hand.
//!
//! Depends on `lend`. Invariant: the only way back into the pool is [`Lease::release`] with the proof that the
//! server is clean. A lease that just falls out of scope (an early return, a panic, a cancelled future) ends its
//! server, and the server's place stays taken until the backend has really ended.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::connection::Connection;
use super::lend::{Backend, Pool};
use crate::meter::work::Work;
use crate::pool::core::{Held, Permit, Pin, Purpose, Returned};
use crate::pool::key::{Label, ServerId};
use crate::pool::stopwatch::Stopwatch;
use crate::session::clean::Clean;

/// A lent server; its connection is what it derefs to.
#[must_use = "a lease that is dropped ends its server"]
pub struct Lease<C: Backend = Connection> {
    pool: Arc<Pool<C>>,
    /// Gone only while the lease is being consumed.
    held: Option<Held<Box<C>>>,
}

impl<C: Backend> Lease<C> {
    pub(super) fn new(pool: Arc<Pool<C>>, held: Held<Box<C>>) -> Self {
        Self { pool, held: Some(held) }
    }

    pub fn id(&self) -> ServerId {
        self.held().id()
    }

    pub fn pool(&self) -> &Arc<Pool<C>> {
        &self.pool
    }

    /// The settings that the server has, as far as the pool was told.
    pub fn label(&self) -> Label {
        self.held().label
    }

    /// To be told whenever the server's settings have changed.
    pub fn set_label(&mut self, label: Label) {
        self.held_mut().label = label;
    }

    /// The server's session holds something of this client's.
    pub fn pin(&self, pin: Pin<Waker>) {
        self.pool.with(|core, now| core.pin(now, self.held(), pin));
    }

    /// Whether others wait for a server whose pin yields.
    pub fn is_asked_back(&self) -> bool {
        self.pool.with(|core, _| core.is_asked_back(self.held()))
    }

    pub fn unpin(&self) {
        self.pool.with(|core, now| core.unpin(now, self.held()));
    }

    /// Books what was done with a server that stays lent.
    pub fn tally(&self, tally: Work) {
        self.pool.with(|core, _| core.tally(self.held(), tally));
    }

    /// Books a question of pgweir's own, which began then and is answered now.
    pub fn asked_for(&self, purpose: Purpose, began: Instant) {
        self.pool.with(|core, now| core.asked_for(purpose, now.saturating_duration_since(began)));
    }

    /// By the clock: what its client and it are doing.
    pub fn stopwatch(&mut self) -> &mut Stopwatch {
        &mut self.held_mut().stopwatch
    }

    /// The connection, and the watch on it.
    pub fn parts(&mut self) -> (&mut C, &mut Stopwatch) {
        let held = self.held_mut();
        (&mut held.server, &mut held.stopwatch)
    }

    /// Gives the server back, for anyone. Says when that was.
    pub fn release(mut self, _proof: Clean, tally: Work) -> Returned {
        let held = self.held.take().expect(HELD);
        self.pool.with(|core, now| core.give_back(now, held, tally))
    }

    /// Ends a server that does nothing: it is lost, or in a state that can't be mended.
    pub fn close(mut self) {
        if let Some(ending) = self.end() {
            ending.spawn(How::Close);
        }
    }

    /// Ends the backend, waits until it has really ended, and opens another one in its place, since its session has what
    /// nothing takes from it. `None`: that didn't work, and the place is given up.
    pub async fn reopen(mut self) -> Option<Self> {
        let profile = self.pool.known_profile(self.held().profile())?;
        let Ending { server, mut place } = self.end()?;
        server.close().await;
        let opened = (place.pool.opener)(profile).await;
        let server = opened.inspect_err(|error| tracing::warn!(%error, "no server opened again")).ok()?;
        let permit = place.permit.take()?;
        let held = place.pool.with(|core, now| core.reopened(now, permit, server));
        Some(Self::new(Arc::clone(&place.pool), held))
    }

    fn end(&mut self) -> Option<Ending<C>> {
        let held = self.held.take()?;
        let (server, permit) = self.pool.with(|core, now| core.end(now, held));
        Some(Ending::new(&self.pool, server, permit))
    }

    fn held(&self) -> &Held<Box<C>> {
        self.held.as_ref().expect(HELD)
    }

    fn held_mut(&mut self) -> &mut Held<Box<C>> {
        self.held.as_mut().expect(HELD)
    }
}

const HELD: &str = "only methods that consume the lease take the server";

impl<C: Backend> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(ending) = self.end() {
            ending.spawn(How::Abandon);
        }
    }
}

impl<C: Backend> Deref for Lease<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.held().server
    }
}

impl<C: Backend> DerefMut for Lease<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.held_mut().server
    }
}

/// How a server ends.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// It does nothing.
    Close,
    /// It may be in the middle of a query.
    Abandon,
}

/// A server on its way out, from where no way leads back.
pub(super) struct Ending<C: Backend> {
    server: Box<C>,
    place: Place<C>,
}

impl<C: Backend> Ending<C> {
    pub(super) fn new(pool: &Arc<Pool<C>>, server: Box<C>, permit: Permit) -> Self {
        Self { server, place: Place { pool: Arc::clone(pool), permit: Some(permit) } }
    }

    pub(super) fn spawn(self, how: How) {
        let Self { server, place } = self;
        let tasks = place.pool.tasks.clone();
        // The place is given up when this task ends, in whatever way: by then the socket is closed.
        tasks.spawn(async move {
            let _place = place;
            match how {
                How::Close => server.close().await,
                How::Abandon => server.abandon().await,
            }
        });
    }
}

/// The place of a backend that is ending.
struct Place<C: Backend> {
    pool: Arc<Pool<C>>,
    permit: Option<Permit>,
}

impl<C: Backend> Drop for Place<C> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.pool.with(|core, now| core.gone(now, permit));
        }
    }
}
