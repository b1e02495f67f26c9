//! Names whose mention in a text changes session state where the text itself doesn't show it: stateful routines,
//! and the tables and views that reach them by a trigger, rule, default or policy.
//!
//! Depends on `sql` for reading bodies. Invariant: closed under calls; whatever mentions a name in here is in here
//! too, with at least its effects. Names stand for themselves in all schemas and for all overloads. What stays
//! unseen: names put together at run time, operators and casts, C functions that no table of ours lists.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::sql::{Dictionary, Effects, Language, WordHash, read_body};

type ByWord<T> = HashMap<WordHash, T, foldhash::fast::RandomState>;

/// The stateful names of one database.
#[derive(Clone, Debug, Default)]
pub struct Routines {
    effects: ByWord<Effects>,
    /// Custom settings (with a dot) that bodies set. `pg_settings` doesn't list them, so they are asked by name.
    custom_settings: BTreeSet<Box<str>>,
    /// The schema of dblink, quoted, if it can be asked for its connections.
    dblink: Option<Box<str>>,
}

/// Something with a name that runs SQL when it is used: a row of [`queries::ROUTINES`](super::queries::ROUTINES),
/// [`TRIGGERS`](super::queries::TRIGGERS) or [`EXPRESSIONS`](super::queries::EXPRESSIONS).
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    pub name: &'a [u8],
    /// `pg_language.lanname`.
    pub language: &'a [u8],
    /// `None`: too long to be read, so it may do anything.
    pub body: Option<&'a [u8]>,
}

/// Custom settings whose names are kept; names beyond that aren't asked for.
const CUSTOM: usize = 1000;

/// A dictionary being read, one definition after the other; no body is kept.
#[derive(Debug, Default)]
pub struct Draft {
    routines: Routines,
    /// Of all that may turn out to have effects.
    names: HashSet<WordHash, foldhash::fast::RandomState>,
    /// A custom setting that is set for the transaction counts as one that is set for the session.
    exact: bool,
    /// Who mentions a name.
    callers: ByWord<Vec<WordHash>>,
}

impl Draft {
    /// `exact`: it matters which names of custom settings a session knows.
    pub fn new(exact: bool) -> Self {
        Self { exact, ..Self::default() }
    }

    /// Notes a name that bodies may mention. All names come before the first definition.
    pub fn name(&mut self, name: &[u8]) {
        self.names.insert(WordHash::of(name));
    }

    pub fn define(&mut self, definition: &Definition<'_>) {
        let caller = WordHash::of(definition.name);
        let Some(body) = definition.body else {
            self.routines.add(caller, Effects::OPAQUE);
            return;
        };
        let body = read_body(body, Language::named(definition.language), |mentioned| {
            if mentioned != caller && self.names.contains(&mentioned) {
                let callers = self.callers.entry(mentioned).or_default();
                if callers.last() != Some(&caller) {
                    callers.push(caller);
                }
            }
        });
        self.routines.add(caller, in_a_call(body.effects));
        if self.exact && body.local_nameless {
            self.routines.add(caller, Effects::GUC_ALL | Effects::NAMELESS);
        } else if self.exact && !body.local_custom.is_empty() {
            self.routines.add(caller, Effects::GUC_ALL);
        }
        for name in body.names.into_iter().chain(body.local_custom).filter(|name| name.contains('.')) {
            if self.routines.custom_settings.len() < CUSTOM {
                self.routines.custom_settings.insert(name);
            }
        }
    }

    /// A row of [`queries::DBLINK`](super::queries::DBLINK).
    pub fn dblink(&mut self, schema: &[u8]) {
        self.routines.dblink = str::from_utf8(schema).ok().map(Into::into);
    }

    pub fn finish(mut self) -> Routines {
        self.routines.close(&self.callers);
        self.routines
    }
}

impl Routines {
    /// True if the name has effects that it hadn't before.
    fn add(&mut self, name: WordHash, effects: Effects) -> bool {
        if effects.is_empty() {
            return false;
        }
        let known = self.effects.entry(name).or_default();
        let grows = !known.contains(effects);
        *known |= effects;
        grows
    }

    /// Gives callers the effects of what they call, until nothing grows any more.
    fn close(&mut self, callers: &ByWord<Vec<WordHash>>) {
        let mut grown: Vec<_> = self.effects.keys().copied().collect();
        while let Some(callee) = grown.pop() {
            let effects = self.effects[&callee];
            for &caller in callers.get(&callee).into_iter().flatten() {
                if self.add(caller, effects) {
                    grown.push(caller);
                }
            }
        }
    }

