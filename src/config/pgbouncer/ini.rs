//! The grammar of `pgbouncer.ini`: sections, `key = value` to the end of the line, `%include`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::origin::{Origin, Place, SourceText};
use crate::config::report::Problem;

/// How deep files may include one another.
const MAX_DEPTH: usize = 10;

/// One `key = value`.
#[derive(Clone)]
pub struct Entry {
    pub section: Section,
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Pgbouncer,
    Databases,
    Users,
    Peers,
}

/// What a file and those that it includes say.
#[derive(Default)]
pub struct Ini {
    pub entries: Vec<Entry>,
    pub problems: Vec<Problem>,
    /// It holds from the file that includes into the one that is included, and back.
    section: Option<Section>,
}

impl Ini {
    pub fn read(path: &Path) -> Self {
        let mut ini = Self::default();
        ini.include(path, &Origin::Default, 0);
        ini
    }

    fn include(&mut self, path: &Path, from: &Origin, depth: usize) {
        let text = match std::fs::read_to_string(path) {
            _ if depth > MAX_DEPTH => {
                let reason = format!("more than {MAX_DEPTH} files include one another");
                return self.problems.push(Problem::new(from, "%include", reason));
            }
            Ok(text) => text,
            Err(error) => {
                let reason = format!("can't read {}: {error}", path.display());
                return self.problems.push(Problem::new(from, "", reason));
            }
        };
        let source = source(path, &text);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim();
            let begin = start + line.len() - line.trim_start().len();
            let span = begin..begin + trimmed.len();
            let origin = Origin::File(Place { source: Arc::clone(&source), span });
            if let Err(reason) = self.line(path, trimmed, &origin, depth) {
                self.problems.push(Problem::new(&origin, "", reason));
            }
            start += line.len();
        }
    }

    fn line(&mut self, path: &Path, line: &str, origin: &Origin, depth: usize) -> Result<(), String> {
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Ok(());
        }
        if let Some(included) = line.strip_prefix("%include").filter(|rest| rest.starts_with([' ', '\t'])) {
            self.include(&beside(path, included.trim()), origin, depth + 1);
            return Ok(());
        }
        if let Some(name) = line.strip_prefix('[') {
            return self.header(name.strip_suffix(']').ok_or("a section's header must end with ]")?);
        }
        let (key, rest) = split_key(line)?;
        let value = rest.trim_start().strip_prefix('=').ok_or("expected key = value")?.trim();
        let section = self.section.ok_or("a setting stands before the first section")?;
        self.entries.push(Entry {
            section,
            key: key.to_owned(),
            value: value.to_owned(),
            origin: origin.clone(),
        });
        Ok(())
    }

    /// `[pgbouncer]` given again puts all its keys back to their defaults.
    fn header(&mut self, name: &str) -> Result<(), String> {
        let section = match name {
            "pgbouncer" => Section::Pgbouncer,
            "databases" => Section::Databases,
            "users" => Section::Users,
            "peers" => Section::Peers,
            _ => {
                return Err(format!(
                    "unknown section [{name}]; known are pgbouncer, databases, users, peers"
                ));
            }
        };
        if section == Section::Pgbouncer {
            self.entries.retain(|entry| entry.section != Section::Pgbouncer);
        }
        self.section = Some(section);
        Ok(())
    }
}

/// Bare, or in quotes (single ones as PgBouncer has them; double ones are taken too).
fn split_key(line: &str) -> Result<(&str, &str), String> {
    if let Some(quote) = line.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        return line[1..].split_once(quote).ok_or_else(|| "a quoted name has no end".to_owned());
    }
    let bare = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '*');
    match line.find(|c| !bare(c)).unwrap_or(line.len()) {
        0 => Err("expected key = value".to_owned()),
        end => Ok(line.split_at(end)),
    }
}

/// A path in a file: beside that file if there is one, else from the working directory as PgBouncer takes it.
pub fn beside(file: &Path, path: &str) -> PathBuf {
    let neighbour = file.parent().map(|directory| directory.join(path));
    neighbour.filter(|neighbour| neighbour.exists()).unwrap_or_else(|| path.into())
}

/// No line of it is ever shown: connection strings hold passwords.
fn source(path: &Path, text: &str) -> Arc<SourceText> {
    let masked =
        text.chars().map(|c| if c == '\n' { "\n".to_owned() } else { "*".repeat(c.len_utf8()) }).collect();
    Arc::new(SourceText { path: path.display().to_string(), masked, shown: false })
}
