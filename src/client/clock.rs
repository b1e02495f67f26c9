//! How long a working client and its server may take, told apart by what is going on.
//!
//! Reads the clock only for deadlines that are set. Invariant: a span begins when its state is first seen at the
//! end of a poll and ends when it is seen no more.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::deadline::Deadlines;
use super::stall::Stall;
use crate::net::stream::Stream;
use crate::wire::fault::Fault;

/// For the server to answer a cancel.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// For a client that listens and works to ask for more, before its channels leave its server. Moving them costs more
/// than most requests do.
const LINGER: Duration = Duration::from_millis(100);

/// What took too long.
#[derive(Debug)]
pub(super) enum Overdue {
    /// A statement, which is to be cancelled.
    Query(Fault),
    /// A statement that was cancelled for its time and goes on.
    Cancelled(Fault),
    /// The client, which is to be ended.
    Client(Fault),
    /// Nothing: the client has paused, and its channels may leave its server.
    Lingered,
}

impl Overdue {
    /// What the client hears of it, if anything.
    pub(super) fn into_fault(self) -> Option<Fault> {
        match self {
            Self::Query(fault) | Self::Cancelled(fault) | Self::Client(fault) => Some(fault),
            Self::Lingered => None,
        }
    }
}

/// Made when the first span begins: most clients never need one.
#[derive(Debug, Default)]
pub(super) struct Clock(Option<Box<Spans>>);

#[derive(Debug, Default)]
struct Spans {
    alarm: Alarm,
    query: Option<Instant>,
    cancelled: Option<Instant>,
    transaction: Option<Instant>,
    pause: Option<Instant>,
    stall: Stall,
    rest: Option<Instant>,
    linger: Option<Instant>,
}

/// What goes on between a client and its server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doing {
    /// The server has something to answer.
    pub owed: bool,
    /// A transaction is open.
    pub in_transaction: bool,
    /// An answer waits for the client to read.
    pub stalled: bool,
    /// The client asks for nothing, be it without a server or with one that it keeps.
    pub resting: bool,
    /// It asks for nothing, and has a server only because it listens.
    pub lingering: bool,
    /// How long its session may, by its own `idle_session_timeout`. With a server that is PostgreSQL's to keep.
    pub session_may_rest: Option<Duration>,
}

/// A fault with the limit that was passed.
type Told = fn(Duration) -> Fault;

impl Doing {
    /// The shorter bound on a rest, and what the client hears then.
    fn rest(self, deadlines: &Deadlines) -> Option<(Duration, Told)> {
        let own = self.session_may_rest.map(|limit| (limit, Fault::IdleSession as Told));
        let ours = deadlines.client_idle.map(|limit| (limit, Fault::IdleClient as Told));
        own.into_iter().chain(ours).min_by_key(|(limit, _)| *limit)
    }
}

impl Clock {
    /// The client's socket took some of its answer.
    pub(super) fn wrote(&mut self, count: usize) {
        if let Some(spans) = &mut self.0 {
            spans.stall.wrote(count);
        }
    }

    /// A transaction ended, or the lease did.
    pub(super) fn released(&mut self) {
        if let Some(spans) = &mut self.0 {
            (spans.query, spans.cancelled, spans.transaction, spans.pause) = (None, None, None, None);
            (spans.rest, spans.linger) = (None, None);
        }
    }

    /// The client has asked for something.
    pub(super) fn asked(&mut self) {
        if let Some(spans) = &mut self.0 {
            spans.rest = None;
        }
    }

    /// Ready when something took too long.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadlines: &Deadlines,
        doing: Doing,
        stream: &Stream,
    ) -> Poll<Overdue> {
        let Doing { owed, in_transaction, stalled, resting, lingering, .. } = doing;
        let on = [
            deadlines.query.is_some() && owed,
            deadlines.transaction.is_some() && (in_transaction || owed),
            deadlines.idle_in_transaction.is_some() && in_transaction && !owed && !stalled,
            resting && !stalled && (deadlines.client_idle.is_some() || doing.session_may_rest.is_some()),
            lingering,
        ];
        let stall = deadlines.write_stall.filter(|_| stalled);
        if self.0.is_none() && stall.is_none() && !on.contains(&true) {
            return Poll::Pending;
        }
        let spans = self.0.get_or_insert_default();
        spans.follow(on, stall);
        spans.poll(cx, deadlines, doing.rest(deadlines), stream)
    }
}

impl Spans {
    fn follow(&mut self, on: [bool; 5], stall: Option<Duration>) {
        let spans =
            [&mut self.query, &mut self.transaction, &mut self.pause, &mut self.rest, &mut self.linger];
        spans.into_iter().zip(on).for_each(|(since, on)| follow(since, on));
        if self.query.is_none() {
            self.cancelled = None;
        }
        self.stall.follow(stall);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadlines: &Deadlines,
        rest: Option<(Duration, Told)>,
        stream: &Stream,
    ) -> Poll<Overdue> {
        while let Some((at, limit, kind)) = self.next(deadlines, rest) {
            ready!(self.alarm.poll(cx, at));
            match kind {
                Kind::Stall if self.stall.keeps_up(limit, stream.unsent()) => {}
                kind => return Poll::Ready(self.overdue(kind, limit, deadlines)),
            }
        }
        Poll::Pending
    }

    /// What is due first, and the limit that it is about.
    fn next(
        &self,
        deadlines: &Deadlines,
        rest: Option<(Duration, Told)>,
    ) -> Option<(Instant, Duration, Kind)> {
        let ends = [
            (self.query.filter(|_| self.cancelled.is_none()), deadlines.query, Kind::Query),
            (self.cancelled, Some(CANCEL_GRACE), Kind::Cancelled),
            (self.transaction, deadlines.transaction, Kind::Transaction),
            (self.pause, deadlines.idle_in_transaction, Kind::Pause),
            (self.rest, rest.map(|(limit, _)| limit), Kind::Rest(rest.map(|(_, fault)| fault))),
            (self.linger, Some(LINGER), Kind::Linger),
        ];
        let ends = ends.into_iter().filter_map(|(since, limit, kind)| Some((since? + limit?, limit?, kind)));
        let look = self.stall.next_look().zip(deadlines.write_stall);
        ends.chain(look.map(|(at, limit)| (at, limit, Kind::Stall))).min_by_key(|(at, ..)| *at)
    }

    fn overdue(&mut self, kind: Kind, limit: Duration, deadlines: &Deadlines) -> Overdue {
        match kind {
            Kind::Query => {
                self.cancelled = Some(Instant::now());
                Overdue::Query(Fault::QueryTimeout(limit))
            }
            Kind::Cancelled => Overdue::Cancelled(Fault::QueryTimeout(deadlines.query.unwrap_or(limit))),
            Kind::Transaction => Overdue::Client(Fault::TransactionTimeout(limit)),
            Kind::Pause => Overdue::Client(Fault::IdleInTransaction(limit)),
            Kind::Stall => Overdue::Client(Fault::WriteStall(limit)),
            Kind::Rest(fault) => Overdue::Client(fault.unwrap_or(Fault::IdleClient)(limit)),
            Kind::Linger => {
                self.linger = None;
                Overdue::Lingered
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Query,
    Cancelled,
    Transaction,
    Pause,
    Stall,
    Rest(Option<Told>),
    Linger,
}

/// A span lasts as long as its state does.
fn follow(since: &mut Option<Instant>, on: bool) {
    match (on, &since) {
        (true, None) => *since = Some(Instant::now()),
        (false, Some(_)) => *since = None,
        _ => {}
    }
}
