//! How long a working client and its server may take, told apart by what is going on.
//!
//! Reads the clock only for deadlines that are set. Invariant: a span begins when its state is first seen at the
//! end of a poll and ends when it is seen no more.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::deadline::Deadlines;
use crate::wire::fault::Fault;

/// For the server to answer a cancel.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// What took too long.
#[derive(Debug)]
pub(super) enum Overdue {
    /// A statement, which is to be cancelled.
    Query(Fault),
    /// A statement that was cancelled for its time and goes on.
    Cancelled(Fault),
    /// The client, which is to be ended.
    Client(Fault),
}

#[derive(Debug, Default)]
pub(super) struct Clock {
    deadlines: Deadlines,
    alarm: Alarm,
    query: Option<Instant>,
    cancelled: Option<Instant>,
    transaction: Option<Instant>,
    pause: Option<Instant>,
    stall: Option<Instant>,
    rest: Option<Instant>,
}

impl Clock {
    pub(super) fn new(deadlines: Deadlines) -> Self {
        Self { deadlines, ..Self::default() }
    }

    /// The client took some of its answer.
    pub(super) fn client_reads(&mut self) {
        self.stall = None;
    }

    /// A transaction ended, or the lease did.
    pub(super) fn released(&mut self) {
        (self.query, self.cancelled, self.transaction, self.pause) = (None, None, None, None);
    }

    /// Ready when something took too long. `owed`: the server has something to answer; `in_transaction`: one is
    /// open; `stalled`: an answer waits for the client to read.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        owed: bool,
        in_transaction: bool,
        stalled: bool,
    ) -> Poll<Overdue> {
        let Deadlines { query, transaction, idle_in_transaction, write_stall, .. } = self.deadlines;
        follow(&mut self.query, query.is_some() && owed);
        follow(&mut self.transaction, transaction.is_some() && in_transaction);
        follow(&mut self.pause, idle_in_transaction.is_some() && in_transaction && !owed && !stalled);
        follow(&mut self.stall, write_stall.is_some() && stalled);
        if self.query.is_none() {
            self.cancelled = None;
        }
        let spans = [
            (self.query.filter(|_| self.cancelled.is_none()), query, Kind::Query),
            (self.cancelled, Some(CANCEL_GRACE), Kind::Cancelled),
            (self.transaction, transaction, Kind::Transaction),
            (self.pause, idle_in_transaction, Kind::Pause),
            (self.stall, write_stall, Kind::Stall),
        ];
        let due = spans.into_iter().filter_map(|(since, limit, kind)| Some((since? + limit?, limit?, kind)));
        let Some((at, limit, kind)) = due.min_by_key(|(at, ..)| *at) else { return Poll::Pending };
        ready!(self.alarm.poll(cx, at));
        Poll::Ready(self.overdue(kind, limit))
    }

    fn overdue(&mut self, kind: Kind, limit: Duration) -> Overdue {
        match kind {
            Kind::Query => {
                self.cancelled = Some(Instant::now());
                Overdue::Query(Fault::QueryTimeout(limit))
            }
            Kind::Cancelled => Overdue::Cancelled(Fault::QueryTimeout(self.deadlines.query.unwrap_or(limit))),
            Kind::Transaction => Overdue::Client(Fault::TransactionTimeout(limit)),
            Kind::Pause => Overdue::Client(Fault::IdleInTransaction(limit)),
            Kind::Stall => Overdue::Client(Fault::WriteStall(limit)),
        }
    }

    /// Ready when a client between two transactions has paused too long, or doesn't read what was left for it.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>, stalled: bool) -> Poll<Overdue> {
        follow(&mut self.rest, self.deadlines.client_idle.is_some() && !stalled);
        match (self.rest, self.deadlines.client_idle) {
            (Some(since), Some(limit)) => {
                ready!(self.alarm.poll(cx, since + limit));
                Poll::Ready(Overdue::Client(Fault::IdleClient(limit)))
            }
            _ => self.poll(cx, false, false, stalled),
        }
    }

    /// The client has asked for something.
    pub(super) fn asked(&mut self) {
        self.rest = None;
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Query,
    Cancelled,
    Transaction,
    Pause,
    Stall,
}

/// A span lasts as long as its state does.
fn follow(since: &mut Option<Instant>, on: bool) {
    match (on, &since) {
        (true, None) => *since = Some(Instant::now()),
        (false, Some(_)) => *since = None,
        _ => {}
    }
}