    /// Custom settings whose names stand in bodies.
    pub fn custom_settings(&self) -> impl Iterator<Item = &str> {
        self.custom_settings.iter().map(|name| &**name)
    }

    /// Where dblink can be asked for its connections: a schema, quoted.
    pub fn dblink_schema(&self) -> Option<&str> {
        self.dblink.as_deref()
    }

    /// How many names have effects.
    pub fn len(&self) -> usize {
        self.effects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
}

impl Dictionary for Routines {
    fn effects(&self, word: WordHash) -> Effects {
        self.effects.get(&word).copied().unwrap_or_default()
    }
}

/// A text that only calls the routine doesn't name its settings, so any may have changed.
fn in_a_call(effects: Effects) -> Effects {
    let effects = effects & Effects::STATE.or(Effects::SEQ_READ).or(Effects::SEQ_WRITE).or(Effects::CLOSE);
    if effects.contains(Effects::GUC) { (effects - Effects::GUC) | Effects::GUC_ALL } else { effects }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sql::{Dialect, Extent, analyse};

    fn sql<'a>(name: &'a str, body: &'a str) -> Definition<'a> {
        Definition { name: name.as_bytes(), language: b"sql", body: Some(body.as_bytes()) }
    }

    /// The dictionary of these names and bodies in SQL.
    pub(crate) fn routines(definitions: &[(&str, &str)]) -> Routines {
        let definitions: Vec<_> = definitions.iter().map(|&(name, body)| sql(name, body)).collect();
        read(&definitions)
    }

    fn read(definitions: &[Definition<'_>]) -> Routines {
        let mut draft = Draft::default();
        definitions.iter().for_each(|definition| draft.name(definition.name));
        definitions.iter().for_each(|definition| draft.define(definition));
        draft.finish()
    }

    fn word(name: &str) -> WordHash {
        WordHash::of(name.as_bytes())
    }

    #[test]
    fn effects_reach_callers_of_callers_whatever_the_order() {
        let routines = routines(&[
            ("outermost", "SELECT Middle(1)"),
            ("middle", "SELECT other(), \"innermost\"()"),
            ("innermost", "SELECT set_config('app.x', '1', false)"),
            ("other", "SELECT pg_advisory_lock(1), middle(2)"),
            ("stateless", "SELECT a FROM t"),
        ]);
        let both = Effects::GUC_ALL | Effects::ADVISORY;
        for name in ["outermost", "middle", "other", "OUTERMOST"] {
            assert_eq!(routines.effects(word(name)), both, "{name}");
        }
        assert_eq!(routines.effects(word("innermost")), Effects::GUC_ALL);
        assert_eq!(routines.effects(word("stateless")), Effects::NONE);
        assert_eq!(routines.custom_settings().collect::<Vec<_>>(), ["app.x"]);
        assert_eq!(routines.len(), 4);
    }

    #[test]
    fn a_trigger_lends_its_effects_to_the_table_27() {
        let body = b"begin perform set_config('app.last', new.a, false); return new; end".as_slice();
        let routines = read(&[
            sql("t", "f_last"),
            Definition { name: b"f_last", language: b"plpgsql", body: Some(body) },
            sql("v", "t"),
        ]);
        let of = |text: &str| analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &routines).effects;
        assert_eq!(of("UPDATE public.t SET a = 42"), Effects::GUC_ALL);
        assert_eq!(of("COPY v FROM STDIN"), Effects::GUC_ALL | Effects::SEQ_WRITE);
        assert_eq!(of("SELECT 't' FROM u"), Effects::NONE);
    }

    #[test]
    fn a_body_that_is_too_long_may_do_anything_and_a_quiet_one_has_no_entry() {
        assert!(routines(&[("f", "SELECT f()")]).is_empty());
        let long =
            read(&[Definition { name: b"long", language: b"plpgsql", body: None }, sql("g", "long()")]);
        assert_eq!(long.effects(word("g")), Effects::OPAQUE);
    }

    #[test]
    fn names_of_custom_settings_are_bounded() {
        let bodies: Vec<_> =
            (0..2 * CUSTOM).map(|i| format!("SELECT set_config('app.x{i}', '', false)")).collect();
        let definitions: Vec<_> = bodies.iter().map(|body| ("f", body.as_str())).collect();
        assert_eq!(routines(&definitions).custom_settings().count(), CUSTOM);
    }
}
