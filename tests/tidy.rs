//! The house as a test: which room may use which, and what every file owes its reader.
//!
//! `src/lib.rs` lists the rooms storey by storey, from the ground up. A room uses rooms of lower storeys, and
//! neighbours of its own as long as they don't use it in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests, beyond which it has to stand in [`LONG`].
const FILE_LINES: usize = 400;
/// Longer files, each with the reason why it isn't two.
const LONG: &[(&str, &str)] = &[];
/// Storeys from the ground whose rooms are pure.
const PURE_STOREYS: usize = 2;

struct File {
    /// Below `src/`, as `pool/core.rs`.
    path: String,
    text: String,
}

impl File {
    /// The room that it belongs to; `None` for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        self.path.split_once('/').map(|(room, _)| room)
    }

    /// Paths of the modules that it declares for tests alone.
    fn test_modules(&self) -> Vec<String> {
        let folder = self.path.strip_suffix("mod.rs").or_else(|| self.path.strip_suffix("lib.rs"));
        let folder = folder.map_or_else(|| self.path.replace(".rs", "/"), str::to_owned);
        let declared = self.text.split("#[cfg(test)]\nmod ").skip(1);
        let names = declared.filter_map(|text| text.lines().next()?.strip_suffix(';'));
        names.map(|name| format!("{folder}{name}.rs")).collect()
    }
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).expect("a folder of src/");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(read(&root, path));
            }
        }
    }
    assert!(files.len() > 10, "src/ was found");
    files
}

fn read(root: &Path, path: PathBuf) -> File {
    let text = fs::read_to_string(&path).expect("UTF-8");
    let path = path.strip_prefix(root).expect("below src/").to_string_lossy().replace('\\', "/");
    File { path, text }
}

/// Room → storey, 0 at the ground. A blank line in `lib.rs` ends a storey.
fn storeys() -> BTreeMap<String, usize> {
    let lib = include_str!("../src/lib.rs");
    let rooms = |storey: &str| -> Vec<String> {
        let names = storey.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        names.map(str::to_owned).collect()
    };
    let storeys = lib.split("\n\n").map(rooms).filter(|rooms| !rooms.is_empty());
    storeys.enumerate().flat_map(|(i, rooms)| rooms.into_iter().map(move |room| (room, i))).collect()
}

/// `text` with comments and the insides of string and character literals blanked; lines stay.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let length = skip(rest);
        let (skipped, after) = rest.split_at(length.unwrap_or_else(|| c.len_utf8()));
        match length {
            Some(_) => code.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push(c),
        }
        rest = after;
    }
    code
}

/// The length of the comment or literal at the start of `rest`.
fn skip(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if let Some(raw) = rest.strip_prefix("r#") {
        let hashes = 1 + raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = rest[1 + hashes..].strip_prefix('"')?;
        return Some(body.find(&end).map_or(rest.len(), |at| 2 + hashes + at + end.len()));
    }
    if let Some(body) = rest.strip_prefix("r\"") {
        return Some(body.find('"').map_or(rest.len(), |at| at + 3));
    }
    if let Some(body) = rest.strip_prefix('"') {
        return Some(1 + closing(body, '"'));
    }
    let body = rest.strip_prefix('\'')?;
    let mut chars = body.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(1 + closing(body, '\'')),
        (c, '\'') => Some(2 + c.len_utf8()),
        _ => None, // a lifetime
    }
}

/// The length of a literal's rest, its unescaped closing `quote` included.
fn closing(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

/// What stands directly behind each `crate::` in `code`: one name, or the first names of a group.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(ident(rest)),
        }
    }
    found
}

