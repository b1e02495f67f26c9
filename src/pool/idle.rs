//! The servers that rest, and which of them fits a wish best. Depends on `key` only.
//!
//! Invariant: ordered by the moment at which they came to rest, the latest last.

use std::time::Instant;

use super::core::Held;
use super::key::{Label, ServerId, Wish};

#[derive(Debug)]
pub(super) struct IdleServers<S>(Vec<Resting<S>>);

#[derive(Debug)]
pub(super) struct Resting<S> {
    pub(super) held: Held<S>,
    pub(super) since: Instant,
}

/// How much a client must do before it can use a server; less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Home,
    SameLabel,
    Baseline,
    OtherLabel,
}

impl<S> IdleServers<S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, now: Instant, held: Held<S>) {
        self.0.push(Resting { held, since: now });
    }

    /// The best fit, among equals the one that came last: it is the warmest, and the others may time out.
    pub(super) fn take(&mut self, wish: &Wish) -> Option<Held<S>> {
        let best_possible = if wish.home.is_some() { Fit::Home } else { Fit::SameLabel };
        let mut best: Option<(Fit, usize)> = None;
        for (at, resting) in self.0.iter().enumerate().rev() {
            let Some(fit) = fit(wish, &resting.held) else { continue };
            if best.is_none_or(|(least, _)| fit < least) {
                best = Some((fit, at));
                if fit == best_possible {
                    break;
                }
            }
        }
        best.map(|(_, at)| self.remove(at))
    }

    pub(super) fn remove(&mut self, at: usize) -> Held<S> {
        self.0.remove(at).held
    }

    /// The one that has rested longest.
    pub(super) fn pop_oldest(&mut self) -> Option<Held<S>> {
        (!self.0.is_empty()).then(|| self.remove(0))
    }

    pub(super) fn find(&mut self, is_it: impl FnMut(&mut Resting<S>) -> bool) -> Option<usize> {
        self.0.iter_mut().position(is_it)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Resting<S>> {
        self.0.iter()
    }
}

fn fit<S>(wish: &Wish, held: &Held<S>) -> Option<Fit> {
    if held.profile() != wish.profile || held.label.knows_more_than(wish.label) {
        return None;
    }
    let id: Option<ServerId> = Some(held.id());
    Some(match held.label {
        _ if id == wish.home => Fit::Home,
        Label { settings, .. } if settings == wish.label.settings => Fit::SameLabel,
        Label::BASELINE => Fit::Baseline,
        _ => Fit::OtherLabel,
    })
}
