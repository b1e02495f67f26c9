//! Counters that say whether something learnt earlier may be out of date.
//!
//! Depends on nothing. Invariant: epochs only grow; equal epochs mean that no change was noticed in between.

use std::sync::atomic::{AtomicU64, Ordering};

/// The age of a backend's defaults: they are read once, when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultsEpoch(u64);

#[cfg(test)]
impl DefaultsEpoch {
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The present epochs of the process: what one client changes may concern every pool. No other memory hangs on the
/// counters.
#[derive(Debug, Default)]
pub struct Epochs {
    defaults: AtomicU64,
}

impl Epochs {
    pub fn defaults(&self) -> DefaultsEpoch {
        DefaultsEpoch(self.defaults.load(Ordering::Relaxed))
    }

    /// New backends may begin with other settings than those that exist.
    pub fn defaults_changed(&self) {
        self.defaults.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notices a change of the defaults of one database and user by the fingerprint that
/// [`queries::DEFAULTS`](super::queries::DEFAULTS) gives (NULL where there are none).
#[derive(Debug, Default)]
pub struct DefaultsWatch {
    last: Option<Option<Box<str>>>,
}

impl DefaultsWatch {
    /// True if this fingerprint differs from the last one. The first is nothing new.
    pub fn differs(&mut self, fingerprint: Option<&str>) -> bool {
        let last = self.last.replace(fingerprint.map(Into::into));
        last.is_some_and(|last| last.as_deref() != fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow() {
        let epochs = Epochs::default();
        let before = epochs.defaults();
        epochs.defaults_changed();
        assert!(epochs.defaults() > before);
    }

    #[test]
    fn the_first_fingerprint_is_no_change() {
        let mut watch = DefaultsWatch::default();
        let seen = [None, None, Some("a"), Some("a"), Some("b"), None].map(|it| watch.differs(it));
        assert_eq!(seen, [false, false, true, false, true, true]);
    }
}
