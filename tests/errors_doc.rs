//! `docs/errors.md` against `wire::fault::Fault`: one row an arm, one arm a row.

use std::collections::BTreeSet;
use std::time::Duration;

use pgweir::meter::counters::Counters;
use pgweir::observe::exposition::Exposition;
use pgweir::wire::fault::{Fault, Phase, Severity};
use pgweir::wire::sqlstate::SqlState;

const DOCUMENT: &str = include_str!("../docs/errors.md");

/// An example of each arm, whose text is the one in the document.
fn examples() -> Vec<Fault> {
    let pool = || "shop/app".to_owned();
    let seconds = Duration::from_secs;
    vec![
        Fault::ProtocolViolation("the message's length".to_owned()),
        Fault::UnsupportedProtocol { major: 2, minor: 0 },
        Fault::Unsupported("replication"),
        Fault::LoginFailed { user: "app".to_owned() },
        Fault::UsersUnknown,
        Fault::RefusedByRule("TLS is required"),
        Fault::NoRule {
            whom: "host \"10.0.0.1\", user \"app\", database \"shop\", no encryption".to_owned(),
        },
        Fault::RejectedByRule {
            whom: "host \"10.0.0.1\", user \"app\", database \"shop\", SSL encryption".to_owned(),
        },
        Fault::NotThisUser { method: "certificate", user: "app".to_owned() },
        Fault::UnknownDatabase("shop".to_owned()),
        Fault::LoginTimeout(seconds(10)),
        Fault::TooManyClients { limit: 10_000 },
        Fault::TooManyLogins { limit: 2_000 },
        Fault::TooManyLoginsHere { limit: 1_500 },
        Fault::LoginDisplaced { limit: 1_500 },
        Fault::QueueFull { pool: pool(), size: 20, limit: 10_000 },
        Fault::QueueTimeout {
            pool: pool(),
            size: 20,
            pins: "3 (2 advisory_lock, 1 listen)".to_owned(),
            waited: seconds(120),
        },
        Fault::ServerUnreachable { pool: pool(), why: "connection refused".to_owned() },
        Fault::Rejected {
            sqlstate: SqlState(*b"28000"),
            message: "role \"app\" is not permitted to log in".to_owned(),
        },
        Fault::PlanChanged,
        Fault::Cancelled,
        Fault::QueryTimeout(seconds(30)),
        Fault::TransactionTimeout(seconds(60)),
        Fault::IdleInTransaction(seconds(60)),
        Fault::IdleClient(seconds(600)),
        Fault::IdleSession(seconds(600)),
        Fault::WriteStall(seconds(60)),
        Fault::SlowListener { limit: 4 << 20 },
        Fault::NotificationsLost,
        Fault::ServerLost,
        Fault::SessionLost { held: "advisory_lock, temporary_object".to_owned() },
        Fault::CommitInDoubt,
        Fault::StatementMode,
        Fault::Shutdown,
        Fault::TooLarge { what: "Parse message", size: 2_000_000, limit: 1 << 20 },
        Fault::StatementBudget { limit: 16 << 20 },
        Fault::ReplayFailed("invalid value for parameter \"work_mem\"".to_owned()),
        Fault::Desync,
        Fault::Internal,
    ]
}

/// The arms as the source spells them.
fn arms() -> BTreeSet<&'static str> {
    let source = include_str!("../src/wire/fault.rs");
    let (_, body) = source.split_once("pub enum Fault {").expect("the enum");
    let (body, _) = body.split_once("\n}").expect("its end");
    // rustfmt indents an arm by four blanks and what belongs to it by more.
    let arms = body.lines().filter_map(|line| line.strip_prefix("    ")).map(name);
    arms.filter(|arm| !arm.is_empty()).collect()
}

/// The identifier at the start of `text`, if it begins like an arm.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_uppercase()) { &text[..end] } else { "" }
}

struct Row {
    sqlstate: &'static str,
    severity: &'static str,
    text: &'static str,
    line: &'static str,
}

fn rows() -> Vec<Row> {
    let table = DOCUMENT.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| SQLSTATE"));
    let row = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [sqlstate, severity, text, cause, advice] = cells[..] else { panic!("five cells: {line}") };
        assert!(!cause.is_empty() && !advice.is_empty(), "cause and advice: {line}");
        Row { sqlstate, severity, text: text.trim_matches('`'), line }
    };
    table.map(row).collect()
}

/// Configuration keys in a hint: words with a dot inside.
fn keys(hint: &str) -> impl Iterator<Item = &str> {
    let words = hint.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    words.map(|word| word.trim_matches('.')).filter(|word| word.contains('.'))
}

#[test]
fn every_arm_has_an_example_here() {
    let debug: Vec<_> = examples().iter().map(|fault| format!("{fault:?}")).collect();
    assert_eq!(debug.iter().map(|text| name(text)).collect::<BTreeSet<_>>(), arms());
}

#[test]
fn every_arm_has_one_row_and_every_row_an_arm() {
    let rows = rows();
    for fault in examples() {
        let text = fault.to_string();
        let found: Vec<_> = rows.iter().filter(|row| row.text == text).collect();
        let [row] = found[..] else { panic!("{} rows for `{text}`", found.len()) };
        let severity = match fault.severity(Phase::Session) {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        assert_eq!((row.sqlstate, row.severity), (fault.sqlstate().as_str(), severity), "{text}");
        for key in fault.hint().into_iter().flat_map(keys) {
            assert!(row.line.contains(&format!("`{key}`")), "{key} stands in the hint of `{text}`");
        }
    }
    assert_eq!(rows.len(), examples().len(), "a row without an arm");
}

/// While a client logs in, every fault ends its connection.
#[test]
fn at_login_everything_is_fatal() {
    for fault in examples() {
        assert_eq!(fault.severity(Phase::Login), Severity::Fatal, "{fault}");
    }
}

#[test]
fn every_code_has_its_own_counter() {
    let counters = Counters::default();
    for fault in examples() {
        counters.fault(&fault);
    }
    let mut page = Exposition::default();
    page.families(pgweir::meter::table::COUNTERS, &[(&[], &counters)]);
    let page = page.into_text();
    assert!(page.contains("pgweir_errors_total{sqlstate=\"other\"} 0\n"), "a code without a counter");
    let idle = page.lines().filter(|line| line.starts_with("pgweir_errors_total{") && line.ends_with(" 0"));
    assert_eq!(
        idle.collect::<Vec<_>>(),
        ["pgweir_errors_total{sqlstate=\"other\"} 0"],
        "a counter without a code"
    );
}
