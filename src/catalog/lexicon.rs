//! The dictionary by which the texts of one database are judged, and whether it may be out of date.
//!
//! ```text
//!   moment   1 ─────── 2 ──────────── 3 ────────────────▶
//!                      │ something is │ that
//!                      │ sent that    │ is over
//!                      │ may commit   │     read here: an edition of moment 3
//!                      └─── change ───┘
//! ```
//! A text is judged by the edition at hand. If that isn't of the present moment when the exchange is over, the session is
//! asked for everything. A change counts twice, before it may be committed and after, so this finds whoever ran in
//! between, or was judged by what was read in between.
//!
//! Depends on `routines`. Invariant: an edition of the present moment knows every change that passed through pgweir.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::routines::Routines;

/// A point between two changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moment(u32);

impl Moment {
    /// Before anything was read; never the present one.
    pub const NEVER: Self = Self(0);

    pub const fn number(self) -> u32 {
        self.0
    }

    pub const fn numbered(number: u32) -> Self {
        Self(number)
    }
}

/// A dictionary and the moment up to which it is right.
#[derive(Debug)]
pub struct Edition {
    pub moment: Moment,
    pub routines: Arc<Routines>,
    /// As [`queries::FINGERPRINT`](super::queries::FINGERPRINT) gives it.
    fingerprint: Box<str>,
}

/// Custom settings that clients were seen to set; names beyond that aren't kept.
const CUSTOM: usize = 200;
/// A longer name of a custom setting isn't kept, in bytes.
const CUSTOM_NAME: usize = 128;

/// The dictionary of one database, shared by all its pools.
#[derive(Debug)]
pub struct Lexicon {
    moment: AtomicU32,
    /// Changes that may be committed at any time.
    under_way: AtomicU32,
    /// Somebody should look whether there was a change that we don't know of.
    due: AtomicBool,
    edition: ArcSwap<Edition>,
    /// Reading has failed: nobody tries again before this.
    failed_until: Mutex<Option<Instant>>,
    custom: Mutex<BTreeSet<Box<str>>>,
}

impl Default for Lexicon {
    fn default() -> Self {
        let edition =
            Edition { moment: Moment::NEVER, routines: Arc::default(), fingerprint: Box::default() };
        Self {
            moment: AtomicU32::new(1),
            under_way: AtomicU32::new(0),
            due: AtomicBool::new(false),
            edition: ArcSwap::from_pointee(edition),
            failed_until: Mutex::default(),
            custom: Mutex::default(),
        }
    }
}

impl Lexicon {
    /// How long nobody tries to read again after it failed.
    pub const PAUSE: Duration = Duration::from_secs(5);

    pub fn moment(&self) -> Moment {
        Moment(self.moment.load(Ordering::SeqCst))
    }

    /// What texts are judged by.
    pub fn edition(&self) -> Guard<Arc<Edition>> {
        self.edition.load()
    }

    /// Whoever can should compare fingerprints: there may have been a change that nobody told us of.
    pub fn set_due(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    pub fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// True for one that then has to do it.
    pub fn take_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }

    /// Compares a fresh fingerprint; if it is another one, the present edition is out of date.
    pub fn compare(&self, fingerprint: &str) {
        if *self.edition.load().fingerprint != *fingerprint {
            self.advance();
        }
    }

    fn advance(&self) {
        // Never 0 again in the life of a process: that would take four billion changes.
        self.moment.fetch_add(1, Ordering::SeqCst);
    }

    /// To be asked for before a message is sent that may commit a change, and dropped when that is over.
    pub fn change(self: &Arc<Self>) -> Change {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        self.advance();
        Change(Arc::clone(self))
    }

    /// The task to read anew; `None` if that isn't necessary, of no use while a change is under way, or failed just
    /// now.
    pub fn claim(self: &Arc<Self>, now: Instant) -> Option<Claim> {
        let moment = self.moment();
        let is_idle = self.edition.load().moment == moment || self.under_way.load(Ordering::SeqCst) > 0;
        let failed = self.failed_until.lock().is_some_and(|until| now < until);
        (!is_idle && !failed).then(|| Claim {
            lexicon: Arc::clone(self),
            moment,
            failed_until: Some(now + Self::PAUSE),
        })
    }

    /// Notes names of settings that a client has set; those without a dot PostgreSQL lists itself.
    pub fn learn_settings<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names.filter(|name| name.contains('.') && name.len() <= CUSTOM_NAME) {
            let mut custom = self.custom.lock();
            if custom.len() < CUSTOM && !custom.contains(name) {
                custom.insert(name.into());
            }
        }
    }

    /// Custom settings that may have a value, in lower case: those that bodies set, and those that clients were seen to set.
    pub fn custom_settings(&self) -> BTreeSet<Box<str>> {
        let mut names = self.custom.lock().clone();
        names.extend(self.edition.load().routines.custom_settings().map(Into::into));
        names
    }
}

