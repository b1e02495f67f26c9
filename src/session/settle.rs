//! After an exchange that may have changed the session's state: what to ask PostgreSQL, and what its answers
//! mean. Signs say *when* to ask; the answers alone say what is true.
//!
//! ```text
//!   signs collected ──► questions ──► answers ──► settings of client and server, pins
//!        (touch)         one write     one read        move, replay, or stay
//! ```

use std::collections::BTreeMap;

use super::client::Touch;
use super::pins::{Pins, Residue};
use super::settings::Overrides;
use crate::catalog::{Baseline, Lexicon, queries};
use crate::sql::Effects;
use crate::wire::tag::frontend;
use crate::wire::write;

/// A statement of ours, prepared once on each server. Each row of its answer begins with its letter.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    name: &'static [u8],
    sql: &'a str,
    /// For "this server has it".
    bit: u8,
}

const NAMES: Question<'_> = Question { name: b"_pgweir_names", sql: queries::NAMES, bit: 1 };
const GUC_ALL: Question<'_> = Question { name: b"_pgweir_guc_all", sql: queries::GUC_ALL, bit: 2 };
const LIGHT: Question<'_> = Question { name: b"_pgweir_light", sql: queries::LIGHT, bit: 4 };

/// Effects that leave something behind which [`LIGHT`] shows. A setting whose name isn't known may be the role.
const HELD: Effects = Effects::ADVISORY
    .or(Effects::TEMP)
    .or(Effects::LISTEN)
    .or(Effects::CURSOR)
    .or(Effects::CLOSE)
    .or(Effects::SQLPREP)
    .or(Effects::STMT_REF)
    .or(Effects::DEALLOCATE_ALL)
    .or(Effects::DISCARD)
    .or(Effects::SLOT)
    .or(Effects::EXTCONN)
    .or(Effects::IDENT)
    .or(ANYTHING);

/// Effects after which any setting may have changed. What a change of the catalogue brought may have been used at once.
const ANYTHING: Effects = Effects::GUC_ALL.or(Effects::OPAQUE).or(Effects::DISCARD_ALL).or(Effects::CATALOG);

/// What is asked after an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    names: Vec<Box<str>>,
    all: bool,
    held: bool,
    /// Asks dblink for its connections.
    connections: Option<Box<str>>,
}

impl Questions {
    /// What `touch` makes it necessary to ask. For a pinned client signs that something ended count too.
    pub fn of(touch: &Touch, before: &Overrides, pins: Pins, lexicon: &Lexicon) -> Self {
        let begins = touch.effects.intersects(HELD) && touch.needs_settling();
        let ends = !pins.is_empty() && touch.effects.intersects(HELD.or(Effects::DDL));
        let all = touch.effects.intersects(ANYTHING) || (ends && pins.hide_texts());
        let mut names = touch.names.clone();
        if all {
            // Custom settings hide from the list of all, so those that may be set are asked for by name.
            let mut custom = lexicon.custom_settings();
            custom.extend(before.values.keys().filter(|name| name.contains('.')).cloned());
            names.extend(custom.into_iter().filter(|name| !touch.names.contains(name)));
        }
        let opens = touch.effects.intersects(Effects::EXTCONN.or(Effects::OPAQUE));
        let connections = (opens || (ends && pins.residue.connections > 0)).then(|| {
            lexicon.edition().routines.dblink_schema().map(|schema| queries::connections(schema).into())
        });
        Self { names, all, held: begins || ends, connections: connections.flatten() }
    }

    /// All that can be asked.
    pub fn everything(before: &Overrides, pins: Pins, lexicon: &Lexicon) -> Self {
        let touch = Touch { effects: Effects::OPAQUE, ..Touch::default() };
        Self::of(&touch, before, pins, lexicon)
    }

