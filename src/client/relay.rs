//! A logged-in client's working life: rest, ask for a server, exchange, give it back.
//!
//! ```text
//!           first bytes         lent                    nothing owed
//!   rest ───────────────▶ queue ─────▶ exchange ───────────────────────▶ settle ──▶ rest
//!    ▲                                    ▲  transaction open, pinned        │
//!    └── no buffer, no timer, no server   └──────────────────────────────────┘
//! ```
//! Invariant: a server leaves a client's hand by a proof that it is clean, or ends.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::card::{Card, Signals};
use super::clock::{Clock, Doing};
use super::duplex::{Duplex, End, Loss};
use super::half_open::HalfOpen;
use super::house::Home;
use super::listen;
use super::queue::Prepared;
use super::transfer::{poll_read, poll_write};
use super::working::Working;
use crate::net::stream::Stream;
use crate::pool::key::{Moment, Profile, ServerId};
use crate::server::lease::Lease;
use crate::session::client::ClientState;
use crate::session::pins::Hold;
use crate::session::requests::check;
use crate::wire::fault::Fault;
use crate::wire::lane::{LARGE, Lane};
use crate::wire::tag::frontend as f;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Servers that may be lost while they are made ready for a request.
const SERVERS_TRIED: u32 = 3;

pub(super) struct Client {
    pub stream: Stream,
    pub half_open: HalfOpen,
    pub state: ClientState,
    pub card: Arc<Card>,
    pub home: Arc<Home>,
    pub profile: Arc<Profile>,
    /// When it gave back its last server.
    pub rested: Option<Moment>,
    /// Where it was served last.
    pub last: Option<ServerId>,
    /// Where it listens while it rests.
    pub subscription: listen::Place,
    /// None while there is no byte to hold.
    pub lanes: Option<Box<Working>>,
    pub clock: Clock,
    /// Some of its statements were analysed in another dialect than its settings have now.
    pub speaks_otherwise: bool,
    /// Told at the next request: its server was lost while it asked for nothing.
    pub bad_news: Option<Box<Fault>>,
}

impl Client {
    /// Runs until the client goes; returns why, when it wasn't the client's own wish.
    pub(super) async fn run(mut self: Box<Self>) -> Option<Fault> {
        // A bug that panics ends this client alone: its lease, which lives in there, ends the server.
        let worked = caught(pin!(self.work())).await;
        let (lease, end) = worked.unwrap_or((None, End::Fault(Fault::Internal)));
        self.part_boxed(lease, end).await
    }

    /// Ends with the server that the client had then.
    async fn work(&mut self) -> (Option<Lease>, End) {
        loop {
            let lease = match self.next_lease().await {
                Ok(lease) => lease,
                Err(end) => return (None, end),
            };
            if let Err(over) = self.work_with(lease).await {
                return over;
            }
        }
    }

    /// Until the server is given back.
    async fn work_with(&mut self, mut lease: Lease) -> Result<(), (Option<Lease>, End)> {
        loop {
            let after = match self.exchange(&mut lease).await {
                End::Rest => match self.release(lease) {
                    None => return Ok(()),
                    Some(lease) => self.settle_boxed(lease, false),
                },
                End::Lingered => self.settle_boxed(lease, true),
                End::ServerGone(loss) => self.lose_boxed(lease, loss),
                end => return Err((Some(lease), end)),
            };
            lease = match after.await {
                Ok(Some(kept)) => kept,
                Ok(None) => return Ok(()),
                Err(end) => return Err((None, end)),
            };
        }
    }

    /// Rests until there is a request, then waits for a server; requests that get none are answered.
    async fn next_lease(&mut self) -> Result<Lease, End> {
        loop {
            poll_fn(|cx| self.poll_request(cx)).await?;
            let news = match self.bad_news.take() {
                Some(news) => *news,
                None => match self.own_server().await? {
                    Ok(lease) => return Ok(lease),
                    Err(fault) => fault,
                },
            };
            self.refuse_boxed(news).await?;
        }
    }

