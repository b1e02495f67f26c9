//! The files about the configuration say what the code says.

use std::fs;
use std::path::{Path, PathBuf};

use pgweir::config::keys::{DATABASE, POOL, TOP, USER};
use pgweir::config::{Inputs, Plan, docs, load, source};

const BEGIN: &str = "cargo test --test config -- --ignored` -->\n";
const END: &str = "<!-- end of keys -->";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn plan(file: Option<PathBuf>) -> Plan {
    let environment = [("DATABASE_URL".to_owned(), "postgres://app:secret@db/app".to_owned())].into();
    load(Inputs { file, environment, flags: Vec::new() }).unwrap_or_else(|report| panic!("{report}")).plan
}

/// The page with its tables written anew.
fn page() -> String {
    let page = read("docs/configuration.md");
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    format!("{head}{BEGIN}{}\n{END}{tail}", docs::tables())
}

#[test]
fn the_example_and_the_page_are_up_to_date() {
    assert!(read("config.example.toml") == docs::example(), "run: cargo test --test config -- --ignored");
    assert!(read("docs/configuration.md") == page(), "run: cargo test --test config -- --ignored");
}

#[test]
#[ignore = "writes config.example.toml and the tables of docs/configuration.md"]
fn write_them() {
    fs::write(path("config.example.toml"), docs::example()).unwrap();
    fs::write(path("docs/configuration.md"), page()).unwrap();
}

#[test]
fn the_example_parses_to_the_defaults() {
    assert_eq!(format!("{:?}", plan(Some(path("config.example.toml")))), format!("{:?}", plan(None)));
}

/// A line that begins with `#` and no blank is a setting without a default.
#[test]
fn the_example_names_every_key() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = read("config.example.toml").lines().map(uncommented).collect();
    let (settings, problems) = source::toml::read(Path::new("example"), &text);
    assert!(problems.is_empty(), "{problems:?}");
    let set: Vec<_> = settings.iter().map(|setting| setting.key.to_string()).collect();
    let keys = (TOP.iter().map(|row| row.about.name.to_owned()))
        .chain(POOL.iter().map(|row| format!("pool.{}", row.about.name)))
        .chain(DATABASE.iter().map(|row| format!("databases.app.{}", row.about.name)))
        .chain(USER.iter().map(|row| format!("users.app.{}", row.about.name)));
    for key in keys {
        assert!(set.contains(&key), "{key} is not in config.example.toml");
    }
}
