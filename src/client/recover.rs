//! A server whose client has gone: brought back to a state in which it is anyone's, by the cheapest means that suffices.
//!
//! Depends on `settle`. Invariant: what the client made of its session was asked for, or is taken away as a whole, or ends
//! with the server.

use super::house::Home;
use super::settle::{ask, learn};
use crate::pool::settings::Mode;
use crate::server::ask::AskError;
use crate::server::lease::Lease;
use crate::session::client::ClientState;
use crate::session::server::{NOBODY, Tx};
use crate::session::settle::Questions;
use crate::sql::Effects;

/// A server that is in the middle of something is ended: dropping the lease cancels what it runs.
pub(super) async fn recover(mut lease: Lease, mut state: ClientState, home: &Home) {
    if !lease.ledger.replies.is_empty() || lease.ledger.unsynced || lease.ledger.replies.is_doubtful() {
        return;
    }
    if lease.ledger.tx != Tx::Idle && lease.ask("ROLLBACK").await.is_err() {
        return lease.close();
    }
    lease.ledger.change = None;
    match clear(&mut lease, &mut state, home).await {
        Ok(()) => lease.hand_back(),
        Err(_) => lease.close(),
    }
}

/// Settings may stay: they are the server's label, and the next client resets what it doesn't have. An error means that the
/// server can't be used any more.
async fn clear(lease: &mut Lease, state: &mut ClientState, home: &Home) -> Result<(), AskError> {
    let shared = &home.shared;
    state.pins.stick(state.touch.effects, &shared.lexicon);
    if state.touch.effects.intersects(Effects::HIDES_NAMES) {
        lease.ledger.nameless = Some(NOBODY);
    }
    let is_known = catch_up(lease, state, home).await?;
    if state.pins.outlive_discard() || (!is_known && shared.limits.exact_names) {
        return Err(AskError::Unforgettable);
    }
    let is_free = is_known && home.mode != Mode::Session && let_go(lease, state, home).await?;
    if !is_free {
        lease.discard_all(shared.settings.plain()).await?;
    }
    // Whoever listened has gone.
    lease.notifications.clear();
    let settings = lease.ledger.settings.clone().ok_or(AskError::Protocol)?;
    match shared.settings.to_rest(&settings) {
        Some(resting) => lease.restore(&resting).await,
        None => Ok(()),
    }
}

/// Asks what the session has become since it was last asked. False: that isn't known.
async fn catch_up(lease: &mut Lease, state: &mut ClientState, home: &Home) -> Result<bool, AskError> {
    let (shared, touch) = (&home.shared, &state.touch);
    if !shared.limits.track_state {
        return Ok(true);
    }
    if touch.is_doubtful(shared.lexicon.moment()) || state.pins.unknown {
        return Ok(false);
    }
    if !touch.needs_settling() {
        return Ok(true);
    }
    let questions = Questions::of(touch, &state.settings.overrides, state.pins, &shared.lexicon);
    learn_if_answered(lease, state, home, &questions).await
}

/// Takes away what can't stay, but leaves the statements that others have on the server. True: PostgreSQL says that nothing is
/// left.
async fn let_go(lease: &mut Lease, state: &mut ClientState, home: &Home) -> Result<bool, AskError> {
    if state.pins.of_others().is_empty() {
        return Ok(true);
    }
    let Some(sql) = state.pins.residue.release() else { return Ok(false) };
    match lease.ask(&sql).await {
        Ok(_) => {}
        Err(error) if error.is_harmless() => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(learn_if_answered(lease, state, home, &Questions::held()).await? && state.pins.of_others().is_empty())
}

async fn learn_if_answered(
    lease: &mut Lease,
    state: &mut ClientState,
    home: &Home,
    questions: &Questions,
) -> Result<bool, AskError> {
    match ask(lease, questions).await {
        Ok(answers) => {
            learn(lease, state, &home.shared, questions, &answers);
            Ok(true)
        }
        Err(error) if error.is_harmless() => Ok(false),
        Err(error) => Err(error),
    }
}