    /// A server that is as the client left its last one.
    async fn own_server(&mut self) -> Result<Result<Lease, Fault>, End> {
        // Not the fault itself: that would be room in the future of every client.
        let mut was_refused = false;
        for _ in 0..SERVERS_TRIED {
            let mut lease = match self.checkout().await? {
                Ok(lease) => lease,
                Err(fault) => return Ok(Err(fault)),
            };
            if self.fits(&mut lease) {
                return Ok(Ok(lease));
            }
            match self.prepare_boxed(lease).await {
                Ok(Prepared::Ready(lease)) => return Ok(Ok(lease)),
                Ok(Prepared::Refused(_)) if !was_refused => was_refused = true,
                Ok(Prepared::Lost) => {}
                Ok(Prepared::Refused(fault)) | Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Err(Fault::ReplayFailed("servers are lost".to_owned())))
    }

    // What is rare is boxed, so that it takes no room in the future of a client at rest.

    fn prepare_boxed(&mut self, lease: Lease) -> Boxed<'_, Result<Prepared, Fault>> {
        Box::pin(self.prepare(lease))
    }

    fn settle_boxed(&mut self, lease: Lease, lingered: bool) -> Boxed<'_, Result<Option<Lease>, End>> {
        Box::pin(self.settle(lease, lingered))
    }

    fn lose_boxed(&mut self, lease: Lease, loss: Loss) -> Boxed<'_, Result<Option<Lease>, End>> {
        Box::pin(self.lose(lease, loss))
    }

    fn refuse_boxed(&mut self, fault: Fault) -> Boxed<'_, Result<(), End>> {
        Box::pin(self.refuse(fault))
    }

    fn part_boxed(self: Box<Self>, lease: Option<Lease>, end: End) -> Boxed<'static, Option<Fault>> {
        Box::pin(self.part(lease, end))
    }

    async fn exchange(&mut self, lease: &mut Lease) -> End {
        self.working().worked = false;
        // Borrowed anew in each poll: a client that waits keeps no pointers to itself.
        poll_fn(|cx| match self.gives_back(lease) {
            true => Poll::Ready(End::Rest),
            false => self.duplex(lease).poll(cx),
        })
        .await
    }

    /// Whether the client keeps a server that it can do without, asks nothing of it, and others wait for it.
    fn gives_back(&self, lease: &Lease) -> bool {
        lease.ledger.is_at_rest()
            && self.holds_nothing()
            && matches!(self.state.pins.hold(), Some(Hold::Channels | Hold::Convenient(_)))
            && lease.is_asked_back()
    }

    fn duplex<'a>(&'a mut self, lease: &'a mut Lease) -> Duplex<'a> {
        let lingers = self.lingers();
        let (server, stopwatch) = lease.parts();
        Duplex {
            stream: &mut self.stream,
            half_open: &mut self.half_open,
            server,
            stopwatch,
            state: &mut self.state,
            home: &self.home,
            lanes: self.lanes.get_or_insert_with(Working::take),
            card: &self.card,
            clock: &mut self.clock,
            lingers,
        }
    }
}

/// What a future came to; `None` if it panicked. The process' hook has told of it by then.
fn caught<F: Future>(mut future: Pin<&mut F>) -> impl Future<Output = Option<F::Output>> {
    poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
}

// -- resting

/// What the bytes of a client without a server begin with.
enum Beginning {
    Nothing,
    /// A message, or more of one than is gathered here.
    Request,
    Goodbye,
    /// Copy data of a copy that has failed already.
    Late(usize),
}

