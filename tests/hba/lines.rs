//! Line by line: what pgweir understands of rules and maps is what PostgreSQL says that it understands, in its views
//! `pg_hba_file_rules` and (since 15) `pg_ident_file_mappings`.
//!
//! Lines are made by chance from words that mean something. What PostgreSQL refuses, pgweir refuses. What pgweir alone
//! refuses is what `docs/hba.md` leaves out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pgweir::auth::hba::{Allowed, Files, Hba, HbaError, Text, Wrong};
use pgweir::demo::cluster::Cluster;
use pgweir_testkit::chance::Chance;
use tokio_postgres::{Client, NoTls};

use crate::authority::Authority;
use crate::kit::recipe_with_tls;

/// Lines of each kind.
const LINES: usize = 4_000;
/// The map that rules may name.
const MAP: &str = "m root postgres";

/// What a line came to: its columns, each a list of words; options in any order.
type Columns = Vec<Vec<String>>;

struct Nothing;

impl Files for Nothing {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn read(rules: &str, maps: &str) -> Result<Hba, HbaError> {
    let maps = Text::Inline("auth.ident", maps);
    Hba::read(Text::Inline("auth.hba", rules), Some(maps), Allowed::default(), &Nothing)
}

/// `None`: the line holds nothing.
fn rule(line: &str) -> Option<Result<Columns, Wrong>> {
    match read(line, MAP) {
        Ok(hba) => Some(Ok(columns(&hba.rules()[0].to_string()))),
        Err(HbaError { wrong: Wrong::NoRules, .. }) => None,
        Err(error) => Some(Err(error.wrong)),
    }
}

fn mapping(line: &str) -> Option<Result<Columns, Wrong>> {
    match read("local all all peer", line) {
        Ok(hba) => hba.mappings().next().map(|mapping| Ok(columns(&mapping.to_string()))),
        Err(error) => Some(Err(error.wrong)),
    }
}

/// A line that pgweir has printed, without its quotes: PostgreSQL's views show none.
fn columns(line: &str) -> Columns {
    let mut columns: Columns = vec![vec![String::new()]];
    let (mut chars, mut quoted) = (line.chars().peekable(), false);
    while let Some(c) = chars.next() {
        let column = columns.last_mut().expect("there is one");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => column.last_mut().expect("a word").push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => column.push(String::new()),
            ' ' if !quoted => columns.push(vec![String::new()]),
            c => column.last_mut().expect("a word").push(c),
        }
    }
    columns
}

const BLANKS: [&str; 6] = [" ", " ", " ", "\t", "  ", " , "];

/// Words for one place of a line: those that should do, and others, of which some do.
type Words = (&'static [&'static str], &'static [&'static str]);

const TYPES: Words =
    (&["local", "host", "hostssl", "hostnossl"], &["hostnogssenc", "hostgssenc", "Host", "hosts"]);
const NAMES: Words = (
    &[
        "all",
        "all",
        "shop",
        "ann",
        "a,b",
        "sameuser",
        "replication",
        "\"all\"",
        "\"\"",
        "/^x",
        "\"/y z\"",
        "\"+x\"",
    ],
    &["a\"b c\"d", "\"a\"\"b\"", "+x", "samerole", "samegroup", "all#", "a,,b", "a,\"b,c\"", "ALL"],
);
const ADDRESSES: Words = (
    &[
        "all",
        "10.0.0.0/8",
        "127.0.0.1/32",
        "0.0.0.0/0",
        "10.0.0.0 255.0.0.0",
        "10.1.2.3 255.0.255.0",
        "::1/128",
        "::/0",
        "fe80::1 ffff::",
        "::ffff:10.0.0.1/128",
    ],
    &[
        "\"all\"",
        "10.0.0.1",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/x",
        "::1/129",
        "10.0.0.0 ffff::",
        "10.0.0/8",
        "samehost",
        "samenet",
        "localhost",
        ".example.com",
        "10.0.0.0/8,11.0.0.0/8",
    ],
);
const METHODS: Words = (
    &["md5", "scram-sha-256", "password", "trust", "reject", "cert", "peer", "ident"],
    &["gss", "sspi", "ldap", "radius", "pam", "bsd", "MD5", "scram", "md5,trust", "\"md5\"", ""],
);
const OPTIONS: Words = (
    &["", "", "", "", "map=m", "clientcert=verify-ca", "clientcert=verify-full"],
    &[
        "\"map=m\"",
        "clientcert=1",
        "clientname=CN",
        "clientname=DN",
        "clientname=x",
        "no-option",
        "x=y",
        "# behind",
        "map=m clientcert=verify-full",
    ],
);
const MAPS: Words = (&["m", "\"m n\""], &["m,n", ""]);
const SYSTEM_NAMES: Words = (
    &["root", "\"a b\"", "/^(.*)@x$", "/^x", "\"/^(a b)$\"", "\"\""],
    &["all", "a\"b\"", "+x", "a,b", "/(", "#"],
);
const USERS: Words = (
    &["postgres", "all", "\"all\"", "\\1", "x\\1y\\1", "/^x"],
    &["\"\"", "\"a b\"", "a,b", "", "\"/y\"", "x # y", "x behind"],
);

/// One in eight is one of the others.
fn word(chance: &mut Chance, (usual, others): Words) -> &'static str {
    if chance.below(8) > 0 { chance.one_of(usual) } else { chance.one_of(others) }
}

