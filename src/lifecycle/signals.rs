//! The process's signals: SIGTERM and SIGINT ask it to stop. SIGHUP is for [`super::certificates`] and [`super::rules`]:
//! files that the configuration names are read anew, the configuration itself is read once.

use std::io;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, from the moment at which [`Signals::listen`] returned; none of them ends the process by
/// itself any more.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Must be called inside a runtime. Fails if the handlers can't be set.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Ready at the next request to stop; what the first and the second mean is [`super::drain`]'s matter.
    pub fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.hangup.poll_recv(cx).is_ready() {
            tracing::info!("SIGHUP: certificates and files of rules are read anew, the configuration is not");
        }
        for (signal, name) in [(&mut self.terminate, "SIGTERM"), (&mut self.interrupt, "SIGINT")] {
            if signal.poll_recv(cx).is_ready() {
                tracing::info!("{name}: asked to stop");
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}