impl Client {
    /// Ready when there is something to ask a server for. Small messages are waited for whole, so that a client
    /// that sends slowly holds no server meanwhile.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            self.hear_at_rest()?;
            if self.owes_answer() {
                ready!(self.poll_flush(cx))?;
                continue;
            }
            match self.beginning().map_err(End::Fault)? {
                Beginning::Request => {
                    self.clock.asked();
                    return Poll::Ready(Ok(()));
                }
                Beginning::Goodbye => return Poll::Ready(Err(End::Goodbye)),
                Beginning::Late(total) => {
                    self.working().up.discard(total);
                    continue;
                }
                Beginning::Nothing if self.half_open.is_closed() => return Poll::Ready(Err(End::ClientGone)),
                Beginning::Nothing => {}
            }
            ready!(self.poll_more(cx))?;
        }
    }

    fn beginning(&self) -> Result<Beginning, Fault> {
        let Some(lanes) = &self.lanes else { return Ok(Beginning::Nothing) };
        let frame = lanes.up.frame().map_err(|error| Fault::ProtocolViolation(error.to_string()))?;
        let Some(frame) = frame else { return Ok(Beginning::Nothing) };
        check(frame.tag, frame.total)?;
        Ok(match frame.tag {
            f::TERMINATE => Beginning::Goodbye,
            f::COPY_DATA | f::COPY_DONE | f::COPY_FAIL => Beginning::Late(frame.total),
            _ if frame.is_whole() || Lane::must_stream(frame.total) => Beginning::Request,
            _ => Beginning::Nothing,
        })
    }

    /// Reads more; gives the buffers back and waits without any while there is nothing to hold.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.lanes.as_ref().is_some_and(|lanes| lanes.up.is_empty() && lanes.down.is_empty())
            && let Some(lanes) = self.lanes.take()
        {
            lanes.give_back();
        }
        if self.lanes.is_none() && self.stream.poll_read_ready(cx).is_pending() {
            return self.poll_rested_too_long(cx);
        }
        let lanes = self.lanes.get_or_insert_with(Working::take);
        match poll_read(&mut self.stream, cx, &mut lanes.up) {
            Poll::Pending => {
                if let Some(lanes) = self.lanes.take_if(|lanes| lanes.up.is_empty()) {
                    lanes.give_back();
                }
                self.poll_rested_too_long(cx)
            }
            Poll::Ready(Ok(0)) => {
                self.half_open.close();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(count)) => {
                lanes.work.bytes_up += count as u64;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::ClientGone)),
        }
    }

    fn poll_rested_too_long(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let known = || self.home.known.idle_timeout(self.profile.id);
        let beginning = *self.profile.idle_timeout.get_or_init(known);
        let session_may_rest = self.state.settings.idle_timeout_over(beginning);
        self.poll_overdue(cx, Doing { resting: true, session_may_rest, ..Doing::default() })
    }

    /// A client without a server that takes too long is ended.
    fn poll_overdue(&mut self, cx: &mut Context<'_>, doing: Doing) -> Poll<Result<(), End>> {
        let overdue = ready!(self.clock.poll(cx, &self.home.deadlines, doing, &self.stream));
        overdue.into_fault().map_or(Poll::Pending, |fault| Poll::Ready(Err(End::Fault(fault))))
    }

    /// Writes what is left of the last answer.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        while self.owes_answer() {
            let lanes = self.lanes.get_or_insert_with(Working::take);
            match poll_write(&mut self.stream, cx, &mut lanes.down) {
                Poll::Ready(Ok(count)) => self.clock.wrote(count),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::ClientGone)),
                Poll::Pending => return self.poll_overdue(cx, Doing { stalled: true, ..Doing::default() }),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn owes_answer(&self) -> bool {
        self.lanes.as_ref().is_some_and(|lanes| lanes.down.has_output()) || self.stream.is_sending()
    }

    fn hear_at_rest(&mut self) -> Result<(), End> {
        let pending = self.card.pending();
        if pending.is_empty() {
            return Ok(());
        }
        if pending.has(Signals::KILL) || (pending.has(Signals::DRAIN) && self.holds_nothing()) {
            return Err(End::Fault(Fault::Shutdown));
        }
        if pending.has(Signals::NOTIFIED) {
            self.hear_notifications().map_err(End::Fault)?;
        }
        // There is nothing to cancel.
        if self.card.take(Signals::CANCEL) {
            self.card.cancel_is_over();
        }
        self.card.take(Signals::CANCEL_SENT);
        Ok(())
    }

    fn holds_nothing(&self) -> bool {
        self.lanes.as_ref().is_none_or(|lanes| lanes.up.is_empty() && lanes.down.is_empty())
    }

    pub(super) fn working(&mut self) -> &mut Working {
        self.lanes.get_or_insert_with(Working::take)
    }
}

// Thousands of idle clients are our memory promise. The allocator hands out 320 bytes for anything above 256.
const _: () = assert!(size_of::<Client>() <= 320);
const _: () = assert!(LARGE >= 1 << 16, "a message that doesn't stream fits the buffer");
