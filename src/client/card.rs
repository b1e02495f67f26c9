//! How others reach a client's task: to cancel its query, to end it, to tell it that the process is draining.
//!
//! A signal is a bit and a wake-up; the task itself does what it means, so that nobody else ever touches a
//! client's server. Invariant: a card is in the registry exactly while its client is logged in.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::pinned::{Pinned, PinnedClient};
use crate::pool::applications::ApplicationId;

/// What a client's task may be told. Several may be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// Cancel what is running or queued.
    pub const CANCEL: Self = Self(1);
    /// A cancel request that this client caused has been taken by the server.
    pub const CANCEL_SENT: Self = Self(2);
    /// End as soon as no transaction is open.
    pub const DRAIN: Self = Self(4);
    /// End now.
    pub const KILL: Self = Self(8);
    /// Notifications wait, or won't come any more.
    pub const NOTIFIED: Self = Self(16);

    pub fn has(self, signal: Self) -> bool {
        self.0 & signal.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One logged-in client as others see it.
#[derive(Debug)]
pub struct Card {
    /// The process id that the client was told: above every id that a kernel gives.
    pub pid: i32,
    secret: Box<[u8]>,
    signals: AtomicU8,
    /// An [`ApplicationId`]: the client may rename itself.
    application: AtomicU16,
    waker: OnceLock<Waker>,
    /// While the client keeps its server.
    pinned: Mutex<Option<Box<Pinned>>>,
    /// Told when a cancel has been taken by the server, or had nothing to cancel.
    cancelled: Notify,
}

impl Card {
    /// The task behind the card says how it is woken; its waker stays the same for its life.
    pub fn listen(&self, waker: &Waker) {
        let _ = self.waker.set(waker.clone());
    }

    /// Whose books the client's work goes to.
    pub fn application(&self) -> ApplicationId {
        ApplicationId::of_number(self.application.load(Ordering::Relaxed))
    }

    pub fn set_application(&self, application: ApplicationId) {
        self.application.store(application.number(), Ordering::Relaxed);
    }

    /// How the task behind the card is woken; `None` before it listens.
    pub fn waker(&self) -> Option<Waker> {
        self.waker.get().cloned()
    }

    pub fn signal(&self, signal: Signals) {
        self.signals.fetch_or(signal.0, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Whoever asked for the cancel may go on: it hits nothing any more.
    pub fn cancel_is_over(&self) {
        self.cancelled.notify_waiters();
    }

    /// What was signalled and not taken yet.
    pub fn pending(&self) -> Signals {
        Signals(self.signals.load(Ordering::Acquire))
    }

    /// Takes one signal; true if it was pending.
    pub fn take(&self, signal: Signals) -> bool {
        self.pending().has(signal) && self.signals.fetch_and(!signal.0, Ordering::AcqRel) & signal.0 != 0
    }

    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The client keeps its server, or goes on keeping it.
    pub(super) fn pinned(&self, pinned: Pinned) {
        let mut now = self.pinned.lock();
        let since = now.as_ref().map_or(pinned.since, |before| before.since);
        *now = Some(Box::new(Pinned { since, ..pinned }));
    }

    pub(super) fn unpinned(&self) {
        drop(self.pinned.lock().take());
    }
}

/// All logged-in clients, by the process id that they were told.
#[derive(Debug)]
pub struct Registry {
    cards: DashMap<i32, Arc<Card>>,
    next: AtomicU32,
}

/// Above the largest process id of Linux (2^22), so that no real process is ever meant.
const FIRST_PID: u32 = 1 << 22;

impl Default for Registry {
    fn default() -> Self {
        Self { cards: DashMap::new(), next: AtomicU32::new(0) }
    }
}

impl Registry {
    /// Enters a client with a secret that the caller drew at random.
    pub fn enter(&self, secret: Box<[u8]>) -> Entry<'_> {
        loop {
            let step = self.next.fetch_add(1, Ordering::Relaxed) % (i32::MAX as u32 - FIRST_PID);
            let pid = (FIRST_PID + step) as i32;
            if let dashmap::Entry::Vacant(vacant) = self.cards.entry(pid) {
                let (signals, application, waker, pinned, cancelled) = Default::default();
                let card = Arc::new(Card { pid, secret, signals, application, waker, pinned, cancelled });
                vacant.insert(card.clone());
                return Entry { registry: self, card };
            }
        }
    }

    /// Passes a cancel request on, if the key is right, and waits until it can't hit a later query, `limit` at
    /// most. Nothing tells the asker whether the key was right.
    pub async fn cancel(&self, pid: i32, secret: &[u8], limit: Duration) -> bool {
        let Some(card) = self.cards.get(&pid).map(|entry| entry.value().clone()) else { return false };
        let right = bool::from(card.secret.ct_eq(secret));
        if right {
            let mut over = pin!(card.cancelled.notified());
            // Before the signal, or its end could be missed.
            over.as_mut().enable();
            card.signal(Signals::CANCEL);
            let _ = timeout(limit, over).await;
        }
        right
    }

    pub fn signal_all(&self, signal: Signals) {
        let cards: Vec<_> = self.cards.iter().map(|entry| entry.value().clone()).collect();
        for card in cards {
            card.signal(signal);
        }
    }

    /// The clients that keep a server now.
    pub fn pinned(&self, now: Instant) -> Vec<PinnedClient> {
        let listed = |card: &Card| Some(card.pinned.lock().as_ref()?.listed(card.pid, now));
        self.cards.iter().filter_map(|entry| listed(entry.value())).collect()
    }

    pub fn len(&self) -> usize {
        self.cards.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }
}

/// A client's place in the registry, given up when dropped.
#[derive(Debug)]
pub struct Entry<'a> {
    registry: &'a Registry,
    pub card: Arc<Card>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.registry.cards.remove(&self.card.pid);
        self.card.cancel_is_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn only_the_right_key_cancels() {
        let registry = Registry::default();
        let entry = registry.enter(b"0123456789abcdef"[..].into());
        let pid = entry.card.pid;
        assert!(pid >= 1 << 22);
        assert!(!registry.cancel(pid, b"0123456789abcdeX", LIMIT).await);
        assert!(!registry.cancel(pid, b"0123", LIMIT).await);
        assert!(!registry.cancel(pid + 1, b"0123456789abcdef", LIMIT).await);
        assert!(entry.card.pending().is_empty());
        assert!(registry.cancel(pid, b"0123456789abcdef", Duration::ZERO).await);
        assert!(entry.card.take(Signals::CANCEL));
        assert!(!entry.card.take(Signals::CANCEL));
        drop(entry);
        assert!(registry.is_empty());
    }

    #[tokio::test]
    async fn who_asks_for_a_cancel_waits_until_it_is_over() {
        let registry = Registry::default();
        let entry = registry.enter(b"key"[..].into());
        let mut asked = pin!(registry.cancel(entry.card.pid, b"key", LIMIT));
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
        assert!(entry.card.take(Signals::CANCEL));
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
        entry.card.cancel_is_over();
        assert!(asked.await);
    }
}
