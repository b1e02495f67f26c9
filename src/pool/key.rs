//! The names by which a pool tells servers and wishes apart. Depends on `applications`, and on `catalog` for the age of
//! defaults.
//!
//! Invariant: equal startup parameters have equal [`ProfileId`]s for as long as anyone holds the [`Profile`];
//! an id is never used for another profile.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::applications::ApplicationId;
use crate::catalog::DefaultsEpoch;

/// The session settings that a server has, or that a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Label {
    /// Equal for equal settings, as `session` numbers them.
    pub settings: u32,
    /// A bit for each name of a setting that a session knows and can't forget; names may share one.
    pub names: u64,
}

impl Label {
    /// What a server has after login.
    pub const BASELINE: Self = Self::of(0);

    /// Settings that a session can get rid of.
    pub const fn of(settings: u32) -> Self {
        Self { settings, names: 0 }
    }

    /// Whether a session of this label certainly knows more names than one that is `wanted`.
    pub const fn knows_more_than(self, wanted: Self) -> bool {
        self.names & !wanted.names != 0
    }
}

/// One backend in the life of a pool. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId {
    pub(super) slot: u32,
    /// Never 0, so that none is as small as one.
    pub(super) serial: NonZeroU32,
}

/// A moment in the life of a pool in four bytes, for clients, of whom there are thousands. Right to [`Self::TICK_US`]; a
/// pause of more than three days looks shorter by as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(NonZeroU32);

impl Moment {
    const TICK_US: u128 = 64;

    pub(super) fn of(epoch: Instant, now: Instant) -> Self {
        Self(NonZeroU32::MIN.saturating_add(Self::ticks(epoch, now).wrapping_sub(1)))
    }

    /// How long ago it was, at most.
    pub(super) fn elapsed(self, epoch: Instant, now: Instant) -> Duration {
        let ticks = Self::ticks(epoch, now).wrapping_sub(self.0.get());
        Duration::from_micros(u64::from(ticks) * Self::TICK_US as u64)
    }

    fn ticks(epoch: Instant, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(epoch).as_micros() / Self::TICK_US;
        // It wraps.
        (ticks as u32).max(1)
    }
}

/// What a client would like to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Startup parameters can't be changed afterwards, so this one is a condition.
    pub profile: ProfileId,
    /// The settings that the client has; another server needs a replay.
    pub label: Label,
    /// Where the client was served last.
    pub home: Option<ServerId>,
    /// Whose it is, for the accounts.
    pub application: ApplicationId,
    /// Since when the client has had no server, if it ever had one.
    pub rested: Option<Moment>,
}

impl Wish {
    /// For any server with these parameters, as it is after login; nobody's in particular.
    pub fn plain(profile: ProfileId) -> Self {
        Self {
            profile,
            label: Label::BASELINE,
            home: None,
            application: ApplicationId::default(),
            rested: None,
        }
    }
}

/// A set of startup parameters, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileId(pub(super) u32);

/// Startup parameters that servers are opened with.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    pub id: ProfileId,
    pub parameters: Parameters,
    /// After which sessions that begin so end if they are idle. Set when a client needs to know it.
    pub idle_timeout: OnceLock<Option<Duration>>,
}

/// Names and values, sorted by name, each name once.
pub type Parameters = Box<[(Box<str>, Box<str>)]>;

/// Not part of a profile: the pool's own key, and what may be set on any server later.
const APART: [&str; 3] = ["application_name", "database", "user"];

/// The profiles of one pool.
///
/// Clients may invent any number of them over time, so those that nobody holds any more are forgotten.
#[derive(Debug, Default)]
pub struct Profiles {
    /// Those that clients to come may get.
    known: HashMap<Parameters, Arc<Profile>, foldhash::fast::RandomState>,
    by_id: HashMap<ProfileId, Arc<Profile>, foldhash::fast::RandomState>,
    /// Of the defaults with which servers of the known ones begin.
    epoch: DefaultsEpoch,
    issued: u32,
    sweep_at: usize,
}

impl Profiles {
    /// Below this number nothing is forgotten.
    const KEPT: usize = 64;

