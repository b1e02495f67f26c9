//! What clients have set on top of their startup, as interned sets: equal sets are one pointer, so that
//! "does this server already fit?" is one comparison. Values come from PostgreSQL, never from a text.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::Baseline;
use crate::sql::MEANING;

/// Overrides of one session: settings that differ from their reset values, and its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Overrides {
    /// Value by setting, as `current_setting` gives it.
    pub values: BTreeMap<Box<str>, Box<str>>,
    /// Set when it isn't the login user.
    pub session_authorization: Option<Box<str>>,
    /// Set when it isn't `none`.
    pub role: Option<Box<str>>,
}

/// An interned set of overrides.
#[derive(Debug)]
pub struct Settings {
    /// Equal for equal sets of one pool; 0 is "no overrides".
    pub id: u32,
    pub overrides: Overrides,
    /// Equal for sets under which a statement text means the same; 0 is "as at startup".
    pub dialect: u32,
    /// What the overrides say about when an idle session is to end.
    pub idle_timeout: Option<Duration>,
    /// A bit for each custom setting among them; some may share one.
    pub names: u64,
}

/// PostgreSQL ends a session that is idle for this long. In a pool a server rests while its last client works, and the
/// client rests without a server: so it is kept for clients by pgweir, and no server rests with it.
const IDLE_TIMEOUT: &str = "idle_session_timeout";

#[cfg(test)]
impl Overrides {
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Self { values, ..Self::default() }
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn of_dialect(dialect: u32) -> Arc<Self> {
        Arc::new(Self { id: dialect, overrides: Overrides::default(), dialect, idle_timeout: None, names: 0 })
    }
}

impl Settings {
    /// After which an idle session of these settings is to end, if one without overrides is to after `beginning`.
    pub fn idle_timeout_over(&self, beginning: Option<Duration>) -> Option<Duration> {
        if self.overrides.values.contains_key(IDLE_TIMEOUT) { self.idle_timeout } else { beginning }
    }

    /// Those that a session with this baseline can't forget, in bits as [`Self::names`].
    pub fn names_for_good(&self, baseline: &Baseline) -> u64 {
        bits(self.overrides.values.keys().filter(|name| baseline.is_for_good(name)))
    }
}

fn bits<'a>(names: impl Iterator<Item = &'a Box<str>>) -> u64 {
    names.fold(0, |bits, name| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        bits | 1 << (hasher.finish() % 64)
    })
}

/// After which idle sessions with this baseline end.
pub fn idle_timeout(baseline: &Baseline) -> Option<Duration> {
    baseline.value(IDLE_TIMEOUT).and_then(time)
}

impl Overrides {
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.session_authorization.is_none() && self.role.is_none()
    }

    /// Whether a session with these can get those of `other`, if RESET gives it the values of `baseline`.
    pub fn can_become(&self, other: &Self, baseline: &Baseline) -> bool {
        self.values.keys().all(|name| !baseline.is_for_good(name) || other.values.contains_key(name))
    }

    /// These, but with what changes the meaning of texts as `other` has it.
    pub fn speaking_as(&self, other: &Self) -> Self {
        let mut values = self.values.clone();
        values.retain(|name, _| !MEANING.contains(&&**name));
        let meaning = other.values.iter().filter(|(name, _)| MEANING.contains(&&***name));
        values.extend(meaning.map(|(name, value)| (name.clone(), value.clone())));
        let Self { session_authorization, role, .. } = other.clone();
        Self { values, session_authorization, role }
    }

    fn dialect(&self) -> u32 {
        let mut relevant =
            self.values.iter().filter(|(name, _)| MEANING.contains(&&*name.to_ascii_lowercase())).peekable();
        if relevant.peek().is_none() && self.role.is_none() && self.session_authorization.is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        relevant.for_each(|pair| pair.hash(&mut hasher));
        (&self.role, &self.session_authorization).hash(&mut hasher);
        (hasher.finish() as u32).max(1)
    }
}

/// The sets in use in one pool.
#[derive(Debug)]
pub struct Interner {
    plain: Arc<Settings>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sets: HashMap<Overrides, Arc<Settings>>,
    last: u32,
}

/// Sets that nobody holds are looked for when this many are known.
const SWEEP_AT: usize = 1024;

impl Default for Interner {
    fn default() -> Self {
        let plain =
            Settings { id: 0, overrides: Overrides::default(), dialect: 0, idle_timeout: None, names: 0 };
        let plain = Arc::new(plain);
        Self { plain, known: Mutex::default() }
    }
}

impl Interner {
    /// The set without overrides.
    pub fn plain(&self) -> &Arc<Settings> {
        &self.plain
    }

