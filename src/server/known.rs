//! What the sessions of one pool begin with, as its servers told.
//!
//! Depends on `ask`, `catalog`. Invariant: what is known of a profile was told by a server of that profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::ask::AskError;
use super::connection::Connection;
use crate::catalog::{Baseline, DefaultsWatch, Epochs, queries};
use crate::pool::key::ProfileId;
use crate::session::params::Params;
use crate::session::settings::idle_timeout;

/// What servers of each profile start with, as the last one told.
#[derive(Debug, Default)]
pub struct Known {
    profiles: Mutex<Vec<(ProfileId, Beginning)>>,
    defaults: Mutex<DefaultsWatch>,
    /// Somebody should compare the defaults: they may have been changed where no client of ours did it.
    due: AtomicBool,
}

/// What a session begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Beginning {
    pub(super) params: Params,
    pub(super) baseline: Arc<Baseline>,
    /// [`queries::DEFAULTS`], when a session was last found to begin so.
    pub(super) defaults: Option<Box<str>>,
    /// Startup parameters beyond the profile's without which it would begin otherwise, by defaults that were changed
    /// since. Given so, they are what RESET and DISCARD ALL give.
    pub(super) amended: Vec<(String, String)>,
}

/// Profiles whose parameters are kept; the oldest is forgotten, and learned again when a server opens.
const KEPT: usize = 256;

impl Known {
    /// The parameters that a server of this profile reports.
    pub fn params(&self, profile: ProfileId) -> Option<Params> {
        self.look_up(profile, |known| known.params.clone())
    }

    /// After which idle sessions of this profile end, unless they set something else.
    pub fn idle_timeout(&self, profile: ProfileId) -> Option<Duration> {
        self.look_up(profile, |known| idle_timeout(&known.baseline)).flatten()
    }

    pub(super) fn beginning(&self, profile: ProfileId) -> Option<Beginning> {
        self.look_up(profile, Clone::clone)
    }

    fn look_up<T>(&self, profile: ProfileId, part: impl FnOnce(&Beginning) -> T) -> Option<T> {
        let profiles = self.profiles.lock();
        profiles.iter().find(|(known, _)| *known == profile).map(|(_, known)| part(known))
    }

    pub(super) fn learn(&self, profile: ProfileId, beginning: Beginning) {
        let mut profiles = self.profiles.lock();
        profiles.retain(|(known, _)| *known != profile);
        if profiles.len() == KEPT {
            profiles.remove(0);
        }
        profiles.push((profile, beginning));
    }

    pub fn set_due(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// True for one that then has to do it.
    pub fn take_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }

    /// The fingerprint of what new sessions begin with, and of who may begin one. If it is another one than before, a new
    /// epoch begins.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub async fn compare_defaults(
        &self,
        server: &mut Connection,
        epochs: &Epochs,
    ) -> Result<Option<Box<str>>, AskError> {
        let mut rows = server.ask(queries::DEFAULTS).await?;
        let fingerprint = rows.pop().and_then(|mut row| row.pop()?);
        if self.defaults.lock().differs(fingerprint.as_deref()) {
            epochs.defaults_changed();
        }
        Ok(fingerprint)
    }
}
