//! From what an ini file says to our keys.

use std::collections::HashMap;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::keys::{Key, PARAMETERS, Scope};
use crate::config::layer::{Draft, Setting};
use crate::config::nearest::nearest;
use crate::config::origin::Origin;
use crate::config::report::Problem;
use crate::config::source::exposed;
use crate::config::value::Raw;

use super::connection_string;
use super::ini::{Entry, Ini, Section, beside};
use super::table::{self, Known, SETTINGS, To, Zero};
use super::userlist;
use super::{Translated, Translation};

/// Reads `path` and what it includes.
pub fn translate(path: &Path) -> Translation {
    let Ini { entries, problems, .. } = Ini::read(path);
    let mut translation = Translation { problems, ..Translation::default() };
    if !translation.problems.is_empty() {
        return translation;
    }
    let settings = Settings::of(&entries);
    for known in SETTINGS {
        translation.setting(known, &settings, path);
    }
    for entry in last_of_each(&entries) {
        match entry.section {
            Section::Pgbouncer => translation.unknown(entry),
            Section::Databases => translation.database(entry, &settings),
            Section::Users => translation.without(entry, "settings of single users are not built yet"),
            Section::Peers => translation.without(entry, "peering is not built yet"),
        }
    }
    translation
}

/// The values of `[pgbouncer]`.
struct Settings<'a>(HashMap<&'a str, &'a Entry>);

impl<'a> Settings<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let section = entries.iter().filter(|entry| entry.section == Section::Pgbouncer);
        Self(section.map(|entry| (entry.key.as_str(), entry)).collect())
    }

    /// The value, or PgBouncer's default, and where it stands.
    fn get(&self, known: &Known) -> (&'a str, Origin) {
        match self.0.get(known.name) {
            Some(entry) => (&entry.value, entry.origin.clone()),
            None => (known.default, Origin::Default),
        }
    }

    fn value(&self, name: &str) -> &'a str {
        table::find(name).map_or("", |known| self.get(known).0)
    }

    fn origin(&self, names: &[&str]) -> Origin {
        names.iter().find_map(|name| self.0.get(name)).map(|entry| entry.origin.clone()).unwrap_or_default()
    }
}

/// A name given twice: the last counts.
fn last_of_each(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().enumerate().filter_map(|(index, entry)| {
        let again = |later: &Entry| later.section == entry.section && later.key == entry.key;
        (!entries[index + 1..].iter().any(again)).then_some(entry)
    })
}

/// A value here, and a note where it means something else.
type Converted = Result<(Raw, Option<String>), String>;

fn convert(to: To, value: &str) -> Option<(&'static str, Converted)> {
    match to {
        To::Word(key) => Some((key, Ok((Raw::String(value.to_ascii_lowercase()), None)))),
        To::Count(key, zero) => {
            let number = integer(value).ok_or_else(|| format!("\"{value}\" is not an integer"));
            Some((key, number.map(|n| at_zero(n == 0, zero, Raw::Integer(n)))))
        }
        To::Seconds(key, zero) => {
            let duration = seconds(value).ok_or_else(|| format!("\"{value}\" is not a number of seconds"));
            Some((key, duration.map(|(text, is_zero)| at_zero(is_zero, zero, Raw::String(text)))))
        }
        To::File(key) | To::Text(key) if !value.is_empty() => {
            Some((key, Ok((Raw::String(value.to_owned()), None))))
        }
        To::File(_) | To::Text(_) | To::Composed | To::Needless(_) | To::Missing(_) => None,
    }
}

fn at_zero(is_zero: bool, zero: Zero, raw: Raw) -> (Raw, Option<String>) {
    match zero {
        Zero::Off if is_zero => (Raw::String("off".to_owned()), None),
        Zero::Instead(value, note) if is_zero => {
            let value = value.parse().map_or_else(|_| Raw::String(value.to_owned()), Raw::Integer);
            (value, Some(note.to_owned()))
        }
        _ => (raw, None),
    }
}

