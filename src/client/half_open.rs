//! A client that has closed its side: did it only stop asking, or is it gone?
//!
//! Both look the same to a reader. PostgreSQL answers a client that shut down its sending side, so pgweir must
//! too; but a query for a client that vanished should be cancelled. What tells them apart is a write: a socket that
//! is closed for good answers it with a reset. So one ParameterStatus with a value that the client knows already is
//! sent (the protocol allows one at any time), and the socket is asked for its error for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::net::stream::Stream;
use crate::session::params::Params;
use crate::wire::write;

const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) enum HalfOpen {
    /// It may still ask.
    #[default]
    Open,
    Closed,
    /// It was written to.
    Probed(Box<Watch>),
}

#[derive(Debug)]
pub(super) struct Watch {
    /// The next look.
    at: Instant,
    pause: Duration,
    alarm: Alarm,
}

/// The client is gone.
pub(super) struct Gone;

impl HalfOpen {
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self, Self::Open)
    }

    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }

    /// To be called between two messages to the client; wakes the task for the next look.
    pub(super) fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        told: &Params,
    ) -> Result<(), Gone> {
        if let Self::Closed = self {
            probe(cx, stream, told)?;
            let at = Instant::now() + FIRST_LOOK;
            *self = Self::Probed(Box::new(Watch { at, pause: FIRST_LOOK, alarm: Alarm::default() }));
        }
        let Self::Probed(watch) = self else { return Ok(()) };
        while watch.alarm.poll(cx, watch.at).is_ready() {
            if has_failed(stream) {
                return Err(Gone);
            }
            watch.pause = (watch.pause * 2).min(LAST_PAUSE);
            watch.at = Instant::now() + watch.pause;
        }
        Ok(())
    }
}

fn probe(cx: &mut Context<'_>, stream: &mut Stream, told: &Params) -> Result<(), Gone> {
    let mut message = Vec::new();
    let encoding = told.get("client_encoding").unwrap_or("UTF8");
    write::parameter_status(&mut message, b"client_encoding", encoding.as_bytes());
    match Pin::new(stream).poll_write(cx, &message) {
        // A part of it can't be taken back; a full buffer shows a client that was there a moment ago.
        Poll::Ready(Ok(count)) if count == message.len() => Ok(()),
        Poll::Ready(_) => Err(Gone),
        Poll::Pending => Ok(()),
    }
}

fn has_failed(stream: &Stream) -> bool {
    !matches!(stream.take_error(), Ok(None))
}
