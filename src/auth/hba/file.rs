//! Files of rules, with those that they include, as one list of lines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{HbaError, Wrong};
use super::token::{Field, Place, Token, fields};

/// How deep files may include one another; PostgreSQL's own bound.
const MAX_DEPTH: usize = 10;

/// The disk, or what stands for it.
pub trait Files {
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The names in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// Where a text comes from.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    File(&'a Path),
    /// From the configuration itself, under this key.
    Inline(&'static str, &'a str),
}

/// A line that isn't empty.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) fields: Vec<Field>,
}

/// All lines, included ones at the place of their include.
pub(super) fn lines(text: Text<'_>, files: &dyn Files) -> Result<Vec<Line>, HbaError> {
    let mut reader = Reader { files, lines: Vec::new() };
    match text {
        Text::File(path) => reader.file(path, 0)?,
        Text::Inline(key, text) => reader.text(key, Path::new(""), text, 0)?,
    }
    Ok(reader.lines)
}

impl Text<'_> {
    /// The place that stands for all of it.
    pub(super) fn whole(self) -> Place {
        let file = match self {
            Text::File(path) => path.display().to_string().into(),
            Text::Inline(key, _) => key.into(),
        };
        Place { file, line: 0 }
    }
}

struct Reader<'a> {
    files: &'a dyn Files,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), HbaError> {
        let name = path.display().to_string();
        let failed = |wrong: Wrong| wrong.at(&Text::File(path).whole());
        if depth > MAX_DEPTH {
            return Err(failed(Wrong::TooDeep(MAX_DEPTH)));
        }
        let text = self.files.read(path).map_err(|error| failed(error.into()))?;
        self.text(&name, path.parent().unwrap_or_else(|| Path::new("")), &text, depth)
    }

    /// `folder`: where relative names start.
    fn text(&mut self, name: &str, folder: &Path, text: &str, depth: usize) -> Result<(), HbaError> {
        let file: Arc<str> = name.into();
        for (line, text) in joined(text) {
            let place = Place { file: file.clone(), line };
            let fields = fields(&text, &place)?;
            match include(&fields) {
                Some((how, path)) => self.include(how, &folder.join(path), &place, depth)?,
                None if fields.is_empty() => {}
                None => {
                    let fields = self.expand(fields, folder, depth)?;
                    self.lines.push(Line { place, fields });
                }
            }
        }
        Ok(())
    }

    fn include(&mut self, how: Include, path: &Path, place: &Place, depth: usize) -> Result<(), HbaError> {
        let is_absent = |error: &HbaError| {
            error.place == Text::File(path).whole()
                && matches!(&error.wrong, Wrong::Io(io) if io.kind() == io::ErrorKind::NotFound)
        };
        match how {
            Include::Always => self.file(path, depth.saturating_add(1)),
            Include::IfExists => match self.file(path, depth.saturating_add(1)) {
                Err(error) if is_absent(&error) => Ok(()),
                outcome => outcome,
            },
            Include::Folder => {
                let listed = self.files.list(path);
                let mut names = listed.map_err(|error| {
                    let why = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                    Wrong::Io(why).at(place)
                })?;
                names.retain(|name| is_configuration(name));
                names.sort();
                names.iter().try_for_each(|name| self.file(&path.join(name), depth.saturating_add(1)))
            }
        }
    }

    /// Puts the names of a file in the place of `@file`.
    fn expand(&self, fields: Vec<Field>, folder: &Path, depth: usize) -> Result<Vec<Field>, HbaError> {
        let expand = |field: Field| {
            let mut names = Field::new();
            for token in field {
                match token.text.strip_prefix('@') {
                    Some(path) if !token.quoted && !path.is_empty() => {
                        names.extend(self.names(&folder.join(path), depth.saturating_add(1))?);
                    }
                    _ => names.push(token),
                }
            }
            Ok(names)
        };
        fields.into_iter().map(expand).collect()
    }

    fn names(&self, path: &Path, depth: usize) -> Result<Vec<Token>, HbaError> {
        let mut inner = Reader { files: self.files, lines: Vec::new() };
        inner.file(path, depth)?;
        let names: Vec<_> = inner.lines.into_iter().flat_map(|line| line.fields).flatten().collect();
        if names.is_empty() { Err(Wrong::NoNames.at(&Text::File(path).whole())) } else { Ok(names) }
    }
}

#[derive(Clone, Copy)]
enum Include {
    Always,
    IfExists,
    Folder,
}

fn include(fields: &[Field]) -> Option<(Include, &str)> {
    let [first, second] = fields else { return None };
    let ([word], [path]) = (first.as_slice(), second.as_slice()) else { return None };
    let how = match word.text.as_str() {
        "include" => Include::Always,
        "include_if_exists" => Include::IfExists,
        "include_dir" => Include::Folder,
        _ => return None,
    };
    Some((how, &path.text))
}

/// What `include_dir` takes: names that end in `.conf` and aren't hidden.
fn is_configuration(name: &Path) -> bool {
    let hidden = name.to_string_lossy().starts_with('.');
    !hidden && name.extension().is_some_and(|extension| extension == "conf")
}

/// Lines with their numbers; one that ends with a backslash goes on in the next.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (1..).zip(text.lines()) {
        let part = text.strip_suffix('\\');
        match joined.last_mut().filter(|_| goes_on) {
            Some((_, before)) => before.push_str(part.unwrap_or(text)),
            None => joined.push((line, part.unwrap_or(text).to_owned())),
        }
        goes_on = part.is_some();
    }
    joined
}
