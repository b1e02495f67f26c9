//! What the pool hands out and what it says. Depends on `key`.
//!
//! Invariant: a [`Permit`] is made where a server is ordered to be opened, can't be copied, and ends where the pool
//! is told that no backend exists under it any more.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::Ticket;
use crate::pool::key::{Label, ProfileId, ServerId};
use crate::pool::stopwatch::Stopwatch;
use crate::wire::sqlstate::SqlState;

/// One backend may exist. It ends at [`gone`](super::Core::gone) or [`failed`](super::Core::failed), nowhere else.
#[must_use = "a permit that is lost is a server less for good"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(pub(super) ServerId);

/// A server and the permit under which its backend exists.
#[must_use]
#[derive(Debug)]
pub struct Held<S> {
    pub server: S,
    /// The settings that the server has; whoever changes them changes this.
    pub label: Label,
    /// Boxed: the future of every client has room for a server.
    pub stopwatch: Box<Stopwatch>,
    pub(super) profile: ProfileId,
    pub(super) permit: Permit,
}

/// How a server is pinned.
#[derive(Debug)]
pub struct Pin<W> {
    pub reason: &'static str,
    /// Whether the pool may have another server in its place even if it has more than a few so.
    pub is_replaced: bool,
    /// Its client can do without it, and is woken so when somebody waits to whom nothing else can be given.
    pub yields: Option<W>,
}

impl<W> Pin<W> {
    /// One that its client can't do without.
    pub fn needed(reason: &'static str) -> Self {
        Self { reason, is_replaced: true, yields: None }
    }
}

/// The answer to a wish.
#[derive(Debug)]
pub enum Checkout<S> {
    Lent(Held<S>),
    /// Wait to be woken, then [`Core::collect`](super::Core::collect).
    Queued(Ticket),
    Refused(Refusal),
}

/// Why a client gets no server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("all {size} servers are busy and {limit} clients wait already")]
    QueueFull { size: u32, limit: u32 },
    #[error("no server became free within {} s", .waited.as_secs_f32())]
    QueueTimeout { waited: Duration, size: u32, pins: Vec<&'static str> },
    #[error("the server can't be reached: {why}")]
    Unreachable { why: Arc<str> },
    /// PostgreSQL's own words about this login or its startup parameters.
    #[error("{message}")]
    Rejected { sqlstate: SqlState, message: Arc<str> },
    #[error("shutting down")]
    Draining,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Order<S> {
    /// Open a server with these startup parameters; then [`opened`](super::Core::opened) or
    /// [`failed`](super::Core::failed).
    Open { permit: Permit, profile: ProfileId },
    /// Close it, wait until its backend has really ended; then [`gone`](super::Core::gone).
    Close { server: S, permit: Permit, why: Ended },
    /// Places under the [ceilings](crate::pool::limits::Ceilings) are free for other pools, or lacking: call
    /// [`retry`](super::Core::retry) on those that are `ready`, then, if one is still `hungry`,
    /// [`shed`](super::Core::shed) on all.
    Share,
}

/// Why a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `server_lifetime` is over.
    Age,
    /// `server_idle_timeout` is over.
    Idle,
    /// A client of another profile needs its place.
    Room,
    /// There are more than `size` allows.
    Excess,
    /// A pool that is worse off needs its place.
    Yielded,
    Drained,
    /// No client has the pool, and its database may be wanted for something else.
    Vacated,
    /// The connection was found dead, or no client can come for it any more.
    Dead,
}

impl<S> Held<S> {
    pub fn id(&self) -> ServerId {
        self.permit.0
    }

    pub fn profile(&self) -> ProfileId {
        self.profile
    }
}

impl Permit {
    pub fn id(&self) -> ServerId {
        self.0
    }
}