/// As C reads it: `0x10` is hexadecimal, `010` octal.
fn integer(text: &str) -> Option<i64> {
    match text {
        hex if hex.starts_with("0x") => i64::from_str_radix(&hex[2..], 16).ok(),
        octal if octal.len() > 1 && octal.starts_with('0') => i64::from_str_radix(octal, 8).ok(),
        decimal => decimal.parse().ok(),
    }
}

/// Decimal seconds as a duration of ours, in whole microseconds; and whether they are 0.
fn seconds(text: &str) -> Option<(String, bool)> {
    let number: f64 = text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    let duration = std::time::Duration::try_from_secs_f64(number).ok()?;
    let micros = u64::try_from(duration.as_micros()).ok()?;
    let text = match micros {
        whole if whole.is_multiple_of(1_000_000) => format!("{}s", whole / 1_000_000),
        whole if whole.is_multiple_of(1_000) => format!("{}ms", whole / 1_000),
        _ => format!("{micros}us"),
    };
    Some((text, micros == 0))
}

/// Whether a setting says what stands here anyway.
fn is_default(key: &Key, raw: &Raw) -> bool {
    let value = |settings| {
        let shown = Draft::of(vec![settings]).shown();
        shown.into_iter().find(|shown| shown.key == *key).map(|shown| shown.value)
    };
    let setting = Setting { key: key.clone(), raw: raw.clone(), origin: Origin::Default };
    value(vec![setting]) == value(Vec::new())
}

fn process(name: &str) -> Key {
    Key::new(Scope::Process, name)
}

impl Translation {
    fn add(&mut self, origin: &Origin, name: &str, settings: Vec<(Key, Raw)>, note: Option<String>) {
        self.lines.push(Translated { origin: origin.clone(), name: name.to_owned(), settings, note });
    }

    fn refuse(&mut self, origin: &Origin, name: &str, reason: impl Into<String>) {
        self.problems.push(Problem::new(origin, name, reason.into()));
    }

    fn without(&mut self, entry: &Entry, note: &str) {
        self.add(&entry.origin, &entry.key, Vec::new(), Some(note.to_owned()));
    }

    fn setting(&mut self, known: &Known, settings: &Settings<'_>, path: &Path) {
        let (value, origin) = settings.get(known);
        let given = matches!(origin, Origin::File(_));
        match convert(known.to, value) {
            Some((_, Err(reason))) => self.refuse(&origin, known.name, reason),
            Some((key, Ok((raw, note)))) => {
                let key = process(key);
                if given || !is_default(&key, &raw) {
                    self.add(&origin, known.name, vec![(key, raw)], note);
                }
            }
            None => match known.to {
                To::Missing(note) | To::Needless(note) if given => {
                    self.add(&origin, known.name, Vec::new(), Some(note.to_owned()));
                }
                To::Composed => self.composed(known.name, value, &origin, settings, path),
                _ => {}
            },
        }
    }

    fn composed(&mut self, name: &str, value: &str, origin: &Origin, settings: &Settings<'_>, path: &Path) {
        match name {
            "listen_addr" => self.listen(settings),
            "auth_type" => self.auth_type(value, origin, settings),
            "auth_query" => self.auth_query(value, settings),
            "auth_file" if !value.is_empty() => self.auth_file(value, origin, path),
            "verbose" if integer(value).is_some_and(|level| level > 0) => {
                let level = Raw::String("debug".to_owned());
                self.add(origin, name, vec![(process("log.level"), level)], None);
            }
            _ => {}
        }
    }

    fn listen(&mut self, settings: &Settings<'_>) {
        let origin = settings.origin(&["listen_addr", "listen_port", "unix_socket_dir"]);
        let port = settings.value("listen_port");
        let mut addresses = Vec::new();
        let mut note = None;
        for host in settings.value("listen_addr").split(',').map(str::trim).filter(|host| !host.is_empty()) {
            addresses.push(match host {
                "*" => {
                    note = Some("* is all addresses of IPv4 here; add \"[::]:PORT\" for IPv6".to_owned());
                    format!("0.0.0.0:{port}")
                }
                v6 if v6.contains(':') => format!("[{v6}]:{port}"),
                host => format!("{host}:{port}"),
            });
        }
        match settings.value("unix_socket_dir") {
            "" => {}
            directory if directory.starts_with('@') => {
                note = Some("abstract Unix sockets are not built yet".to_owned());
            }
            directory => addresses.push(format!("unix:{directory}:{port}")),
        }
        self.add(&origin, "listen_addr", vec![(process("listen"), Raw::List(addresses))], note);
    }

