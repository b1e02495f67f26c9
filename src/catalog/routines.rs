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
}

/// Something with a name that runs SQL when it is used: a row of [`queries::ROUTINES`](super::queries::ROUTINES),
/// [`TRIGGERS`](super::queries::TRIGGERS) or [`RELATIONS`](super::queries::RELATIONS).
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    pub name: &'a str,
    /// `pg_language.lanname`.
    pub language: &'a str,
    pub body: &'a [u8],
}

impl Routines {
    /// `declared` are names that the configuration says to be stateful, with their effects.
    pub fn read(definitions: &[Definition<'_>], declared: &[(&str, Effects)]) -> Self {
        let mut routines = Self::default();
        for (name, effects) in declared {
            routines.add(word(name), *effects);
        }
        let names: HashSet<_> =
            definitions.iter().map(|it| word(it.name)).chain(routines.effects.keys().copied()).collect();
        let mut callers = ByWord::<Vec<_>>::default();
        for definition in definitions {
            let caller = word(definition.name);
            let body = read_body(definition.body, Language::named(definition.language), |mentioned| {
                if mentioned != caller && names.contains(&mentioned) {
                    callers.entry(mentioned).or_default().push(caller);
                }
            });
            routines.add(caller, in_a_call(body.effects));
            routines.custom_settings.extend(body.names.into_iter().filter(|name| name.contains('.')));
            routines.custom_settings.extend(body.local_custom);
        }
        routines.close(&callers);
        routines
    }

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

    /// All effects that any name has; says, for instance, whether this database's routines read sequences.
    pub fn all_effects(&self) -> Effects {
        self.effects.values().fold(Effects::NONE, |all, effects| all | *effects)
    }

    /// Custom settings whose names stand in bodies.
    pub fn custom_settings(&self) -> impl Iterator<Item = &str> {
        self.custom_settings.iter().map(|name| &**name)
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

fn word(name: &str) -> WordHash {
    WordHash::of(name.as_bytes())
}

/// A text that only calls the routine doesn't name its settings, so any may have changed.
fn in_a_call(effects: Effects) -> Effects {
    let effects = effects & Effects::STATE.or(Effects::SEQ_READ).or(Effects::SEQ_WRITE).or(Effects::NOTIFY);
    if effects.contains(Effects::GUC) { (effects - Effects::GUC) | Effects::GUC_ALL } else { effects }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Extent, analyse};

    fn sql<'a>(name: &'a str, body: &'a str) -> Definition<'a> {
        Definition { name, language: "sql", body: body.as_bytes() }
    }

    #[test]
    fn effects_reach_callers_of_callers_whatever_the_order() {
        let definitions = [
            sql("outermost", "SELECT Middle(1)"),
            sql("middle", "SELECT other(), \"innermost\"()"),
            sql("innermost", "SELECT set_config('app.x', '1', false)"),
            sql("other", "SELECT pg_advisory_lock(1), middle(2)"),
            sql("stateless", "SELECT a FROM t"),
            sql("uses_declared", "SELECT pgv_set('a', 'b', 1)"),
        ];
        let routines = Routines::read(&definitions, &[("pgv_set", Effects::PL_GLOBALS)]);
        let both = Effects::GUC_ALL | Effects::ADVISORY;
        for name in ["outermost", "middle", "other", "OUTERMOST"] {
            assert_eq!(routines.effects(word(name)), both, "{name}");
        }
        assert_eq!(routines.effects(word("innermost")), Effects::GUC_ALL);
        assert_eq!(routines.effects(word("stateless")), Effects::NONE);
        assert_eq!(routines.effects(word("uses_declared")), Effects::PL_GLOBALS);
        assert_eq!(routines.all_effects(), both | Effects::PL_GLOBALS);
        assert_eq!(routines.custom_settings().collect::<Vec<_>>(), ["app.x"]);
        assert_eq!(routines.len(), 6);
    }

    #[test]
    fn a_trigger_lends_its_effects_to_the_table_27() {
        let body = b"begin perform set_config('app.last', new.a, false); return new; end".as_slice();
        let definitions = [
            sql("t", "f_last"),
            Definition { name: "f_last", language: "plpgsql", body },
            sql("v", "SELECT a FROM t"),
        ];
        let routines = Routines::read(&definitions, &[]);
        let of = |text: &str| analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &routines).effects;
        assert_eq!(of("UPDATE public.t SET a = 42"), Effects::GUC_ALL);
        assert_eq!(of("COPY v FROM STDIN"), Effects::GUC_ALL | Effects::COPY);
        assert_eq!(of("SELECT 't' FROM u"), Effects::NONE);
    }

    #[test]
    fn no_name_no_effects() {
        assert!(Routines::read(&[sql("f", "SELECT f()")], &[]).is_empty());
    }
}
