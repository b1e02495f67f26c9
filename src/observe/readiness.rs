//! Whether traffic may be sent here, and why not.
//!
//! The flags are set by whoever knows (listeners, drain, the connections to servers) and read by `/readyz`.
//! Nothing decides by them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use thiserror::Error;

/// The flags behind `/readyz`. All start as "no".
#[derive(Debug, Default)]
pub struct Readiness {
    needs_upstream: bool,
    accepting: AtomicBool,
    draining: AtomicBool,
    upstream_answers: AtomicBool,
    upstream_seen: AtomicBool,
}

/// Why no traffic should come; the text is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotReady {
    #[error("draining")]
    Draining,
    #[error("not yet listening")]
    NotListening,
    #[error("no connection to an upstream has succeeded yet")]
    NotStarted,
    #[error("the upstream does not answer")]
    UpstreamSilent,
}

impl Readiness {
    /// `needs_upstream`: an upstream that doesn't answer makes us unready (`http.ready_needs_upstream`).
    pub fn new(needs_upstream: bool) -> Self {
        Self { needs_upstream, ..Self::default() }
    }

    /// All listeners are open.
    pub fn accepting(&self) {
        self.accepting.store(true, Relaxed);
    }

    /// The process has been asked to stop; there is no way back.
    pub fn draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether the latest attempt to reach an upstream succeeded.
    pub fn upstream(&self, answers: bool) {
        self.upstream_answers.store(answers, Relaxed);
        self.upstream_seen.fetch_or(answers, Relaxed);
    }

    /// What [`Self::upstream`] was told last.
    pub fn upstream_answers(&self) -> bool {
        self.upstream_answers.load(Relaxed)
    }

    /// `startup`: asked by a start-up probe, which also wants to know that an upstream has answered once.
    pub fn check(&self, startup: bool) -> Result<(), NotReady> {
        if self.draining.load(Relaxed) {
            return Err(NotReady::Draining);
        }
        if !self.accepting.load(Relaxed) {
            return Err(NotReady::NotListening);
        }
        if startup && !self.upstream_seen.load(Relaxed) {
            return Err(NotReady::NotStarted);
        }
        if self.needs_upstream && !self.upstream_answers.load(Relaxed) {
            return Err(NotReady::UpstreamSilent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_the_upstream_counts_only_if_asked_for() {
        let (lenient, strict) = (Readiness::new(false), Readiness::new(true));
        for readiness in [&lenient, &strict] {
            assert_eq!(readiness.check(false), Err(NotReady::NotListening));
            readiness.accepting();
        }
        assert_eq!(lenient.check(false), Ok(()));
        assert_eq!(strict.check(false), Err(NotReady::UpstreamSilent));
        for readiness in [&lenient, &strict] {
            readiness.upstream(true);
            assert_eq!(readiness.check(false), Ok(()));
            readiness.upstream(false);
        }
        assert_eq!(lenient.check(false), Ok(()));
        assert_eq!(strict.check(false), Err(NotReady::UpstreamSilent));
    }

    #[test]
    fn startup_is_over_with_the_first_answer_and_stays_over() {
        let readiness = Readiness::new(false);
        readiness.accepting();
        assert_eq!(readiness.check(true), Err(NotReady::NotStarted));
        readiness.upstream(true);
        readiness.upstream(false);
        assert_eq!(readiness.check(true), Ok(()));
    }

    #[test]
    fn draining_outweighs_everything() {
        let readiness = Readiness::new(false);
        readiness.accepting();
        readiness.upstream(true);
        readiness.draining();
        assert_eq!(readiness.check(false), Err(NotReady::Draining));
    }
}
