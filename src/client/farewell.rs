//! Bad news and goodbyes: a request that gets no server, a server that was lost, a client that goes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::duplex::{End, Loss};
use super::house::Home;
use super::recover::recover;
use super::relay::Client;
use super::transfer::poll_read;
use crate::pool::settings::Mode;
use crate::server::lease::Lease;
use crate::session::client::ClientState;
use crate::session::exchange::Exchange;
use crate::session::pins::Pins;
use crate::session::replies::{Awaits, Replies, Slot};
use crate::session::server::Tx;
use crate::sql::Effects;
use crate::wire::error::{self, ErrorFields};
use crate::wire::fault::{Fault, Phase, Severity};
use crate::wire::sqlstate::SqlState;
use crate::wire::tag::frontend as f;
use crate::wire::write;

/// How long a client may take to read why it has to go.
const LAST_WORDS: Duration = Duration::from_secs(1);

// -- a request that gets no server

impl Client {
    /// Answers the request at hand with a fault, as PostgreSQL does: in the extended protocol everything up to the
    /// Sync is skipped.
    pub(super) async fn refuse(&mut self, fault: Fault) -> Result<(), End> {
        if fault.severity(Phase::Session) == Severity::Fatal {
            return Err(End::Fault(fault));
        }
        self.home.fault(&fault);
        let lanes = self.working();
        error::write(lanes.down.out(), &fault, Phase::Session);
        let first = lanes.up.frame().ok().flatten().map_or(f::SYNC, |frame| frame.tag);
        poll_fn(|cx| self.poll_skip(cx, matches!(first, f::QUERY | f::FUNCTION_CALL))).await?;
        write::ready_for_query(self.working().down.out(), b'I');
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Drops one message, or all up to a Sync; the fault is flushed meanwhile.
    fn poll_skip(&mut self, cx: &mut Context<'_>, only_one: bool) -> Poll<Result<(), End>> {
        loop {
            let lanes = self.working();
            let frame =
                lanes.up.frame().map_err(|bad| End::Fault(Fault::ProtocolViolation(bad.to_string())))?;
            match frame.map(|frame| (frame.tag, frame.total)) {
                Some((f::TERMINATE, _)) => return Poll::Ready(Err(End::Goodbye)),
                Some((tag, total)) => {
                    lanes.up.discard(total);
                    if (only_one || tag == f::SYNC) && !lanes.up.is_passing() {
                        return Poll::Ready(Ok(()));
                    }
                }
                None if only_one && self.work_is_skipped() => return Poll::Ready(Ok(())),
                None => {
                    if let Poll::Ready(flushed) = self.poll_flush(cx) {
                        flushed?;
                    }
                    let lanes = self.lanes.get_or_insert_with(super::working::Working::take);
                    match ready!(poll_read(&mut self.stream, cx, &mut lanes.up)) {
                        Ok(1..) => {}
                        _ => return Poll::Ready(Err(End::ClientGone)),
                    }
                }
            }
        }
    }

    /// The one message that was to be dropped has arrived to its end.
    fn work_is_skipped(&self) -> bool {
        self.lanes.as_ref().is_none_or(|lanes| lanes.up.is_between_messages())
    }
}

// -- a server that was lost

impl Client {
    /// Tells the client that its server is gone. It may stay if its session held nothing there and exactly one
    /// answer was owed, so that what it sent behind can't be taken for something else. It holds no server then.
    pub(super) async fn lose(&mut self, mut lease: Lease, loss: Loss) -> Result<Option<Lease>, End> {
        if let Loss::Violation(violation) = &loss {
            tracing::error!(%violation, pool = %self.home.name(), "a server broke the protocol");
            self.home.counters.protocol_desyncs.inc();
        }
        let fault = self.fault_of_loss(&lease, &loss);
        let open = lease.ledger.tx != Tx::Idle;
        let owed = owed(&lease.ledger.replies);
        let unsynced = lease.ledger.unsynced || lease.ledger.replies.is_skipping();
        let told_already = lease.ledger.replies.is_skipping();
        let keeps_session = self.keeps_session();
        self.forget(&mut lease);
        let lives_on = match &loss {
            Loss::Stuck(_) => true,
            Loss::Said(body) => !ErrorFields::read(body).is_fatal(),
            Loss::Silent | Loss::Violation(_) => false,
        };
        match lives_on {
            // Cancels what it runs.
            true => drop(lease),
            false => lease.close(),
        }
        self.state.pins = Pins::default();
        self.card.unpinned();
        let lanes = self.working();
        let mid_message = lanes.down.is_passing();
        let mid_request = lanes.up.is_passing();
        let pipelined = lanes.up.unjudged() > 0 || mid_request;
        lanes.down.drop_unjudged();
        if matches!(loss, Loss::Violation(_)) {
            return Err(End::Fault(Fault::Desync));
        }
        if keeps_session || mid_message || owed.ready > 1 || (open && pipelined) || told_already {
            return Err(End::Fault(fault));
        }
        lanes.up.clear_output();
        if owed.any || unsynced {
            error::write(lanes.down.out(), &fault, Phase::Session);
            self.home.fault(&fault);
            if owed.ready == 0 {
                poll_fn(|cx| self.poll_skip(cx, false)).await?;
            }
            write::ready_for_query(self.working().down.out(), b'I');
        } else if open || mid_request {
            self.bad_news = Some(Box::new(fault));
        }
        Ok(None)
    }

