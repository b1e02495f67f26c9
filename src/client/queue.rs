//! Waiting for a server: the client is watched meanwhile, may cancel, and may go.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::card::Signals;
use super::duplex::End;
use super::house::Home;
use super::relay::Client;
use super::transfer::poll_read;
use crate::pool::core::Refusal;
use crate::pool::key::{Label, Wish};
use crate::server::ask::AskError;
use crate::server::lease::Lease;
use crate::server::lend::Checkout;
use crate::session::statements::client::Held;
use crate::wire::fault::Fault;
use crate::wire::write;

/// What came of making a server a client's own.
pub(super) enum Prepared {
    Ready(Lease),
    /// The server was lost. Nothing of the client's had been sent.
    Lost,
    /// It doesn't take on the client's settings. Another one may: what a session did before can stand against it.
    Refused(Fault),
}

impl Client {
    /// Asks the pool for a server. A fault is for the client to hear; an end is its own.
    pub(super) async fn checkout(&mut self) -> Result<Result<Lease, Fault>, End> {
        let settings = &self.state.settings;
        let wish = Wish {
            profile: self.profile.id,
            label: Label { settings: settings.id, names: settings.names },
            home: self.last,
            application: self.card.application(),
            rested: self.rested.take(),
        };
        let mut checkout = self.home.pool.checkout(wish);
        poll_fn(|cx| self.poll_checkout(cx, &mut checkout)).await
    }

    fn poll_checkout(
        &mut self,
        cx: &mut Context<'_>,
        checkout: &mut Checkout,
    ) -> Poll<Result<Result<Lease, Fault>, End>> {
        let pending = self.card.pending();
        if pending.has(Signals::KILL) {
            return Poll::Ready(Err(End::Fault(Fault::Shutdown)));
        }
        if pending.has(Signals::CANCEL) && self.card.take(Signals::CANCEL) {
            self.card.cancel_is_over();
            return Poll::Ready(Ok(Err(Fault::Cancelled)));
        }
        if let Poll::Ready(answer) = Pin::new(checkout).poll(cx) {
            return Poll::Ready(Ok(answer.map_err(|refusal| fault(&self.home, refusal))));
        }
        match self.watch(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(Err(end)),
        }
    }

    /// Notices that the client goes, and takes in what it sends on.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while !self.half_open.is_closed() {
            let lanes = self.lanes.get_or_insert_with(super::working::Working::take);
            match poll_read(&mut self.stream, cx, &mut lanes.up) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => self.half_open.close(),
                Poll::Ready(Ok(count)) => lanes.work.bytes_up += count as u64,
                Poll::Ready(Err(_)) => return Err(End::ClientGone),
            }
        }
        self.half_open.poll_gone(cx, &mut self.stream, &self.state.told).map_err(|_| End::ClientGone)
    }

    /// Whether a server that was just lent is as the client left its last one.
    pub(super) fn fits(&mut self, lease: &mut Lease) -> bool {
        self.last = Some(lease.id());
        if self.speaks_otherwise
            && !lease.has(self.state.statements.in_other_dialects(self.state.settings.dialect))
        {
            return false;
        }
        let there = lease.ledger.settings.as_ref();
        self.subscription.is_none()
            && !lease.hides_names_from(self.card.pid)
            && there.is_some_and(|there| there.id == self.state.settings.id)
            && lease.ledger.params.same_as(&self.state.told)
    }

    /// Makes a server the client's own: the settings that it has set, what it was told, the channels to which it
    /// listens. A server that can't be made so is not used. `Err`: nor would another one do.
    pub(super) async fn prepare(&mut self, mut lease: Lease) -> Result<Prepared, Fault> {
        if !lease.can_become(&self.state.settings, self.card.pid) {
            match lease.reopen().await {
                Some(fresh) => lease = fresh,
                None => return Ok(Prepared::Lost),
            }
        }
        if self.restore_ahead(&mut lease) {
            return Ok(Prepared::Ready(lease));
        }
        if let Err(error) = self.restore(&mut lease).await {
            lease.close();
            return Ok(match error.is_harmless() {
                true => Prepared::Refused(Fault::ReplayFailed(error.to_string())),
                false => Prepared::Lost,
            });
        }
        self.tell_params(&lease);
        self.recall(&mut lease).await?;
        Ok(Prepared::Ready(lease))
    }

    /// Lets the request follow the replay without waiting, where all else is as the client left it.
    fn restore_ahead(&mut self, lease: &mut Lease) -> bool {
        let is_another = lease.hides_names_from(self.card.pid);
        if self.speaks_otherwise || self.subscription.is_some() || is_another {
            return false;
        }
        let lanes = self.lanes.get_or_insert_with(super::working::Working::take);
        lease.restore_ahead(&self.state.settings, &self.state.told, lanes.up.out())
    }

    async fn restore(&mut self, lease: &mut Lease) -> Result<(), AskError> {
        let settings = &self.state.settings;
        if lease.hides_names_from(self.card.pid) {
            lease.reset_all(&self.home.shared.settings).await?;
        }
        if self.speaks_otherwise {
            let mut held: Vec<_> =
                self.state.statements.in_other_dialects(settings.dialect).cloned().collect();
            held.sort_by_key(Held::dialect);
            lease.bring(held, settings, &self.home.shared.settings).await?;
        }
        lease.restore(settings).await
    }

    /// The client hears what is otherwise on this server than it was told.
    pub(super) fn tell_params(&mut self, lease: &Lease) {
        if lease.ledger.params.same_as(&self.state.told) {
            return;
        }
        let lanes = self.lanes.get_or_insert_with(super::working::Working::take);
        let out = lanes.down.out();
        for (name, value) in lease.ledger.params.difference(&self.state.told) {
            write::parameter_status(out, name.as_bytes(), value.as_bytes());
        }
        self.state.told = lease.ledger.params.clone();
    }
}

/// What a client hears when it gets no server.
pub(super) fn fault(home: &Home, refusal: Refusal) -> Fault {
    let pool = home.name();
    match refusal {
        Refusal::QueueFull { size, limit } => Fault::QueueFull { pool, size, limit },
        Refusal::QueueTimeout { waited, size, pins } => {
            Fault::QueueTimeout { pool, size, pins: counted(pins), waited }
        }
        Refusal::Unreachable { why } => Fault::ServerUnreachable { pool, why: why.to_string() },
        Refusal::Rejected { sqlstate, message } => Fault::Rejected { sqlstate, message: message.to_string() },
        Refusal::Draining => Fault::Shutdown,
    }
}

/// How many, and how many for each reason, the most frequent first.
fn counted(mut pins: Vec<&'static str>) -> String {
    pins.sort_unstable();
    let mut reasons: Vec<(usize, &str)> =
        pins.chunk_by(|a, b| a == b).map(|equal| (equal.len(), equal[0])).collect();
    reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let reasons: Vec<String> = reasons.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
    match pins.len() {
        0 => "0".to_owned(),
        count => format!("{count} ({})", reasons.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_told_by_reason() {
        assert_eq!(counted(vec![]), "0");
        assert_eq!(counted(vec!["listen", "advisory_lock", "listen"]), "3 (2 listen, 1 advisory_lock)");
    }
}
