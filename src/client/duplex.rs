//! The hot path: bytes between one client and the server that it was lent, both directions in one poll function.
//!
//! ```text
//!   client ──read──► up ──judge──► write──► server
//!   client ◄──write── down ◄──judge── read◄── server
//! ```
//!
//! Each turn is four named steps; a turn in which nothing moved ends the poll. Reads are tried only when the
//! runtime knows that they would succeed, and after a short read not again, so a query costs one receive and one
//! send on each side. What the messages mean is decided in `session::exchange`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use super::card::{Card, Signals};
use super::clock::{Clock, Doing, Overdue};
use super::half_open::HalfOpen;
use super::house::Home;
use super::transfer::{poll_read, poll_write};
use super::working::Working;
use crate::net::stream::Stream;
use crate::pool::settings::Mode;
use crate::pool::stopwatch::Stopwatch;
use crate::server::cancel;
use crate::server::connection::Connection;
use crate::session::client::ClientState;
use crate::session::exchange::{Exchange, Judged, ServerViolation};
use crate::session::server::Tx;
use crate::sql::Effects;
use crate::wire::fault::Fault;

/// Turns of one poll before others get theirs.
const TURNS: usize = 32;
/// Requests of one client that may be under way at once.
const PIPELINE: usize = 8192;

/// Why an exchange is over.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing is owed and no transaction is open.
    Rest,
    /// The same, and it has been so for a moment.
    Lingered,
    /// The client said goodbye.
    Goodbye,
    /// The client went without a word.
    ClientGone,
    /// The server is gone, or can't be used any more.
    ServerGone(Loss),
    /// The client can't stay.
    Fault(Fault),
}

/// How a server was lost.
#[derive(Debug)]
pub(super) enum Loss {
    Silent,
    /// It said why: the body of its FATAL error.
    Said(Box<[u8]>),
    /// It doesn't answer a cancel.
    Stuck(Fault),
    Violation(ServerViolation),
}

/// Everything that an exchange works with, borrowed from the client and its lease.
pub(super) struct Duplex<'a> {
    pub stream: &'a mut Stream,
    pub half_open: &'a mut HalfOpen,
    pub server: &'a mut Connection,
    pub stopwatch: &'a mut Stopwatch,
    pub state: &'a mut ClientState,
    pub home: &'a Home,
    pub lanes: &'a mut Working,
    pub card: &'a Arc<Card>,
    pub clock: &'a mut Clock,
    /// Has its server only because it listens, and could do without.
    pub lingers: bool,
}