/// A change of the catalogue that may be committed at any time.
#[derive(Debug)]
pub struct Change(Arc<Lexicon>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.advance();
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The task to read the catalogue. Whoever drops it without an edition has failed.
#[derive(Debug)]
pub struct Claim {
    lexicon: Arc<Lexicon>,
    /// When it was begun: later changes may be in what is read, or not.
    moment: Moment,
    failed_until: Option<Instant>,
}

impl Claim {
    /// Publishes the last edition again if it still holds; else the task remains.
    pub fn confirm(self, fingerprint: &str) -> Result<(), Self> {
        let edition = self.lexicon.edition.load();
        if edition.moment == Moment::NEVER || *edition.fingerprint != *fingerprint {
            drop(edition);
            return Err(self);
        }
        let routines = edition.routines.clone();
        self.publish(routines, fingerprint.into());
        Ok(())
    }

    /// A new edition. `fingerprint` was asked for before the rest was read.
    pub fn publish(mut self, routines: Arc<Routines>, fingerprint: Box<str>) {
        self.failed_until = None;
        self.lexicon.edition.store(Arc::new(Edition { moment: self.moment, routines, fingerprint }));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *self.lexicon.failed_until.lock() = self.failed_until;
    }
}

#[cfg(test)]
impl Lexicon {
    /// One that has read these names and bodies in SQL.
    pub(crate) fn of(definitions: &[(&str, &str)]) -> Arc<Self> {
        let lexicon = Arc::new(Self::default());
        lexicon.read(definitions);
        lexicon
    }

    pub(crate) fn read(self: &Arc<Self>, definitions: &[(&str, &str)]) {
        self.take_in(super::routines(definitions), &format!("{definitions:?}"));
    }

    pub(crate) fn take_in(self: &Arc<Self>, routines: Routines, fingerprint: &str) {
        let claim = self.claim(*tests::NOW).expect("something to read");
        claim.publish(Arc::new(routines), fingerprint.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// Tests need a moment, whichever.
    #[allow(clippy::disallowed_methods)]
    pub(super) static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn is_present(lexicon: &Lexicon) -> bool {
        lexicon.edition().moment == lexicon.moment()
    }

    #[test]
    fn nothing_is_known_before_it_is_read() {
        let lexicon = Arc::new(Lexicon::default());
        assert!(!is_present(&lexicon));
        let claim = lexicon.claim(*NOW).unwrap().confirm("").unwrap_err();
        claim.publish(Arc::default(), "f".into());
        assert!(is_present(&lexicon) && lexicon.claim(*NOW).is_none());
    }

    #[test]
    fn a_change_is_noticed_before_and_after_and_not_read_meanwhile() {
        let lexicon = Lexicon::of(&[]);
        let early = lexicon.moment();
        let change = lexicon.change();
        let meanwhile = lexicon.moment();
        assert_ne!(meanwhile, early);
        assert!(lexicon.claim(*NOW).is_none());
        drop(change);
        assert_ne!(lexicon.moment(), meanwhile);
        lexicon.read(&[("f", "SELECT 1")]);
        assert!(is_present(&lexicon));
    }

    #[test]
    fn a_change_from_elsewhere_is_found_by_the_fingerprint() {
        let lexicon = Arc::new(Lexicon::default());
        lexicon.claim(*NOW).unwrap().publish(Arc::default(), "f".into());
        assert!(!lexicon.take_due());
        lexicon.set_due();
        assert!(lexicon.is_due() && lexicon.take_due() && !lexicon.take_due(), "for one alone");
        lexicon.compare("f");
        assert!(is_present(&lexicon));
        lexicon.compare("g");
        assert!(!is_present(&lexicon));
        let claim = lexicon.claim(*NOW).unwrap().confirm("g").unwrap_err();
        assert!(claim.confirm("f").is_ok() && is_present(&lexicon));
    }

    #[test]
    fn what_was_read_while_something_changed_is_out_of_date() {
        let lexicon = Lexicon::of(&[]);
        lexicon.advance();
        let claim = lexicon.claim(*NOW).unwrap();
        drop(lexicon.change());
        claim.publish(Arc::default(), "f".into());
        assert!(!is_present(&lexicon));
        assert!(lexicon.claim(*NOW).is_some());
    }

    #[test]
    fn a_failure_is_followed_by_a_pause() {
        let lexicon = Arc::new(Lexicon::default());
        drop(lexicon.claim(*NOW).unwrap());
        assert!(lexicon.claim(*NOW).is_none());
        assert!(lexicon.claim(*NOW + Lexicon::PAUSE).is_some());
    }

    #[test]
    fn names_that_clients_set_are_kept_within_bounds() {
        let lexicon = Lexicon::of(&[("f", "SELECT set_config('app.body', '1', false)")]);
        lexicon
            .learn_settings(["work_mem", "app.x", &format!("app.{}", "y".repeat(CUSTOM_NAME))].into_iter());
        assert_eq!(lexicon.custom_settings(), ["app.body".into(), "app.x".into()].into());
        let many: Vec<_> = (0..2 * CUSTOM).map(|i| format!("app.z{i}")).collect();
        lexicon.learn_settings(many.iter().map(String::as_str));
        assert_eq!(lexicon.custom_settings().len(), CUSTOM + 1);
    }
}