fn rule_by_chance(chance: &mut Chance) -> String {
    let kind = word(chance, TYPES);
    let mut words = vec![kind, word(chance, NAMES), word(chance, NAMES)];
    // One address in ten is missing, or out of its place.
    if kind.starts_with("host") == (chance.below(10) > 0) {
        words.push(word(chance, ADDRESSES));
    }
    words.extend([word(chance, METHODS), word(chance, OPTIONS)]);
    with_blanks(&words, chance)
}

fn mapping_by_chance(chance: &mut Chance) -> String {
    let words = [word(chance, MAPS), word(chance, SYSTEM_NAMES), word(chance, USERS)];
    with_blanks(&words, chance)
}

/// Now and then a word is cut off.
fn with_blanks(words: &[&str], chance: &mut Chance) -> String {
    let mut line = String::new();
    for word in words {
        let length =
            if chance.below(60) == 0 { chance.below(word.len() as u64 + 1) as usize } else { word.len() };
        line.push_str(&word[..length]);
        line.push_str(chance.one_of(&BLANKS));
    }
    line
}

struct Judge {
    cluster: Cluster,
    client: Client,
}

/// What a view shows of a line; or its complaint.
type Shown = Result<Columns, String>;

impl Judge {
    async fn new() -> Self {
        let cluster = Cluster::new(&recipe_with_tls(&Authority::new("ca"))).unwrap();
        let (client, connection) = tokio_postgres::connect(&cluster.superuser_url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { cluster, client }
    }

    /// What a view says of each of these lines, which it finds in the file of a setting. No rule comes into force: nobody
    /// asks PostgreSQL to.
    async fn view(&self, file: &str, lines: &[String], query: &str) -> Vec<Option<Shown>> {
        let path: String = self.client.query_one(&format!("show {file}"), &[]).await.unwrap().get(0);
        fs::write(path, lines.join("\n") + "\n").unwrap();
        let mut shown: Vec<Option<Shown>> = lines.iter().map(|_| None).collect();
        for row in self.client.query(query, &[]).await.unwrap() {
            let number: i32 = row.get(0);
            shown[number as usize - 1] = Some(match row.get::<_, Option<String>>(1) {
                Some(error) => Err(error),
                None => Ok((2..row.len()).filter_map(|column| row.get(column)).collect()),
            });
        }
        shown
    }
}

/// Compares, and gives how many lines were understood by both.
fn compare(
    lines: &[String],
    shown: Vec<Option<Shown>>,
    understand: impl Fn(&str) -> Option<Result<Columns, Wrong>>,
) -> usize {
    let mut understood = 0;
    let mut differences = Vec::new();
    for (line, postgresql) in lines.iter().zip(shown) {
        let ours = understand(line);
        match (&postgresql, &ours) {
            (None, None) | (Some(Err(_)), Some(Err(_))) => {}
            (Some(Ok(theirs)), Some(Ok(ours))) if same(theirs, ours) => understood += 1,
            (Some(Ok(_)), Some(Err(wrong))) if is_left_out(wrong) => {}
            _ => differences.push(format!("{line:?}: PostgreSQL {postgresql:?}, pgweir {ours:?}")),
        }
    }
    assert!(differences.is_empty(), "{} of {}\n{}", differences.len(), lines.len(), differences.join("\n"));
    understood
}

/// Options may come in any order.
fn same(theirs: &Columns, ours: &Columns) -> bool {
    let sorted = |columns: &Columns| {
        let mut words: Vec<_> = columns.iter().skip(3).flatten().cloned().collect();
        words.sort();
        words
    };
    theirs.iter().take(3).eq(ours.iter().take(3)) && sorted(theirs) == sorted(ours)
}

/// As `docs/hba.md` says.
fn is_left_out(wrong: &Wrong) -> bool {
    match wrong {
        Wrong::LeftOut { .. }
        | Wrong::OpenQuote
        | Wrong::Behind
        | Wrong::NoGroup(_)
        | Wrong::Regex { .. } => true,
        // 10.1 is short for 10.0.0.1.
        Wrong::Network(text) => {
            text.split(['/', ' ']).any(|word| word.matches('.').count() < 3 && !word.contains(':'))
        }
        _ => false,
    }
}

#[tokio::test]
async fn each_line_means_what_it_means_in_postgresql() {
    let judge = Judge::new().await;
    let mut chance = Chance::new(1);
    let lines: Vec<_> = (0..LINES).map(|_| rule_by_chance(&mut chance)).collect();
    let query = "select line_number, coalesce(error, case when type is null then 'a wrong option' end), array[replace(type, 'nogssenc', '')], database, user_name, \
                 array_remove(array[address, netmask, auth_method], null) || options from pg_hba_file_rules";
    let shown = judge.view("hba_file", &lines, query).await;
    let understood = compare(&lines, shown, rule);
    assert!(understood > LINES / 8, "{understood}");

    let version: String = judge.client.query_one("show server_version_num", &[]).await.unwrap().get(0);
    if version.parse::<u32>().unwrap() < 150_000 {
        return;
    }
    let lines: Vec<_> = (0..LINES).map(|_| mapping_by_chance(&mut chance)).collect();
    let query = "select line_number, error, array[map_name], array[sys_name], array[pg_username] \
                 from pg_ident_file_mappings";
    let shown = judge.view("ident_file", &lines, query).await;
    let understood = compare(&lines, shown, mapping);
    assert!(understood > LINES / 8, "{understood}");
    drop(judge.cluster);
}