impl Duplex<'_> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.turns(cx) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(End::Rest),
            Err(end) => Poll::Ready(end),
        }
    }

    fn turns(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        for _ in 0..TURNS {
            self.hear_signals()?;
            let mut moved = self.read_client(cx)?;
            moved |= self.judge_requests()?;
            moved |= self.write_server(cx);
            moved |= self.read_server(cx)?;
            self.check_statement_mode()?;
            moved |= self.write_client(cx)?;
            if self.is_at_rest() {
                return Ok(Poll::Ready(()));
            }
            if !moved {
                return self.wait(cx);
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// In statement mode no transaction outlives its statement.
    fn check_statement_mode(&self) -> Result<(), End> {
        match self.home.mode == Mode::Statement && self.server.ledger.tx != Tx::Idle {
            true => Err(End::Fault(Fault::StatementMode)),
            false => Ok(()),
        }
    }

    /// Answers that wait for a slow client don't keep its server.
    fn is_at_rest(&self) -> bool {
        self.lanes.worked
            && self.server.ledger.is_at_rest()
            && self.server.ledger.cancels.load(Ordering::Relaxed) == 0
            && !self.owes_server()
            && !self.lanes.up.is_passing()
            && self.lanes.down.is_between_messages()
    }

    fn owes_server(&self) -> bool {
        self.lanes.up.has_output() || self.server.stream.is_sending()
    }

    fn owes_client(&self) -> bool {
        self.lanes.down.has_output() || self.stream.is_sending()
    }
}

// -- client to server

impl Duplex<'_> {
    fn read_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.half_open.is_closed() || self.server.ledger.replies.len() >= PIPELINE {
            return Ok(false);
        }
        match poll_read(self.stream, cx, &mut self.lanes.up) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.half_open.close();
                Ok(true)
            }
            Poll::Ready(Ok(count)) => {
                self.lanes.work.bytes_up += count as u64;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(End::ClientGone),
        }
    }

    fn judge_requests(&mut self) -> Result<bool, End> {
        let mut moved = false;
        while self.server.ledger.replies.len() < PIPELINE {
            #[cfg(debug_assertions)]
            self.panic_if_asked();
            let capacity = self.lanes.up.capacity();
            match self.exchange().request() {
                Ok(Judged::Moved) => {
                    self.lanes.work.messages_up += 1;
                    moved = true;
                }
                Ok(Judged::Goodbye) if self.server.ledger.replies.is_empty() => return Err(End::Goodbye),
                // What it asked for before is answered first.
                Ok(Judged::Goodbye) => break,
                // A message that is read whole may have got a larger buffer.
                Ok(_) => {
                    moved |= self.lanes.up.capacity() != capacity;
                    break;
                }
                Err(fault) => return Err(End::Fault(fault)),
            }
        }
        if moved {
            self.lanes.worked = true;
            if !self.stopwatch.is_answering() {
                self.stopwatch.asked(Instant::now());
            }
            self.make_way();
        }
        Ok(moved)
    }

    /// PostgreSQL refuses some statements while our idle servers use a database.
    fn make_way(&self) {
        if self.state.touch.effects.intersects(Effects::DATABASE) {
            self.home.vacate.notify_one();
        }
    }

    /// A server that takes nothing any more is found gone when it is read.
    fn write_server(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.owes_server() {
            return false;
        }
        matches!(poll_write(&mut self.server.stream, cx, &mut self.lanes.up), Poll::Ready(Ok(_)))
    }
}

// -- server to client

impl Duplex<'_> {
    fn read_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Poll::Ready(read) = poll_read(&mut self.server.stream, cx, &mut self.lanes.down) else {
            return self.judge_answers();
        };
        match read {
            Ok(0) | Err(_) => Err(End::ServerGone(Loss::Silent)),
            Ok(count) => {
                self.lanes.work.bytes_down += count as u64;
                self.judge_answers()?;
                Ok(true)
            }
        }
    }

    fn judge_answers(&mut self) -> Result<bool, End> {
        let mut moved = false;
        loop {
            match self.exchange().answer() {
                Ok(Judged::Moved) => {
                    self.lanes.work.messages_down += 1;
                    moved = true;
                }
                Ok(Judged::ServerEnds) => {
                    let body = self.lanes.down.frame().ok().flatten().map_or(&[][..], |frame| frame.body);
                    return Err(End::ServerGone(Loss::Said(body.into())));
                }
                Ok(_) => return Ok(moved),
                Err(violation) => return Err(End::ServerGone(Loss::Violation(violation))),
            }
        }
    }

    fn write_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.owes_client() {
            return Ok(false);
        }
        match poll_write(self.stream, cx, &mut self.lanes.down) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(count)) => {
                self.clock.wrote(count);
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(End::ClientGone),
        }
    }
}

// -- the rare

/// A query that is a bug of ours, in builds for tests.
#[cfg(debug_assertions)]
const PANIC: &[u8] = b"-- pgweir, panic\0";