    /// Whether something of its session is in its server alone, for all that is known, which it can't do without.
    pub(super) fn keeps_session(&self) -> bool {
        self.home.mode == Mode::Session || !self.state.pins.of_others().is_empty() || self.relies_on_server()
    }

    /// Whether its session has changed, and nobody has asked how.
    fn relies_on_server(&self) -> bool {
        self.home.shared.limits.track_state && self.state.touch.is_relied_on()
    }

    /// What is lost with its server.
    pub(super) fn held(&self) -> String {
        if self.state.pins.is_empty() { "settings".to_owned() } else { self.state.pins.to_string() }
    }

    fn fault_of_loss(&self, lease: &Lease, loss: &Loss) -> Fault {
        if let Loss::Stuck(fault) = loss {
            return fault.clone();
        }
        if let Loss::Said(body) = loss
            && lease.ledger.replies.is_replaying()
        {
            let fields = ErrorFields::read(body);
            return match fields.is_fatal() {
                true => Fault::ReplayFailed(fields.message_text().into_owned()),
                // It was cut off before it could see to that, and what the client asked for runs by now.
                false => Fault::CommitInDoubt,
            };
        }
        let owes = !lease.ledger.replies.is_empty();
        let in_transaction = lease.ledger.tx != Tx::Idle;
        if let Loss::Said(body) = loss {
            let fields = ErrorFields::read(body);
            match fields.code {
                // Said in place of an answer: what was asked did not commit.
                Some(SqlState::ADMIN_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW) | None if in_transaction => {
                    return Fault::ServerLost;
                }
                Some(sqlstate) if owes || in_transaction || self.keeps_session() => {
                    return Fault::Rejected { sqlstate, message: fields.message_text().into_owned() };
                }
                _ => {}
            }
        }
        // Without a statement under way, or with none in an open transaction that could have ended it, nothing
        // was committed.
        let may_have_committed = owes
            && (lease.ledger.tx == Tx::Idle
                || !self.home.shared.limits.track_state
                || self
                    .state
                    .touch
                    .effects
                    .intersects(Effects::TX_EXIT.or(Effects::MULTI).or(Effects::OPAQUE)));
        match may_have_committed {
            true => Fault::CommitInDoubt,
            false if !self.state.pins.of_others().is_empty() || self.relies_on_server() => {
                Fault::SessionLost { held: self.held() }
            }
            false => Fault::ServerLost,
        }
    }

    /// What was asked and not answered never happened, as far as the client's maps go.
    fn forget(&mut self, lease: &mut Lease) {
        let lanes = self.lanes.get_or_insert_with(super::working::Working::take);
        let mut exchange = Exchange {
            pid: self.card.pid,
            client: &mut self.state,
            server: &mut lease.ledger,
            shared: &self.home.shared,
            up: &mut lanes.up,
            down: &mut lanes.down,
            work: &mut lanes.work,
            errors: &mut lanes.errors,
        };
        exchange.abandon();
        self.state.touch.clear();
        self.state.cancel_reason = None;
        self.clock.released();
    }
}

/// Answers that a lost server still owes to its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    any: bool,
    /// ReadyForQuery among them.
    ready: u32,
}

fn owed(replies: &Replies) -> Owed {
    let mut owed = Owed::default();
    let clients = |slot: &&Slot| slot.awaits != Awaits::CopyEnd && !slot.is_replay();
    for slot in replies.slots().filter(clients) {
        owed.any = true;
        owed.ready += u32::from(matches!(slot.awaits, Awaits::Query | Awaits::Sync | Awaits::FunctionCall));
    }
    owed
}

// -- a client that goes

impl Client {
    /// Ends the client: tells it why, if it is there to hear it, and does what is right with its server.
    pub(super) async fn part(mut self: Box<Self>, lease: Option<Lease>, end: End) -> Option<Fault> {
        let fault = match end {
            End::Fault(fault) => Some(fault),
            End::ServerGone(_) => Some(Fault::ServerLost),
            End::Rest | End::Lingered | End::Goodbye | End::ClientGone => None,
        };
        let mid_message = self.lanes.as_ref().is_some_and(|lanes| lanes.down.is_passing());
        if let (Some(fault), false) = (&fault, mid_message) {
            let down = &mut self.working().down;
            down.drop_unjudged();
            error::write(down.out(), fault, Phase::Login);
        }
        let told = async {
            poll_fn(|cx| self.poll_flush(cx)).await.ok()?;
            self.stream.shutdown().await.ok()
        };
        if fault.is_some() {
            let _ = timeout(LAST_WORDS, told).await;
        }
        // A server that got half a message would read the next client's as its rest.
        let mid_request =
            self.lanes.as_ref().is_some_and(|lanes| lanes.up.is_passing() || lanes.up.has_output());
        if let Some(lanes) = self.lanes.take() {
            lanes.give_back();
        }
        let (state, home) = self.left();
        if let Some(lease) = lease
            && !mid_request
        {
            recover(lease, state, &home).await;
        }
        fault
    }

    /// What of a client concerns the server that it had. The rest is gone: its connection, its place.
    fn left(self: Box<Self>) -> (ClientState, Arc<Home>) {
        let Self { state, home, .. } = *self;
        (state, home)
    }
}