    pub fn intern(&self, overrides: Overrides) -> Arc<Settings> {
        if overrides.is_empty() {
            return self.plain.clone();
        }
        let mut known = self.known.lock();
        if let Some(settings) = known.sets.get(&overrides) {
            return settings.clone();
        }
        if known.sets.len() >= SWEEP_AT {
            known.sets.retain(|_, settings| Arc::strong_count(settings) > 1);
        }
        known.last = known.last.wrapping_add(1).max(1);
        let dialect = overrides.dialect();
        let idle_timeout = overrides.values.get(IDLE_TIMEOUT).and_then(|value| time(value));
        let names = bits(overrides.values.keys().filter(|name| name.contains('.')));
        let settings =
            Arc::new(Settings { id: known.last, overrides: overrides.clone(), dialect, idle_timeout, names });
        known.sets.insert(overrides, settings.clone());
        settings
    }

    /// What a server with these settings must have instead before it may rest.
    pub fn to_rest(&self, settings: &Settings) -> Option<Arc<Settings>> {
        settings.idle_timeout?;
        let mut overrides = settings.overrides.clone();
        overrides.values.remove(IDLE_TIMEOUT);
        Some(self.intern(overrides))
    }
}

/// A time as `current_setting` shows it: a number with the largest unit that divides it; 0 is off.
fn time(value: &str) -> Option<Duration> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(milliseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one() {
        let interner = Interner::default();
        let a = interner.intern(Overrides::of(&[("work_mem", "5MB")]));
        assert!(Arc::ptr_eq(&a, &interner.intern(Overrides::of(&[("work_mem", "5MB")]))));
        assert!(!Arc::ptr_eq(&a, &interner.intern(Overrides::of(&[("work_mem", "6MB")]))));
        assert!(Arc::ptr_eq(interner.plain(), &interner.intern(Overrides::default())));
    }

    #[test]
    fn no_server_rests_with_an_idle_timeout() {
        let interner = Interner::default();
        let times =
            [("300ms", 300), ("90s", 90_000), ("2min", 120_000), ("1h", 3_600_000), ("1d", 86_400_000)];
        for (shown, milliseconds) in times {
            let set = interner.intern(Overrides::of(&[(IDLE_TIMEOUT, shown), ("work_mem", "5MB")]));
            assert_eq!(set.idle_timeout, Some(Duration::from_millis(milliseconds)));
            let resting = interner.to_rest(&set).expect("other settings");
            assert!(Arc::ptr_eq(&resting, &interner.intern(Overrides::of(&[("work_mem", "5MB")]))));
        }
        let off = interner.intern(Overrides::of(&[(IDLE_TIMEOUT, "0")]));
        assert_eq!(off.idle_timeout, None);
        assert!(interner.to_rest(&off).is_none());
    }

    #[test]
    fn an_override_of_the_idle_timeout_counts_more_than_what_the_session_began_with() {
        let interner = Interner::default();
        let beginning = idle_timeout(&Baseline::from_rows([(IDLE_TIMEOUT, Some("1s"))]));
        assert_eq!(beginning, Some(Duration::from_secs(1)));
        let over = |values| interner.intern(Overrides::of(values)).idle_timeout_over(beginning);
        assert_eq!(over(&[("work_mem", "5MB")]), beginning);
        assert_eq!(over(&[(IDLE_TIMEOUT, "5s")]), Some(Duration::from_secs(5)));
        assert_eq!(over(&[(IDLE_TIMEOUT, "0")]), None);
        assert_eq!(idle_timeout(&Baseline::from_rows([(IDLE_TIMEOUT, Some("0"))])), None);
    }

    #[test]
    fn a_session_that_must_not_know_a_name_is_made_of_no_other_that_does() {
        let (none, one) = (Overrides::of(&[]), Overrides::of(&[("app.x", ""), ("work_mem", "5MB")]));
        let two = Overrides::of(&[("app.x", "1"), ("app.y", "")]);
        let exact = Baseline::from_rows([("app.y", Some("begun so"))]).exact();
        assert!(none.can_become(&one, &exact) && one.can_become(&two, &exact));
        assert!(!one.can_become(&none, &exact) && one.can_become(&none, &Baseline::default()));
        assert!(two.can_become(&one, &exact), "RESET gives app.y what it began with");
        let interner = Interner::default();
        let [one, two] = [one, two].map(|set| interner.intern(set));
        assert_eq!(one.names & !two.names, 0);
        assert_eq!(one.names_for_good(&exact), two.names_for_good(&exact));
        assert_eq!(two.names_for_good(&Baseline::default()), 0);
    }

    #[test]
    fn only_what_changes_a_text_makes_a_dialect() {
        let interner = Interner::default();
        assert_eq!(interner.intern(Overrides::of(&[("work_mem", "5MB")])).dialect, 0);
        let dmy = interner.intern(Overrides::of(&[("DateStyle", "ISO, DMY")]));
        assert_ne!(dmy.dialect, 0);
        assert_eq!(
            dmy.dialect,
            interner.intern(Overrides::of(&[("DateStyle", "ISO, DMY"), ("work_mem", "1MB")])).dialect
        );
    }
}