impl Duplex<'_> {
    #[cfg(debug_assertions)]
    fn panic_if_asked(&self) {
        if let Ok(Some(frame)) = self.lanes.up.frame() {
            assert!(frame.body != PANIC, "as was asked for");
        }
    }

    fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            pid: self.card.pid,
            client: self.state,
            server: &mut self.server.ledger,
            shared: &self.home.shared,
            up: &mut self.lanes.up,
            down: &mut self.lanes.down,
            work: &mut self.lanes.work,
            errors: &mut self.lanes.errors,
        }
    }

    fn hear_signals(&mut self) -> Result<(), End> {
        let pending = self.card.pending();
        if pending.is_empty() {
            return Ok(());
        }
        if pending.has(Signals::KILL) {
            return Err(End::Fault(Fault::Shutdown));
        }
        if pending.has(Signals::DRAIN) && self.is_idle() {
            return Err(End::Fault(Fault::Shutdown));
        }
        self.card.take(Signals::CANCEL_SENT);
        // A replay must not be hit: the request behind it would run without.
        if !self.server.ledger.replies.is_replaying() && self.card.take(Signals::CANCEL) {
            match self.server.ledger.replies.is_empty() {
                true => self.card.cancel_is_over(),
                false => self.cancel(),
            }
        }
        Ok(())
    }

    /// Holds a server, but asks nothing of it and is in no transaction.
    fn is_idle(&self) -> bool {
        self.server.ledger.is_at_rest() && self.lanes.up.is_empty() && self.lanes.down.is_empty()
    }

    /// One request at a time: more of them would hit nothing else. The server isn't lent on before it arrived.
    fn cancel(&mut self) {
        let cancels = self.server.ledger.cancels.clone();
        let Some(key) = self.server.key.clone() else { return self.card.cancel_is_over() };
        if cancels.load(Ordering::Relaxed) > 0 {
            return;
        }
        cancels.fetch_add(1, Ordering::Relaxed);
        self.home.counters.cancels_sent.inc();
        let (card, route, connector) =
            (self.card.clone(), self.server.route.clone(), self.server.connector.clone());
        tokio::spawn(async move {
            if let Err(error) = cancel::send(&connector.dialer, &route, &key).await {
                tracing::warn!(%error, "cancel request failed");
            }
            cancels.fetch_sub(1, Ordering::Release);
            card.cancel_is_over();
            card.signal(Signals::CANCEL_SENT);
        });
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        let owed = !self.server.ledger.replies.is_empty();
        if !owed && self.lanes.worked && self.stopwatch.is_answering() {
            self.stopwatch.pauses(Instant::now());
        }
        // A client that asks no more can't send the rest of a message or of a copy, or the Sync that an unfinished
        // batch needs.
        let replies = &self.server.ledger.replies;
        let unfinished = self.lanes.up.is_passing() || replies.is_copying_in() || !replies.awaits_ready();
        if self.half_open.is_closed() && unfinished && !self.owes_client() {
            return Err(End::ClientGone);
        }
        if self.half_open.is_closed() && self.lanes.down.is_between_messages() {
            self.half_open.poll_gone(cx, self.stream, &self.state.told).map_err(|_| End::ClientGone)?;
        }
        let (idle, lingers) = (self.is_idle(), self.lingers);
        let doing = Doing {
            owed,
            in_transaction: self.server.ledger.tx != Tx::Idle || self.server.ledger.unsynced,
            stalled: self.owes_client(),
            resting: idle && !lingers,
            lingering: idle && lingers,
            ..Doing::default()
        };
        match self.clock.poll(cx, &self.home.deadlines, doing, self.stream) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(overdue) => self.overdue(cx, overdue),
        }
    }

    fn overdue(&mut self, cx: &mut Context<'_>, overdue: Overdue) -> Result<Poll<()>, End> {
        match overdue {
            Overdue::Query(fault) => {
                self.state.cancel_reason = Some(Box::new(fault));
                self.cancel();
                cx.waker().wake_by_ref();
                Ok(Poll::Pending)
            }
            Overdue::Cancelled(fault) => Err(End::ServerGone(Loss::Stuck(fault))),
            Overdue::Client(fault) => Err(End::Fault(fault)),
            Overdue::Lingered => Err(End::Lingered),
        }
    }
}
