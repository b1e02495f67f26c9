//! `pgweir.toml`: keys with their places. Every unknown key is found, not just the first.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::keys::{Key, Scope, names};
use crate::config::layer::Setting;
use crate::config::nearest::nearest;
use crate::config::origin::{Origin, Place, SourceText};
use crate::config::report::Problem;
use crate::config::source::secret_file;
use crate::config::value::Raw;

/// Reads `text`, which is what `path` holds. Files of secrets are looked for beside it.
pub fn read(path: &Path, text: &str) -> (Vec<Setting>, Vec<Problem>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let leaves = leaves(document.get_ref());
    let shown = errors.is_empty();
    let source =
        Arc::new(SourceText { path: path.display().to_string(), masked: mask(text, &leaves), shown });
    let at = |span: Range<usize>| Origin::File(Place { source: Arc::clone(&source), span });
    if !errors.is_empty() {
        // What can't be parsed can't be masked either, so no line is quoted.
        let problem =
            |error: &toml::de::Error| Problem::new(&at(error.span().unwrap_or(0..0)), "", error.message());
        return (Vec::new(), errors.iter().map(problem).collect());
    }
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut settings: Vec<Setting> = Vec::new();
    let mut problems = Vec::new();
    for leaf in leaves {
        let origin = at(leaf.value_span.clone());
        match leaf.setting(base, &origin) {
            Ok(setting) if settings.iter().any(|known| known.key == setting.key) => {
                problems.push(Problem::new(&origin, &setting.key, "given twice, by itself and by a file"));
            }
            Ok(setting) => settings.push(setting),
            Err(Refused::Key(reason)) => problems.push(Problem::new(&at(leaf.key_span), leaf.path, reason)),
            Err(Refused::Value(reason)) => problems.push(Problem::new(&origin, leaf.path, reason)),
        }
    }
    (settings, problems)
}

/// A value that is no table, or a table that stands where none is known.
struct Leaf<'a> {
    /// As written, for errors.
    path: String,
    /// `None`: it lies in no scope (`users = 1`).
    key: Option<Key>,
    key_span: Range<usize>,
    value: &'a DeValue<'a>,
    value_span: Range<usize>,
}

enum Refused {
    Key(String),
    Value(String),
}

impl Leaf<'_> {
    fn setting(&self, base: &Path, origin: &Origin) -> Result<Setting, Refused> {
        let Some(key) = &self.key else {
            return Err(Refused::Value("expected tables with a name each, as in [users.NAME]".to_owned()));
        };
        let held = secret_file::held_key(key);
        if key.about().is_none() && held.is_none() {
            return Err(match self.value {
                value if is_section(key) => {
                    Refused::Value(format!("expected a table, found {}", named(value)))
                }
                _ => Refused::Key(unknown(key)),
            });
        }
        let expected = key.about().map_or_else(|| "a file's path".to_owned(), |about| (about.accepts)());
        let raw = raw(self.value, &expected).map_err(Refused::Value)?;
        let (key, raw) = match held {
            Some(held) => (held, secret_file::read(base, &raw).map_err(Refused::Value)?),
            None => (key.clone(), raw),
        };
        Ok(Setting { key, raw, origin: origin.clone() })
    }

    /// Only the value of a known key that isn't secret may be shown: a mistyped `passwrod` is unknown.
    fn is_hidden(&self) -> bool {
        self.key.as_ref().and_then(Key::about).is_none_or(|about| (about.is_secret)())
    }
}

