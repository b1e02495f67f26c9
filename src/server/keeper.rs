//! The one task that tends a pool: opens and closes what the pool orders, and calls it when time has come.
//!
//! Depends on `lend`. It sleeps until the pool's next deadline or its bell, and holds the pool only weakly: a pool
//! that nobody has any more ends its keeper. Invariant: each permit that it is given comes back, even if an
//! attempt panics.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::timeout_at;
use tracing::{debug, warn};

use super::lease::{Ending, How};
use super::lend::{Backend, Pool};
use crate::pool::core::{IDLE_WATCH, Order, Permit};
use crate::pool::health::{OpenError, OpenErrorKind};
use crate::pool::key::ProfileId;

pub(super) async fn keep<C: Backend>(pool: Weak<Pool<C>>, bell: Arc<Notify>) {
    let mut watched = Instant::now();
    loop {
        let Some(alarm) = pool.upgrade().map(|pool| tend(&pool, &mut watched)) else { return };
        match alarm {
            // Either way there is something to look at.
            Some(at) => drop(timeout_at(at.into(), bell.notified()).await),
            None => bell.notified().await,
        }
    }
}

/// Does all that is due; returns when to come again.
fn tend<C: Backend>(pool: &Arc<Pool<C>>, watched: &mut Instant) -> Option<Instant> {
    if watched.elapsed() >= IDLE_WATCH {
        *watched = Instant::now();
        let profiles = pool.profiles_in_use();
        pool.with(|core, now| {
            core.sweep_idle(now, |profile, server| profiles.get(profile).is_some() && server.idle_check());
        });
    }
    let (wakes, orders, alarm) = pool.with(|core, now| {
        core.expire(now);
        let wakes: Vec<_> = std::iter::from_fn(|| core.next_wake()).collect();
        let orders: Vec<_> = std::iter::from_fn(|| core.next_order()).collect();
        (wakes, orders, core.next_deadline(now))
    });
    wakes.into_iter().for_each(std::task::Waker::wake);
    for order in orders {
        obey(pool, order);
    }
    alarm
}

fn obey<C: Backend>(pool: &Arc<Pool<C>>, order: Order<Box<C>>) {
    match order {
        Order::Open { permit, profile } => {
            pool.tasks.spawn(open(Attempt::new(pool, permit), profile));
        }
        Order::Close { server, permit, why } => {
            debug!(database = pool.database(), user = pool.user(), ?why, "closing a server");
            Ending::new(pool, server, permit).spawn(How::Close);
        }
        Order::Share => {
            if let Some(neighbours) = pool.neighbours.upgrade() {
                neighbours.share();
            }
        }
    }
}

async fn open<C: Backend>(attempt: Attempt<C>, profile: ProfileId) {
    let known = attempt.pool.known_profile(profile);
    match known {
        Some(profile) => {
            let opened = (attempt.pool.opener)(profile).await;
            attempt.ended(opened);
        }
        None => attempt.withdraw(),
    }
}

/// A permit under which a server is being opened.
struct Attempt<C: Backend> {
    pool: Arc<Pool<C>>,
    permit: Option<Permit>,
}

impl<C: Backend> Attempt<C> {
    fn new(pool: &Arc<Pool<C>>, permit: Permit) -> Self {
        Self { pool: Arc::clone(pool), permit: Some(permit) }
    }

    fn ended(mut self, result: Result<Box<C>, OpenError>) {
        let Some(permit) = self.permit.take() else { return };
        match result {
            Ok(server) => self.pool.with(|core, now| {
                core.identify(permit.id(), server.pid());
                core.opened(now, permit, server);
            }),
            Err(error) => {
                warn!(database = self.pool.database(), user = self.pool.user(), %error, "no server opened");
                self.pool.with(|core, now| core.failed(now, permit, &error));
            }
        }
    }

    /// Nobody has this profile any more.
    fn withdraw(mut self) {
        if let Some(permit) = self.permit.take() {
            self.pool.with(|core, now| core.withdrawn(now, permit));
        }
    }
}

impl<C: Backend> Drop for Attempt<C> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let text = "the attempt to connect ended unexpectedly".into();
            let error = OpenError { kind: OpenErrorKind::Unreachable, sqlstate: None, text };
            self.pool.with(|core, now| core.failed(now, permit, &error));
        }
    }
}
