//! `docs/metrics.md` against the endpoint, both ways: a metric without a row and a row without a metric fail.
//! The page is also checked for what Prometheus' text format demands.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir::client::limits::ClientLimits;
use pgweir::meter::counters::Counters;
use pgweir::observe::board::Board;
use pgweir::observe::http::Http;
use pgweir::observe::process::About;
use pgweir::observe::readiness::Readiness;
use pgweir::observe::watch::{Seen, Watch};
use pgweir::pool::applications::ApplicationSnapshot;
use pgweir::pool::snapshot::{PinSnapshot, PoolSnapshot};
use pgweir::pool::spread::Spread;

/// The body of `/metrics`, with two pools, one of them with a name that needs care.
fn page() -> String {
    let pool = |user: &str| PoolSnapshot {
        database: "shop".to_owned(),
        user: user.to_owned(),
        wait: Spread { counts: [1; 19], sum: Duration::from_millis(1234) },
        oldest_wait: Duration::from_micros(250),
        pins: vec![PinSnapshot { reason: "advisory_lock", now: 1, begun: 2, held: Duration::from_secs(3) }],
        connect_failures: vec![("28P01".to_owned(), 1)],
        errors: vec![("57P03".to_owned(), 2)],
        server_errors: vec![("23".to_owned(), 3)],
        applications: vec![ApplicationSnapshot { name: "we\"b".into(), clients: 1, ..Default::default() }],
        ..PoolSnapshot::default()
    };
    let pools = [pool("app"), pool("quo\"te\\ new\nline \x1b[31m {x=\"y\"} 1")];
    let counters = Arc::new(Counters::default());
    counters.login_duration.record(Duration::from_millis(3));
    let (watch, began) =
        (Watch::new(Instant::now(), Duration::from_secs(60), Arc::default()), Instant::now());
    for look in 0..2 {
        let seen = pools.iter().map(|pool| Seen { pool: pool.clone(), upstream: None }).collect();
        watch.look(began + Duration::from_secs(look), seen, Duration::ZERO);
    }
    let board = Board {
        watch: Arc::new(watch),
        servers: Box::new(Vec::new),
        about: About { started: Duration::from_millis(1_700_000_000_123), limits: ClientLimits::default() },
        counters,
        readiness: Arc::new(Readiness::new(false)),
        pools: Box::new(move || pools.to_vec()),
        pinned: Box::new(Vec::new),
        dropped_lines: None,
    };
    let http = Http::bind("127.0.0.1:0").expect("a free port");
    let address = http.address();
    let _serving = http.serve(Arc::new(board)).expect("a thread");

    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// One sample line.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    /// `name{label="value",…} number`, with `\\`, `\"` and `\n` as the only escapes.
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        while let Some(after) = rest.strip_prefix(if labels.is_empty() { '{' } else { ',' }) {
            let (label, after) = after.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
        if !labels.is_empty() {
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.strip_prefix(' ')?.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

/// One family as the page shows it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

/// Parses the page; panics where it breaks the format.
fn families(page: &str) -> BTreeMap<String, Family> {
    assert!(page.ends_with('\n'), "the last line ends");
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            let family = Family { help: help.to_owned(), ..Family::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} stands twice");
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "TYPE follows HELP");
            families.get_mut(name).expect("HELP came first").kind = kind.to_owned();
        } else {
            let sample = Sample::parse(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            let family = families.get_mut(&current).expect("HELP came first");
            let base = match &*family.kind {
                "histogram" => ["_bucket", "_sum", "_count"].iter().find_map(|s| sample.name.strip_suffix(s)),
                _ => Some(&*sample.name),
            };
            assert_eq!(base, Some(&*current), "a sample stands under its family");
            family.samples.push(sample);
        }
    }
    families
}

/// Rows of the document's tables: name → type, labels, meaning.
fn rows() -> BTreeMap<String, (String, BTreeSet<String>, String)> {
    let mut rows = BTreeMap::new();
    for line in include_str!("../docs/metrics.md").lines().filter(|line| line.starts_with("| `pgweir_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("four cells: {line}") };
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let row = (kind.to_owned(), labels, meaning.to_owned());
        assert!(rows.insert(name.trim_matches('`').to_owned(), row).is_none(), "{name} stands twice");
    }
    rows
}

#[test]
fn the_document_and_the_endpoint_say_the_same() {
    let families = families(&page());
    let rows = rows();
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
    let (shown, written) = (names(families.keys().collect()), names(rows.keys().collect()));
    assert_eq!(
        shown.difference(&written).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not in docs/metrics.md"
    );
    if cfg!(target_os = "linux") {
        assert_eq!(written.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "not on the page");
    }
    for (name, family) in &families {
        let (kind, labels, meaning) = &rows[name];
        assert_eq!((kind, meaning), (&family.kind, &family.help), "{name}");
        let of_pool = if name.starts_with("pgweir_pool_") { &["database", "user"][..] } else { &[] };
        let expected: BTreeSet<_> = of_pool.iter().map(|l| (*l).to_owned()).chain(labels.clone()).collect();
        for sample in &family.samples {
            let has =
                sample.labels.iter().map(|(label, _)| label.clone()).filter(|label| label != "le").collect();
            assert_eq!(expected, has, "{name}");
        }
    }
}

/// Every label's value of a fixed list is explained somewhere on the page.
#[test]
fn label_values_are_explained() {
    let document = include_str!("../docs/metrics.md");
    for (name, family) in families(&page()) {
        for label in ["reason", "outcome", "state", "direction", "event", "verdict", "kind"] {
            for value in family.samples.iter().filter_map(|sample| sample.label(label)) {
                assert!(document.contains(&format!("`{value}`")), "{name}: {label} {value}");
            }
        }
    }
}

#[test]
fn the_page_is_what_prometheus_reads() {
    for (name, family) in families(&page()) {
        assert!(name.starts_with("pgweir_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
        assert!(!family.samples.is_empty(), "{name} has no samples");
        let mut seen = BTreeSet::new();
        for sample in &family.samples {
            assert!(seen.insert((&sample.name, &sample.labels)), "a series stands twice: {sample:?}");
            assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
        }
        if family.kind == "histogram" {
            cumulative(&name, &family.samples);
        }
    }
}

/// Buckets never fall, and end in `+Inf`, which equals the count.
fn cumulative(name: &str, samples: &[Sample]) {
    let mut last = (0.0, 0.0);
    for sample in samples {
        match sample.label("le") {
            Some(le) => {
                let bound: f64 = le.parse().expect("a bound is a number or +Inf");
                assert!(bound > last.0 && sample.value >= last.1, "{name}: {sample:?}");
                last = (bound, sample.value);
            }
            None if sample.name.ends_with("_count") => {
                assert_eq!(last, (f64::INFINITY, sample.value), "{name}");
                last = (0.0, 0.0);
            }
            None => {}
        }
    }
}

#[test]
fn f120_a_hostile_name_is_one_label_value() {
    let families = families(&page());
    let users: Vec<_> = families["pgweir_pool_size"].samples.iter().filter_map(|s| s.label("user")).collect();
    assert_eq!(users, ["app", "quo\"te\\ new\nline \\x1b[31m {x=\"y\"} 1"]);
}
