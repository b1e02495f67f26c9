//! A client that listens. Its channels are on its server while it works, as on a direct connection, so that
//! PostgreSQL itself decides what it is told and when; while it rests, the pool's shared listener has them and its
//! server is free.
//!
//! ```text
//!                   it pauses: hand over                     a request: recall
//!   on its server ──────────────────────▶ on the listener ──────────────────────▶ on its server
//! ```
//! Invariant: on both ways one notification of our own, the mark, is where the one side ends and the other begins
//! (`session::switchboard`); so each notification comes once, in PostgreSQL's order. A client of which that can't
//! be said any more is closed.

use std::sync::Arc;

use super::card::Signals;
use super::duplex::End;
use super::relay::Client;
use crate::catalog::queries::CHANNELS;
use crate::pool::core::Pin;
use crate::pool::settings::Mode;
use crate::server::ask::AskError;
use crate::server::lease::Lease;
use crate::server::listener::{Bell, ENCODING, Subscription, Unheard};
use crate::session::notifications::{append_readdressed, mark_text, split_at_mark};
use crate::session::pins::Reason;
use crate::session::switchboard::{Ear, Gap};
use crate::wire::fault::Fault;

/// Why a client's channels stay on its server.
#[derive(Debug, thiserror::Error)]
enum Stays {
    #[error("the server can't be told from others")]
    NoKey,
    #[error("client_encoding is not the listener's, or a channel's name isn't in it")]
    Encoding,
    #[error(transparent)]
    Unheard(#[from] Unheard),
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<Gap> for Fault {
    fn from(gap: Gap) -> Self {
        match gap {
            Gap::Lost => Self::NotificationsLost,
            Gap::TooMuch { limit } => Self::SlowListener { limit },
        }
    }
}

// -- from the server to the listener

impl Client {
    /// Frees the server of the client's channels, if nothing else keeps it. Where that isn't possible it stays
    /// pinned, until the next settling.
    pub(super) async fn settle_channels(&mut self, lease: &mut Lease, lingered: bool) -> Result<(), End> {
        if self.state.pins.residue.channels == 0 {
            self.subscription = None;
            return Ok(());
        }
        if self.home.mode == Mode::Session || !self.state.pins.are_only(Reason::Listen) {
            return Ok(());
        }
        // One that listens and works keeps its channels until it pauses, unless its server is needed.
        if self.subscription.is_some() && !lingered && !lease.is_asked_back() {
            return Ok(());
        }
        match self.hand_over(lease).await {
            Ok(()) => {
                self.state.pins.residue.channels = 0;
                lease.unpin();
                Ok(())
            }
            Err(Stays::Ask(error)) if !error.is_harmless() => self.session_lost(true),
            Err(why) => {
                self.subscription = None;
                // Nobody asks for it in vain.
                lease.unpin();
                lease.pin(Pin::needed(Reason::Listen.as_str()));
                if matches!(why, Stays::Unheard(Unheard::Pausing)) {
                    return Ok(());
                }
                tracing::info!(%why, pool = %self.home.name(), "a client that listens keeps its server");
                Ok(())
            }
        }
    }

    async fn hand_over(&mut self, lease: &mut Lease) -> Result<(), Stays> {
        let pid = lease.key.as_ref().ok_or(Stays::NoKey)?.pid;
        if self.state.told.get(ENCODING.0) != Some(ENCODING.1) {
            return Err(Stays::Encoding);
        }
        let channels = channels(lease).await?;
        if channels.is_empty() {
            self.subscription = None;
            return Ok(());
        }
        let mut subscription = match self.subscription.take() {
            Some(place) if !place.is_lost() => place,
            _ => Box::new(self.home.listener.subscribe(self.bell()).await?),
        };
        subscription.listen(channels).await?;
        let mark = subscription.expect(pid, Ear::Open);
        let channel = subscription.mark_channel();
        lease.ask(&mark_text(&[], &channel, &mark.payload)).await?;
        let heard = std::mem::take(&mut lease.notifications);
        let (before, _) = split_at_mark(&heard, &channel, &mark.payload).ok_or(AskError::Protocol)?;
        let told = self.card.pid;
        append_readdressed(self.working().down.out(), &before, pid, told);
        lease.ask("UNLISTEN *").await.map_err(|_| AskError::Protocol)?;
        // The listener has these.
        lease.notifications.clear();
        self.subscription = Some(subscription);
        Ok(())
    }

    /// The pool may ask for the server, since the channels may go elsewhere.
    pub(super) fn pin_for_channels(&self, lease: &Lease) {
        let pin = Pin::needed(Reason::Listen.as_str());
        lease.pin(match self.home.mode {
            Mode::Session => pin,
            _ => Pin { yields: self.card.waker(), ..pin },
        });
    }

    /// Whether the client has its server only because it listens, so that it may do without when it asks for nothing.
    pub(super) fn lingers(&self) -> bool {
        self.subscription.is_some() && self.state.pins.are_only(Reason::Listen)
    }

    fn bell(&self) -> Bell {
        let card = self.card.clone();
        Arc::new(move || card.signal(Signals::NOTIFIED))
    }
}

async fn channels(lease: &mut Lease) -> Result<Vec<Box<str>>, Stays> {
    let rows = lease.ask(CHANNELS).await?;
    let names = rows.into_iter().map(|row| match <[_; 1]>::try_from(row) {
        Ok([Some(name)]) if !name.contains(char::REPLACEMENT_CHARACTER) => Ok(name),
        _ => Err(Stays::Encoding),
    });
    names.collect()
}

// -- from the listener to the server

impl Client {
    /// Brings the client's channels to the server that it was lent, in front of its request.
    pub(super) async fn recall(&mut self, lease: &mut Lease) -> Result<(), Fault> {
        let Some(subscription) = self.subscription.take() else { return Ok(()) };
        if subscription.is_lost() {
            return Err(Fault::NotificationsLost);
        }
        // It had a key when the channels were handed over; without one no mark is believed.
        let pid = lease.key.as_ref().map_or(0, |key| key.pid);
        let mark = subscription.expect(pid, Ear::Shut);
        let channel = subscription.mark_channel();
        let text = mark_text(subscription.channels(), &channel, &mark.payload);
        lease.notifications.clear();
        match lease.ask_each(&[&text, &format!("UNLISTEN {channel}")]).await {
            Ok(_) => {}
            Err(error) if error.is_harmless() && subscription.forget(&mark) => {
                self.subscription = Some(subscription);
                return Err(Fault::ReplayFailed(format!("LISTEN: {error}")));
            }
            Err(_) => return Err(Fault::NotificationsLost),
        }
        subscription.passed(&mark).await.map_err(|_| Fault::NotificationsLost)?;
        self.card.take(Signals::NOTIFIED);
        let missed = subscription.take()?;
        let heard = std::mem::take(&mut lease.notifications);
        let (_, behind) = split_at_mark(&heard, &channel, &mark.payload).ok_or(Fault::NotificationsLost)?;
        let told = self.card.pid;
        let out = self.working().down.out();
        out.extend_from_slice(&missed);
        append_readdressed(out, &behind, pid, told);
        self.state.pins.residue.channels = subscription.channels().len() as u32;
        self.pin_for_channels(lease);
        self.subscription = Some(subscription);
        Ok(())
    }
}

// -- at rest

impl Client {
    /// Takes what the listener has for a client at rest, once it has read what came before.
    pub(super) fn hear_notifications(&mut self) -> Result<(), Fault> {
        let Some(subscription) = &self.subscription else {
            self.card.take(Signals::NOTIFIED);
            return Ok(());
        };
        if let Some(gap) = subscription.gap() {
            return Err(gap.into());
        }
        if self.lanes.as_ref().is_some_and(|lanes| lanes.down.has_output()) {
            return Ok(());
        }
        self.card.take(Signals::NOTIFIED);
        let heard = subscription.take()?;
        if !heard.is_empty() {
            self.working().down.out().extend_from_slice(&heard);
        }
        Ok(())
    }
}

/// A client's place on the shared listener, while it has one. Boxed, since hardly any client has.
pub(super) type Place = Option<Box<Subscription>>;