    /// What can't be moved, alone.
    pub fn held() -> Self {
        Self { held: true, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.all && !self.held && self.connections.is_none()
    }

    /// Appends the messages that ask; they end with one Sync. `prepared` has a bit for each statement that
    /// the server has, and gets those that it has when it has answered without an error.
    pub fn write(&self, out: &mut Vec<u8>, prepared: &mut u8) {
        if !self.names.is_empty() {
            ask(out, prepared, NAMES, Some(&array(&self.names)));
        }
        if self.all {
            ask(out, prepared, GUC_ALL, None);
        }
        if self.held {
            ask(out, prepared, LIGHT, None);
        }
        if let Some(sql) = &self.connections {
            ask(out, prepared, Question { name: b"_pgweir_connections", sql, bit: 8 }, None);
        }
        write::bare(out, frontend::SYNC);
    }
}

fn ask(out: &mut Vec<u8>, prepared: &mut u8, question: Question<'_>, parameter: Option<&str>) {
    if *prepared & question.bit == 0 {
        *prepared |= question.bit;
        let definition = [question.sql.as_bytes(), &[0, 0, 0]].concat();
        write::close_statement(out, question.name);
        write::parse(out, question.name, &definition);
    }
    match parameter {
        None => write::bind_nothing(out, b"", question.name),
        Some(text) => {
            write::bind_head(out, b"", question.name, 2 + 2 + 4 + text.len() + 2);
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(&[0, 0]);
        }
    }
    write::execute(out, b"");
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
    /// By name as PostgreSQL spells it.
    settings: Vec<(Box<str>, Option<Box<str>>)>,
    held: Option<Held>,
    connections: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    residue: Residue,
    /// Statements that the session has for clients.
    statements: u32,
    session_authorization: Box<str>,
    role: Box<str>,
}

/// Settings that aren't state to be set again, whatever their source says: they end with the transaction (but for
/// `transaction_timeout`), are kept as the session's identity, or are reported and no user can set them.
const NO_STATE: [&str; 12] = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "seed",
    "role",
    "session_authorization",
    "is_superuser",
    "in_hot_standby",
    "integer_datetimes",
    "server_encoding",
    "server_version",
    "server_version_num",
];

impl Answers {
    /// Reads the rows; `None` if they are not what was asked for.
    pub fn read(rows: Vec<Vec<Option<Box<str>>>>) -> Option<Self> {
        let mut answers = Self::default();
        for row in rows {
            match (row.first()?.as_deref()?, &row[1..]) {
                ("n" | "a", [Some(name), value]) => answers.settings.push((name.clone(), value.clone())),
                ("h", [counts @ .., Some(statements), Some(session_authorization), Some(role)]) => {
                    let (session_authorization, role) = (session_authorization.clone(), role.clone());
                    let (residue, statements) = (residue(counts)?, statements.parse().ok()?);
                    answers.held = Some(Held { residue, statements, session_authorization, role });
                }
                ("c", [Some(count)]) => answers.connections = Some(count.parse().ok()?),
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
        for (name, value) in &self.settings {
            let name = name.to_ascii_lowercase();
            match value {
                Some(value) if !NO_STATE.contains(&&*name) && baseline.overridden_by(&name, Some(value)) => {
                    after.values.insert(name.into(), value.clone());
                }
                _ => drop(after.values.remove(&*name)),
            }
        }
        if let Some(Held { session_authorization, role, .. }) = &self.held {
            after.session_authorization =
                (**session_authorization != *login_user).then(|| session_authorization.clone());
            after.role = (&**role != "none").then(|| role.clone());
        }
        after
    }

    /// The reasons to stay, when they were asked for.
    pub fn pins(&self, before: Pins) -> Pins {
        let residue = self.held.as_ref().map_or(before.residue, |held| held.residue);
        let connections = self.connections.unwrap_or(before.residue.connections);
        before.counted(Residue { connections, ..residue })
    }

    /// How many statements the session has for clients, when that was asked for.
    pub fn statements(&self) -> Option<u32> {
        self.held.as_ref().map(|held| held.statements)
    }
}

fn residue(counts: &[Option<Box<str>>]) -> Option<Residue> {
    let [advisory_locks, channels, held_cursors, sql_statements, temporary_objects, temporary_slots] = counts
    else {
        return None;
    };
    let number = |count: &Option<Box<str>>| count.as_deref()?.parse().ok();
    let slots: u32 = number(temporary_slots)?;
    Some(Residue {
        advisory_locks: number(advisory_locks)?,
        channels: number(channels)?,
        held_cursors: number(held_cursors)?,
        sql_statements: number(sql_statements)?,
        temporary_objects: number(temporary_objects)?,
        temporary_slots: u16::try_from(slots).unwrap_or(u16::MAX),
        connections: 0,
    })
}

/// The values that a client gave at startup and that its session has as overrides.
pub fn startup_overrides(values: impl IntoIterator<Item = (Box<str>, Box<str>)>) -> Overrides {
    Overrides { values: values.into_iter().collect::<BTreeMap<_, _>>(), ..Overrides::default() }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