    fn auth_type(&mut self, value: &str, origin: &Origin, settings: &Settings<'_>) {
        const LOCAL: &str = "for clients on this machine; auth.allow_remote_trust = true lets others in, too";
        const ENCRYPTED: &str = "without TLS on this machine only, unless auth.allow_remote_cleartext = true";
        const NAMES: &str = "the common name counts here, any name of the certificate there";
        let value = value.to_ascii_lowercase();
        let (method, note) = match value.as_str() {
            "hba" => return self.hba(origin, settings),
            "trust" => ("trust", Some(LOCAL)),
            "plain" => ("cleartext", Some(ENCRYPTED)),
            "cert" => ("cert", Some(NAMES)),
            method @ ("md5" | "scram-sha-256" | "peer") => (method, None),
            _ => return self.refuse(origin, "auth_type", format!("{value} is not supported")),
        };
        let method = vec![(process("auth.method"), Raw::String(method.to_owned()))];
        self.add(origin, "auth_type", method, note.map(str::to_owned));
    }

    fn hba(&mut self, origin: &Origin, settings: &Settings<'_>) {
        let file = |name: &str| Some(settings.value(name)).filter(|file| !file.is_empty());
        let Some(rules) = file("auth_hba_file") else {
            return self.refuse(origin, "auth_type", "hba needs auth_hba_file");
        };
        let maps = file("auth_ident_file").map(|maps| (process("auth.ident_file"), maps));
        let files = [(process("auth.hba_file"), rules)].into_iter().chain(maps);
        let files = files.map(|(key, file)| (key, Raw::String(file.to_owned()))).collect();
        let note = "a line that can't be used is an error here, there it is passed over";
        self.add(origin, "auth_type", files, Some(note.to_owned()));
    }

    /// Nobody is looked up there without an auth_user.
    fn auth_query(&mut self, value: &str, settings: &Settings<'_>) {
        let query = if settings.value("auth_user").is_empty() { "off" } else { value };
        let (origin, query) = (settings.origin(&["auth_query", "auth_user"]), Raw::String(query.to_owned()));
        self.add(&origin, "auth_query", vec![(process("auth.query"), query)], None);
    }

    fn auth_file(&mut self, value: &str, origin: &Origin, path: &Path) {
        let file = beside(path, value);
        let text = match std::fs::read_to_string(&file).map(Zeroizing::new) {
            Ok(text) => text,
            Err(error) => {
                return self.refuse(origin, "auth_file", format!("can't read {}: {error}", file.display()));
            }
        };
        let (users, broken) = userlist::parse(&text);
        let note =
            broken.map(|line| format!("line {line} can't be read; the users from there on are left out"));
        let note = note.or_else(|| exposed::note(&file));
        let (with, without): (Vec<_>, Vec<_>) =
            users.into_iter().partition(|(_, password)| !password.is_empty());
        let password = |(user, password)| (Key::new(Scope::User(user), "password"), Raw::String(password));
        self.add(origin, "auth_file", with.into_iter().map(password).collect(), note);
        for (user, _) in without {
            let note = format!("user {user:?} has no password and can't log in");
            self.add(origin, "auth_file", Vec::new(), Some(note));
        }
    }

    /// Known settings were translated by their rows.
    fn unknown(&mut self, entry: &Entry) {
        if table::find(&entry.key).is_none() {
            let near = nearest(&entry.key, SETTINGS.iter().map(|known| known.name));
            let note = near.map_or_else(String::new, |name| format!("; did you mean {name}?"));
            self.without(entry, &format!("PgBouncer has no such setting{note}"));
        }
    }

