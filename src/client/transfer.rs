//! One read into a lane, one write from it.
//!
//! Depends on `net::stream`, `wire::lane`. Invariant: at most one system call each, and none where the runtime knows that
//! it would not succeed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::stream::Stream;
use crate::wire::lane::Lane;

/// Reads once into a lane; a read that fills the buffer makes the next one larger.
pub(super) fn poll_read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    lane: &mut Lane,
) -> Poll<io::Result<usize>> {
    let room = lane.room();
    if room.is_empty() {
        return Poll::Pending;
    }
    let mut buffer = ReadBuf::new(room);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let (count, full) = (buffer.filled().len(), buffer.remaining() == 0);
    lane.filled(count);
    if full {
        lane.widen();
    }
    Poll::Ready(Ok(count))
}

/// Writes once what a lane has to say, made bytes and the run behind them in one call; or sends on what an earlier
/// write has left.
pub(super) fn poll_write(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    lane: &mut Lane,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let written = match lane.output() {
        ([], []) => return stream.poll_flush(cx).map_ok(|()| 0),
        (made, []) => stream.poll_write(cx, made),
        ([], run) => stream.poll_write(cx, run),
        (made, run) => stream.poll_write_vectored(cx, &[IoSlice::new(made), IoSlice::new(run)]),
    };
    let count = ready!(written)?;
    if count == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    lane.wrote(count);
    Poll::Ready(Ok(count))
}