fn leaves<'a>(document: &'a DeTable<'a>) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    for (name, value) in document {
        let scope: Option<fn(String) -> Scope> = match name.get_ref().as_ref() {
            "databases" => Some(Scope::Database),
            "users" => Some(Scope::User),
            _ => None,
        };
        let Some(scope) = scope else {
            descend(&mut found, &Scope::Process, name.get_ref(), name.span(), value);
            continue;
        };
        let owners = value.get_ref().as_table().into_iter().flatten();
        let mut owned = false;
        for (owner, value) in owners {
            owned = true;
            let scope = scope(owner.get_ref().to_string());
            match value.get_ref().as_table() {
                Some(table) => {
                    for (name, value) in table {
                        descend(&mut found, &scope, name.get_ref(), name.span(), value);
                    }
                }
                None => found.push(outside(
                    format!("{}.{}", name.get_ref(), owner.get_ref()),
                    owner.span(),
                    value,
                )),
            }
        }
        if !owned && !value.get_ref().is_table() {
            found.push(outside(name.get_ref().to_string(), name.span(), value));
        }
    }
    found
}

/// Adds what lies under the key `name` of `scope`.
fn descend<'a>(
    found: &mut Vec<Leaf<'a>>,
    scope: &Scope,
    name: &str,
    key_span: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
) {
    let key = Key::new(scope.clone(), name);
    match value.get_ref().as_table() {
        Some(table) if is_section(&key) => {
            for (part, value) in table {
                descend(found, scope, &format!("{name}.{}", part.get_ref()), part.span(), value);
            }
        }
        _ => found.push(Leaf { key: Some(key), ..outside(spell(scope, name), key_span, value) }),
    }
}

fn outside<'a>(path: String, key_span: Range<usize>, value: &'a Spanned<DeValue<'a>>) -> Leaf<'a> {
    Leaf { path, key: None, key_span, value: value.get_ref(), value_span: value.span() }
}

fn spell(scope: &Scope, name: &str) -> String {
    Key::new(scope.clone(), name).to_string()
}

/// Whether known keys begin with this one and a dot.
fn is_section(key: &Key) -> bool {
    let prefix = format!("{}.", key.name);
    let parameters = matches!(key.scope, Scope::Database(_)) && key.name == "parameters";
    parameters || names(&key.scope).iter().any(|name| name.starts_with(&prefix))
}

/// Says which known key may be meant: one nearby in the same section, else one of this name elsewhere.
fn unknown(key: &Key) -> String {
    let known = names(&key.scope);
    let (section, last) = key.name.rsplit_once('.').map_or(("", key.name.as_str()), |(s, last)| (s, last));
    let in_section = known.iter().filter_map(|name| match section {
        "" => Some(name.split('.').next().unwrap_or(name)),
        section => name.strip_prefix(section)?.strip_prefix('.'),
    });
    let also_owners =
        ["databases", "users"].into_iter().filter(|_| section.is_empty() && key.scope == Scope::Process);
    let elsewhere = || known.iter().find(|name| name.rsplit('.').next() == Some(last)).map(String::as_str);
    match nearest(last, in_section.chain(also_owners)).or_else(elsewhere) {
        Some(name) => format!("unknown key; did you mean \"{name}\"?"),
        None => "unknown key".to_owned(),
    }
}

fn raw(value: &DeValue<'_>, expected: &str) -> Result<Raw, String> {
    Ok(match value {
        DeValue::String(text) => Raw::String(text.to_string()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Raw::Integer)
            .map_err(|_| format!("the number is out of range: {expected}"))?,
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            Raw::List(
                texts
                    .collect::<Option<_>>()
                    .ok_or_else(|| format!("expected {expected}, found another list"))?,
            )
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            return Err(format!("expected {expected}, found {}", named(value)));
        }
    })
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The text with all that may be secret overwritten.
fn mask(text: &str, leaves: &[Leaf<'_>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for leaf in leaves.iter().filter(|leaf| leaf.is_hidden()) {
        overwrite(&mut bytes, leaf.value, leaf.value_span.clone());
    }
    String::from_utf8(bytes).expect("whole values were overwritten with ASCII")
}

/// Of a table only the values, so that its header can be shown.
fn overwrite(bytes: &mut [u8], value: &DeValue<'_>, span: Range<usize>) {
    if let Some(table) = value.as_table() {
        return table.values().for_each(|value| overwrite(bytes, value.get_ref(), value.span()));
    }
    let bytes = bytes.get_mut(span).into_iter().flatten();
    bytes.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
}
