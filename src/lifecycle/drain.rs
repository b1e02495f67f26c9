//! How the process ends: the stages of a drain, and the shell that walks through them.
//!
//! ```text
//!             stop                     delay over            last client gone
//!   Serving ────────▶ Announced ────────────────▶ Finishing ──────────────────▶ Ended(Finished)
//!             │  /readyz 503, work goes on          ▲   │ │
//!             └──────────── no delay ───────────────┘   │ │ timeout, or a second stop
//!                                                       ▼ ▼
//!                         (a second stop, too) ───▶   Ending ─────────────────▶ Ended(TimedOut | Forced)
//!                                                          gone, or LAST_WORDS over
//! ```
//! Entering `Finishing` closes the listeners, then tells idle clients 57P01; transactions and queued clients go
//! on. Entering `Ending` ends every client. Invariant: each stage but `Serving` has an end in time.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::shutdown::Shutdown;
use crate::observe::readiness::Readiness;

/// For clients that are ended to hear why, and for listeners to close.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// `/readyz` says 503 so that nobody sends new clients here; everything else goes on.
    Announced {
        until: Instant,
    },
    /// Nobody new; whoever has work may finish it.
    Finishing {
        until: Instant,
    },
    /// Everybody is told to go.
    Ending {
        until: Instant,
        because: Outcome,
    },
    Ended(Outcome),
}

/// How it ended; all of them are "stopped as asked".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every client had finished.
    Finished,
    /// Clients were ended when `shutdown.timeout` was over.
    TimedOut,
    /// Clients were ended by the second request to stop.
    Forced,
}

/// What moves the process from stage to stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request to stop.
    Stop,
    /// The stage's `until` has come.
    Over,
    /// The last client is gone, and no listener can bring another.
    Gone,
}

impl Stage {
    /// The stage behind `event`; itself if the event means nothing here.
    #[must_use]
    pub fn next(self, event: Event, now: Instant, settings: &Shutdown) -> Self {
        let finishing = Self::Finishing { until: now + settings.timeout };
        let ending = |because| Self::Ending { until: now + LAST_WORDS, because };
        match (self, event) {
            (Self::Serving, Event::Stop) if settings.delay.is_zero() => finishing,
            (Self::Serving, Event::Stop) => Self::Announced { until: now + settings.delay },
            (Self::Announced { .. }, Event::Over) => finishing,
            (Self::Announced { .. } | Self::Finishing { .. }, Event::Stop) => ending(Outcome::Forced),
            (Self::Finishing { .. }, Event::Over) => ending(Outcome::TimedOut),
            (Self::Finishing { .. }, Event::Gone) => Self::Ended(Outcome::Finished),
            (Self::Ending { because, .. }, _) => Self::Ended(because),
            (Self::Serving | Self::Announced { .. } | Self::Ended(_), _) => self,
        }
    }

    /// When [`Event::Over`] is due.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Announced { until } | Self::Finishing { until } | Self::Ending { until, .. } => Some(until),
            Self::Serving | Self::Ended(_) => None,
        }
    }
}

/// What a drain pulls at. Clones share the same strings.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    pub readiness: Arc<Readiness>,
    /// Cancelled: listeners close. Every listener's task is spawned on `listeners`.
    pub close: CancellationToken,
    pub listeners: TaskTracker,
    /// Cancelled: a client goes with 57P01 as soon as it is idle.
    pub drain: CancellationToken,
    /// Cancelled: a client goes with 57P01 now, whatever it does.
    pub end: CancellationToken,
    /// Every client's task is spawned on this.
    pub clients: TaskTracker,
}

impl Strings {
    /// Serves until `poll_stop` is ready, then walks through the stages; returns when the process may exit.
    /// `poll_stop` is asked on for further requests ([`super::signals::Signals::poll_stop`] is meant).
    pub async fn run(
        &self,
        settings: &Shutdown,
        mut poll_stop: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Outcome {
        let mut stage = Stage::Serving;
        loop {
            let event = tokio::select! {
                () = poll_fn(&mut poll_stop) => Event::Stop,
                () = until(stage.until()) => Event::Over,
                // Pends until the tracker is closed, when no listener is left to bring a client.
                () = self.clients.wait() => Event::Gone,
            };
            let next = stage.next(event, Instant::now(), settings);
            if next != stage {
                self.enter(next).await;
            }
            stage = next;
            if let Stage::Ended(outcome) = stage {
                return outcome;
            }
        }
    }

    async fn enter(&self, stage: Stage) {
        match stage {
            Stage::Serving => {}
            Stage::Announced { .. } => {
                tracing::info!("draining: /readyz says so, work goes on");
                self.readiness.draining();
            }
            Stage::Finishing { .. } => {
                tracing::info!(clients = self.clients.len(), "draining: closing listeners and idle clients");
                self.readiness.draining();
                self.stop_accepting().await;
                self.drain.cancel();
            }
            Stage::Ending { because, .. } => {
                tracing::warn!(clients = self.clients.len(), ?because, "ending all clients");
                self.readiness.draining();
                self.stop_accepting().await;
                self.drain.cancel();
                self.end.cancel();
            }
            Stage::Ended(outcome) => {
                tracing::info!(?outcome, clients_left = self.clients.len(), "drained");
            }
        }
    }

    /// Listeners first: a client that is sent away and comes back at once must not be let in here.
    async fn stop_accepting(&self) {
        self.close.cancel();
        self.listeners.close();
        if tokio::time::timeout(LAST_WORDS, self.listeners.wait()).await.is_err() {
            tracing::warn!("a listener did not close in time");
        }
        self.clients.close();
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
