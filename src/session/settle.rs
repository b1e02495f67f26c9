//! After an exchange that may have changed the session's state: what to ask PostgreSQL, and what its answers
//! mean. Signs say *when* to ask; the answers alone say what is true.
//!
//! ```text
//!   signs collected ──► questions ──► answers ──► settings of client and server, pins
//!        (touch)         one write     one read        move, replay, or stay
//! ```

use std::collections::{BTreeMap, HashMap};

use super::client::Touch;
use super::pins::{Pins, Residue};
use super::settings::Overrides;
use crate::sql::Effects;
use crate::wire::tag::frontend;
use crate::wire::write;

/// A statement of ours, prepared once on each server. Each row of its answer begins with its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub name: &'static str,
    sql: &'static str,
    /// One bit for "this server has it".
    bit: u8,
    parameters: u16,
}

/// The values of settings whose names are given.
const NAMED: Question = Question {
    name: "_pgweir_named",
    sql: "SELECT 'n', n, pg_catalog.current_setting(n, true) \
          FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n",
    bit: 1,
    parameters: 1,
};

/// Every setting of this session, when the names aren't known. Custom settings don't show here.
const ALL: Question = Question {
    name: "_pgweir_all",
    sql: "SELECT 'a', s.name, pg_catalog.current_setting(s.name, true) FROM pg_catalog.pg_settings s \
          WHERE s.source OPERATOR(pg_catalog.=) 'session'",
    bit: 2,
    parameters: 0,
};

/// What can't be moved, and who the session is.
const HELD: Question = Question {
    name: "_pgweir_held",
    sql: "SELECT 'h', \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' \
           AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()), \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()), \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors c WHERE c.is_holdable), \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql), \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend d \
           WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
           AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()), \
          (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots s WHERE s.temporary \
           AND s.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()), \
          pg_catalog.current_setting('session_authorization'), pg_catalog.current_setting('role')",
    bit: 4,
    parameters: 0,
};

/// Reset values of a session that nobody has used yet: what a value is compared with.
pub const BASELINE: &str = "SELECT pg_catalog.lower(s.name), pg_catalog.current_setting(s.name, true) \
                            FROM pg_catalog.pg_settings s";

/// Reset values by lower-case name.
pub type Baseline = HashMap<Box<str>, Box<str>>;

/// Effects that leave something behind which can be counted.
const HELD_EFFECTS: Effects = Effects::ADVISORY
    .or(Effects::TEMP)
    .or(Effects::LISTEN)
    .or(Effects::CURSOR)
    .or(Effects::CLOSE)
    .or(Effects::SQLPREP)
    .or(Effects::STMT_REF)
    .or(Effects::DEALLOCATE_ALL)
    .or(Effects::DISCARD)
    .or(Effects::DISCARD_ALL)
    .or(Effects::SLOT)
    .or(Effects::IDENT)
    .or(Effects::OPAQUE);

/// What is asked after an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    names: Vec<Box<str>>,
    all: bool,
    held: bool,
}

impl Questions {
    /// What `touch` makes it necessary to ask. `pinned`: signs that something ended count too.
    pub fn of(touch: &Touch, before: &Overrides, pinned: bool) -> Self {
        let all = touch.effects.intersects(Effects::GUC_ALL.or(Effects::OPAQUE).or(Effects::DISCARD_ALL));
        let mut names = touch.names.clone();
        if all {
            // Custom settings hide from the list of all, so those that were set are asked for by name.
            let custom =
                before.values.keys().filter(|name| name.contains('.') && !touch.names.contains(name));
            names.extend(custom.cloned());
        }
        let begins = touch.effects.intersects(HELD_EFFECTS) && touch.needs_settling();
        let ends = pinned && touch.effects.intersects(HELD_EFFECTS.or(Effects::DDL));
        Self { names, all, held: begins || ends }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.all && !self.held
    }

    /// Appends the messages that ask; they end with one Sync. `prepared` has a bit for each statement that
    /// the server has already.
    pub fn write(&self, out: &mut Vec<u8>, prepared: &mut u8) {
        if !self.names.is_empty() {
            ask(out, prepared, NAMED, Some(&array(&self.names)));
        }
        if self.all {
            ask(out, prepared, ALL, None);
        }
        if self.held {
            ask(out, prepared, HELD, None);
        }
        write::bare(out, frontend::SYNC);
    }
}