    fn database(&mut self, entry: &Entry, settings: &Settings<'_>) {
        let pairs = match connection_string::parse(&entry.value) {
            _ if entry.key == "pgbouncer" => Err("this name is kept for the admin console".to_owned()),
            pairs => pairs,
        };
        let pairs = match pairs {
            Ok(pairs) => pairs,
            Err(reason) => return self.refuse(&entry.origin, &format!("[databases] {}", entry.key), reason),
        };
        let mut found = Vec::new();
        let mut notes = Vec::new();
        for (name, value) in &pairs {
            match database_setting(name, value) {
                Ok((setting, note)) => {
                    found.extend(setting);
                    notes.extend(note.map(|note| format!("{name}: {note}")));
                }
                Err(reason) => self.refuse(&entry.origin, &format!("[databases] {}", entry.key), reason),
            }
        }
        if !pairs.iter().any(|(name, _)| name == "host") {
            found.push(("host".to_owned(), Raw::String(settings.value("unix_socket_dir").to_owned())));
        }
        // The user alone switches it on there.
        if pairs.iter().any(|(name, _)| name == "auth_user")
            && !pairs.iter().any(|(name, _)| name == "auth_query")
        {
            found.push(("auth.query".to_owned(), Raw::String(settings.value("auth_query").to_owned())));
        }
        // PgBouncer answers a server that asks for MD5 without being told to.
        found.push(("allow_md5".to_owned(), Raw::Boolean(true)));
        let key = |name| Key::new(Scope::Database(entry.key.clone()), name);
        let translated = found.into_iter().map(|(name, raw)| (key(name), raw)).collect();
        self.add(&entry.origin, &entry.key, translated, (!notes.is_empty()).then(|| notes.join("; ")));
    }
}

type OfDatabase = (Option<(String, Raw)>, Option<String>);

/// One pair of a connection string.
fn database_setting(name: &str, value: &str) -> Result<OfDatabase, String> {
    let text = |key: &str| Ok((Some((key.to_owned(), Raw::String(value.to_owned()))), None));
    let like = |setting: &str, here: &str| {
        let to = table::find(setting).map_or(To::Composed, |known| known.to);
        let (_, converted) = convert(to, value).ok_or_else(|| format!("{setting} can't be converted"))?;
        converted
            .map(|(raw, note)| (Some((here.to_owned(), raw)), note))
            .map_err(|why| format!("{name}: {why}"))
    };
    let missing = |note: &str| Ok((None, Some(note.to_owned())));
    match name {
        "host" if value.starts_with('@') => Err("host: abstract Unix sockets are not built yet".to_owned()),
        "host" => {
            let several = "several hosts are tried in order here, round robin there";
            let note = value.contains(',').then(|| several.to_owned());
            Ok((Some(("host".to_owned(), Raw::String(value.to_owned()))), note))
        }
        "port" => {
            let port = integer(value).ok_or("port: not an integer")?;
            Ok((Some(("port".to_owned(), Raw::Integer(port))), None))
        }
        "dbname" | "user" | "password" => text(name),
        "pool_size" => like("default_pool_size", "pool.size"),
        "min_pool_size" => like("min_pool_size", "pool.min_size"),
        "reserve_pool_size" | "reserve_pool" => like("reserve_pool_size", "pool.reserve_size"),
        "pool_mode" => like("pool_mode", "pool.mode"),
        "max_db_connections" => like("max_db_connections", "max_servers"),
        // 0 inherits there.
        "server_lifetime" if value == "0" => Ok((None, None)),
        "server_lifetime" => like("server_lifetime", "pool.server_lifetime"),
        "query_wait_timeout" => like("query_wait_timeout", "pool.queue_timeout"),
        "client_encoding" | "datestyle" | "timezone" | "application_name" => {
            text(&format!("{PARAMETERS}{name}"))
        }
        "connect_query" => missing("it is not run; use parameters for what it sets"),
        "load_balance_hosts" => missing("several hosts are tried in order"),
        "max_db_client_connections" => {
            missing("clients are bounded over all databases only (limits.max_clients)")
        }
        "auth_user" => text("auth.user"),
        "auth_query" => text("auth.query"),
        "auth_dbname" => text("auth.dbname"),
        _ => Err(format!("unknown key {name}")),
    }
}
