//! A `pgbouncer.ini` read as pgweir's own settings: `--config pgbouncer.ini` runs on them, `import` prints them.
//!
//! Every setting ends in one of four ways: the same here, different with a note, without an equivalent with a
//! note, or refused because going on without it would be less safe. Source: PgBouncer's documentation of its
//! configuration; the tables here state its defaults, since what a file leaves out counts as much.

pub mod connection_string;
pub mod ini;
pub mod table;
#[cfg(test)]
mod tests;
mod translate;
pub mod userlist;

use std::collections::HashSet;

pub use translate::translate;

use super::keys::Key;
use super::layer::Setting;
use super::origin::Origin;
use super::report::Problem;
use super::value::Raw;

/// What an ini file means here.
#[derive(Default)]
pub struct Translation {
    pub lines: Vec<Translated>,
    pub problems: Vec<Problem>,
}

/// One setting of the ini file (or a default of PgBouncer's that is not ours).
pub struct Translated {
    pub origin: Origin,
    /// The setting's name in the ini file.
    pub name: String,
    /// Empty: nothing here does the same.
    pub settings: Vec<(Key, Raw)>,
    /// What differs.
    pub note: Option<String>,
}

impl Translation {
    /// What differs, a line each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.lines.iter().filter_map(|line| {
            let note = line.note.as_ref().filter(|_| matches!(line.origin, Origin::File(_)))?;
            Some(format!("{}: {}: {note}", line.origin, line.name))
        })
    }

    /// The settings, the last of a key only, as PgBouncer reads it.
    pub fn into_settings(self) -> (Vec<Setting>, Vec<Problem>) {
        let mut seen = HashSet::new();
        let mut settings = Vec::new();
        for Translated { origin, settings: translated, .. } in self.lines.into_iter().rev() {
            for (key, raw) in translated.into_iter().rev() {
                if seen.insert(key.clone()) {
                    settings.push(Setting { key, raw, origin: origin.clone() });
                }
            }
        }
        settings.reverse();
        (settings, self.problems)
    }

    /// The same as `pgweir.toml`, with a comment where something differs. It holds the passwords that the
    /// PgBouncer's files hold.
    pub fn to_toml(&self) -> String {
        let mut tables: Vec<(String, String)> = vec![(String::new(), String::new())];
        let mut without = String::new();
        for line in &self.lines {
            let comment = line.comment();
            if line.settings.is_empty() {
                without += &comment;
            }
            for (index, (key, raw)) in line.settings.iter().enumerate() {
                let (header, name) = table_of(key);
                let at = tables.iter().position(|(known, _)| *known == header).unwrap_or_else(|| {
                    tables.push((header, String::new()));
                    tables.len() - 1
                });
                let comment = if index == 0 { comment.as_str() } else { "" };
                tables[at].1 += &format!("{comment}{name} = {}\n", raw.toml());
            }
        }
        let mut text = String::new();
        for (header, body) in tables.iter().filter(|(_, body)| !body.is_empty()) {
            let header = if header.is_empty() { String::new() } else { format!("[{header}]\n") };
            text += &format!("{header}{body}\n");
        }
        if !without.is_empty() {
            text += &format!("# Without an equivalent:\n{without}");
        }
        text
    }
}

impl Translated {
    fn comment(&self) -> String {
        match (&self.origin, &self.note) {
            (Origin::File(_), None) => String::new(),
            (Origin::File(_), Some(note)) => format!("# {}: {}: {note}\n", self.origin, self.name),
            (_, None) => format!("# {}: PgBouncer's default\n", self.name),
            (_, Some(note)) => format!("# {}: PgBouncer's default: {note}\n", self.name),
        }
    }
}

/// The TOML table that a key is written in, and its name there.
fn table_of(key: &Key) -> (String, &str) {
    let (table, name) = match key.section() {
        Some(section) => return (section, &key.name),
        None => key.name.rsplit_once('.').unwrap_or(("", &key.name)),
    };
    (table.to_owned(), name)
}