fn ask(out: &mut Vec<u8>, prepared: &mut u8, question: Question, parameter: Option<&str>) {
    if *prepared & question.bit == 0 {
        *prepared |= question.bit;
        let definition = [question.sql.as_bytes(), &[0, 0, 0]].concat();
        write::close_statement(out, question.name.as_bytes());
        write::parse(out, question.name.as_bytes(), &definition);
    }
    debug_assert_eq!(u16::from(parameter.is_some()), question.parameters);
    match parameter {
        None => write::bind_nothing(out, b"", question.name.as_bytes()),
        Some(text) => {
            write::bind_head(out, b"", question.name.as_bytes(), 2 + 2 + 4 + text.len() + 2);
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(&[0, 0]);
        }
    }
    write::message(out, frontend::EXECUTE, |out| out.extend_from_slice(&[0; 5]));
}

/// A text array literal.
fn array(names: &[Box<str>]) -> String {
    let quoted: Vec<String> =
        names.iter().map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(","))
}

/// What PostgreSQL answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    named: Vec<(Box<str>, Option<Box<str>>)>,
    all: Vec<(Box<str>, Option<Box<str>>)>,
    held: Option<(Residue, Box<str>, Box<str>)>,
}

/// Settings that aren't state of the session, whatever their source says.
fn is_transient(name: &str) -> bool {
    name.starts_with("transaction_")
        || matches!(name, "seed" | "role" | "session_authorization" | "is_superuser")
}

impl Answers {
    /// Reads the rows; `None` if they are not what was asked for.
    pub fn read(rows: Vec<Vec<Option<Box<str>>>>) -> Option<Self> {
        let mut answers = Self::default();
        for row in rows {
            match (row.first()?.as_deref()?, row.as_slice()) {
                ("n", [_, Some(name), value]) => answers.named.push((name.clone(), value.clone())),
                ("a", [_, Some(name), value]) => {
                    answers.all.push((name.to_ascii_lowercase().into(), value.clone()))
                }
                ("h", [_, counts @ .., Some(user), Some(role)]) => {
                    let mut numbers = counts.iter().map(|count| count.as_deref()?.parse().ok());
                    let mut next = || numbers.next().flatten();
                    let residue = Residue {
                        advisory_locks: next()?,
                        channels: next()?,
                        held_cursors: next()?,
                        sql_statements: next()?,
                        temporary_objects: next()?,
                        temporary_slots: next()?,
                    };
                    answers.held = Some((residue, user.clone(), role.clone()));
                }
                _ => return None,
            }
        }
        Some(answers)
    }

    /// The overrides of the session now. `login_user` is whom the server was logged in as.
    pub fn overrides(
        &self,
        asked: &Questions,
        before: &Overrides,
        baseline: &Baseline,
        login_user: &str,
    ) -> Overrides {
        let mut after = before.clone();
        if asked.all {
            after.values.clear();
        }
        for (name, value) in self.all.iter().chain(&self.named) {
            let name = name.to_ascii_lowercase();
            let reset = baseline.get(&*name).map(|reset| &**reset);
            match value {
                Some(value) if !is_transient(&name) && !is_reset(reset, value) => {
                    after.values.insert(name.into(), value.clone());
                }
                _ => drop(after.values.remove(&*name)),
            }
        }
        if let Some((_, user, role)) = &self.held {
            after.session_authorization = (**user != *login_user).then(|| user.clone());
            after.role = (&**role != "none").then(|| role.clone());
        }
        after
    }

    /// The reasons to stay, when they were asked for.
    pub fn pins(&self, before: Pins) -> Pins {
        let residue = self.held.as_ref().map_or(before.residue, |(residue, ..)| *residue);
        before.counted(residue)
    }
}

/// A custom setting that nobody set has no value, and an empty one once the name was used.
fn is_reset(reset: Option<&str>, value: &str) -> bool {
    match reset {
        Some(reset) => reset == value,
        None => value.is_empty(),
    }
}

/// The values that a client gave at startup and that its session has as overrides.
pub fn startup_overrides(values: impl IntoIterator<Item = (Box<str>, Box<str>)>) -> Overrides {
    Overrides { values: values.into_iter().collect::<BTreeMap<_, _>>(), ..Overrides::default() }
}