fn ident(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first name of each member of `a::b, c::{d, e}}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_head) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && (c.is_alphanumeric() || c == '_') => {
                heads.extend(ident(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// Room → rooms that it uses.
fn uses(storeys: &BTreeMap<String, usize>) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    for file in files() {
        let Some(room) = file.room() else { continue };
        let used = imports(&code(&file.text)).into_iter().filter(|name| storeys.contains_key(name));
        uses.entry(room.to_owned()).or_default().extend(used.filter(|name| name != room));
    }
    uses
}

#[test]
fn a_room_uses_no_room_above_it() {
    let storeys = storeys();
    assert!(storeys.len() > 10, "lib.rs lists the rooms: {storeys:?}");
    for (room, used) in uses(&storeys) {
        for other in used {
            assert!(storeys[&other] <= storeys[&room], "{room} uses {other}, which is above it");
        }
    }
}

#[test]
fn no_rooms_stand_in_a_ring() {
    let mut uses = uses(&storeys());
    // Take away whoever uses nobody that is left, until nothing moves.
    while let Some(free) = uses.iter().find(|(_, used)| used.is_empty()).map(|(room, _)| room.clone()) {
        uses.remove(&free);
        uses.values_mut().for_each(|used| _ = used.remove(&free));
    }
    assert!(uses.is_empty(), "in a ring, or above one: {uses:?}");
}

#[test]
fn pure_rooms_say_so_to_clippy() {
    let files = files();
    for (room, _) in storeys().into_iter().filter(|(_, storey)| *storey < PURE_STOREYS) {
        let path = format!("{room}/mod.rs");
        let file = files.iter().find(|file| file.path == path).expect("a room has a mod.rs");
        let is_empty = !code(&file.text).contains("mod ");
        let denies = file.text.contains("#![deny(clippy::disallowed_methods)]");
        assert!(is_empty || denies, "{path} lacks #![deny(clippy::disallowed_methods)]");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = files().into_iter().filter(|file| !file.text.starts_with("//!"));
    assert_eq!(silent.map(|file| file.path).collect::<Vec<_>>(), [""; 0], "these don't begin with //!");
}

#[test]
fn files_are_short() {
    let files = files();
    let tests: BTreeSet<_> = files.iter().flat_map(File::test_modules).collect();
    let lines = |file: &File| {
        let (body, _tests) = file.text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((&file.text, ""));
        body.lines().count()
    };
    let long = files.iter().filter(|file| !tests.contains(&file.path) && lines(file) > FILE_LINES);
    let long: BTreeSet<_> = long.map(|file| &*file.path).collect();
    let excused: BTreeSet<_> = LONG.iter().map(|(path, _)| *path).collect();
    assert_eq!(long, excused, "longer than {FILE_LINES} lines; those with a reason stand in LONG");
    assert!(LONG.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn nothing_is_left_unfinished() {
    for file in files() {
        for mark in ["todo!(", "unimplemented!(", "dbg!("] {
            assert!(!code(&file.text).contains(mark), "{}: {mark})", file.path);
        }
        for mark in ["FIXME", "XXX", "TODO"] {
            let found = file.text.split(|c: char| !c.is_alphanumeric()).any(|word| word == mark);
            assert!(!found, "{}: {mark}", file.path);
        }
    }
}

#[test]
fn every_sqlstate_and_metric_stands_in_the_documents() {
    let (errors, metrics) = (include_str!("../docs/errors.md"), include_str!("../docs/metrics.md"));
    for code in quoted(include_str!("../src/wire/sqlstate.rs"), "(*b\"") {
        assert!(errors.contains(code), "docs/errors.md lacks SQLSTATE {code}");
    }
    for file in files() {
        for metric in quoted(&file.text, "\"pgweir_") {
            assert!(metrics.contains(&format!("`pgweir_{metric}`")), "{}: pgweir_{metric}", file.path);
        }
    }
}

/// What stands between each `open` and the next quote.
fn quoted<'a>(text: &'a str, open: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(open).filter_map(move |(at, _)| text[at + open.len()..].split('"').next())
}

mod the_reader_of_code {
    use super::*;

    #[test]
    fn blanks_comments_and_literals() {
        let text =
            "use a; // crate::b\nlet c = \"crate::\\\"d\"; /* crate::e */ 'x' '\\'' &'a r#\"crate::\"f\"# g";
        let code = code(text);
        assert!(!code.contains("crate::"), "{code}");
        assert!(code.contains("&'a") && code.ends_with(" g"), "{code}");
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn finds_imports_in_groups() {
        let found =
            imports("use crate::a::b; use crate::{c::{d, e}, f}; crate::g::h(); pub(crate) use super::i;");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "c", "f", "g"]);
    }
}