    /// The profile of these startup parameters. Of a repeated name the last value counts, as in PostgreSQL.
    ///
    /// Clients of one `epoch` share servers with nobody of another: a session keeps the defaults that it began with.
    pub fn intern<'a>(
        &mut self,
        epoch: DefaultsEpoch,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Arc<Profile> {
        self.enter(epoch);
        let parameters = normalised(parameters);
        if let Some(known) = self.known.get(&parameters) {
            return Arc::clone(known);
        }
        self.sweep();
        let id = ProfileId(self.issued);
        self.issued += 1;
        let profile = Arc::new(Profile { id, parameters: parameters.clone(), idle_timeout: OnceLock::new() });
        self.by_id.insert(id, Arc::clone(&profile));
        self.known.insert(parameters, Arc::clone(&profile));
        profile
    }

    /// `None`: nobody holds it any more, and it is forgotten.
    pub fn get(&self, id: ProfileId) -> Option<Arc<Profile>> {
        self.by_id.get(&id).cloned()
    }

    /// Forgets the profiles of earlier epochs that nobody holds: their servers are of no use any more.
    pub fn forget_outdated(&mut self, epoch: DefaultsEpoch) {
        self.enter(epoch);
        let known = &self.known;
        self.by_id.retain(|id, profile| {
            Arc::strong_count(profile) > 1
                || known.get(&profile.parameters).is_some_and(|of_now| of_now.id == *id)
        });
    }

    fn enter(&mut self, epoch: DefaultsEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.known.clear();
        }
    }

    fn sweep(&mut self) {
        if self.known.len() < self.sweep_at.max(Self::KEPT) {
            return;
        }
        // Held by the two maps.
        let (known, by_id) = (&mut self.known, &mut self.by_id);
        known.retain(|_, profile| Arc::strong_count(profile) > 2 || by_id.remove(&profile.id).is_none());
        self.sweep_at = self.known.len() * 2;
    }
}

fn normalised<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Parameters {
    let mut sorted: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, value) in parameters {
        if APART.contains(&name) {
            continue;
        }
        match sorted.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => sorted[at].1 = value.into(),
            Err(at) => sorted.insert(at, (name.into(), value.into())),
        }
    }
    sorted.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DefaultsEpoch = DefaultsEpoch::FIRST;

    #[test]
    fn a_moment_is_as_long_ago_as_it_was() {
        let epoch = crate::pool::tests::epoch();
        let at = |ms| epoch + Duration::from_millis(ms);
        assert_eq!(Moment::of(epoch, epoch).elapsed(epoch, epoch), Duration::ZERO);
        for (then, now) in [(0, 1_000), (5, 5), (1_000, 90_000_000), (300_000_000, 300_000_500)] {
            let elapsed = Moment::of(epoch, at(then)).elapsed(epoch, at(now));
            assert!(
                elapsed.abs_diff(Duration::from_millis(now - then)) < Duration::from_micros(130),
                "{elapsed:?}"
            );
        }
    }

    #[test]
    fn order_repetition_and_application_name_make_no_difference() {
        let mut profiles = Profiles::default();
        let a = profiles.intern(NOW, [("user", "u"), ("options", "-c x=1"), ("client_encoding", "UTF8")]);
        let b = profiles.intern(
            NOW,
            [
                ("client_encoding", "LATIN1"),
                ("client_encoding", "UTF8"),
                ("application_name", "psql"),
                ("options", "-c x=1"),
            ],
        );
        assert_eq!(a.id, b.id);
        assert_ne!(a.id, profiles.intern(NOW, []).id);
        assert_eq!(profiles.get(a.id), Some(a));
    }

    #[test]
    fn profiles_that_nobody_holds_are_forgotten_and_held_ones_are_not() {
        let mut profiles = Profiles::default();
        let held = profiles.intern(NOW, [("search_path", "held")]);
        for tenant in 0..10_000 {
            profiles.intern(NOW, [("search_path", tenant.to_string().as_str())]);
        }
        assert!(profiles.known.len() <= 2 * Profiles::KEPT);
        assert_eq!(profiles.known.len(), profiles.by_id.len());
        assert_eq!(profiles.intern(NOW, [("search_path", "held")]).id, held.id);
    }

    #[test]
    fn clients_of_other_defaults_share_no_profile_and_old_ones_end_with_their_clients() {
        let mut profiles = Profiles::default();
        let old = profiles.intern(NOW, []);
        let id = old.id;
        let later = NOW.next();
        profiles.forget_outdated(later);
        let new = profiles.intern(later, []);
        assert_ne!(new.id, id);
        assert_eq!(profiles.get(id).as_ref(), Some(&old));
        drop(old);
        profiles.forget_outdated(later);
        assert_eq!(profiles.get(id), None);
        let id = new.id;
        drop(new);
        profiles.forget_outdated(later);
        assert!(profiles.get(id).is_some());
    }
}
