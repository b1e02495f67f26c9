//! What is asked after which texts, how answers are read.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::catalog::Moment;
use crate::sql::{Dialect, Extent, NoWords, analyse};

fn touch(text: &str) -> Touch {
    let mut touch = Touch::default();
    let analysis = analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &NoWords);
    touch.add(analysis.effects, &analysis.names, Moment::default());
    touch
}

fn overrides(values: &[(&str, &str)]) -> Overrides {
    startup_overrides(values.iter().map(|&(name, value)| (name.into(), value.into())))
}

/// `names`, then `*` for all settings, `+` for what is held.
fn asked(text: &str, before: &[(&str, &str)], pins: Pins) -> String {
    spelled(Questions::of(&touch(text), &overrides(before), pins, &Lexicon::default()))
}

const FREE: Residue = Residue {
    advisory_locks: 0,
    channels: 0,
    held_cursors: 0,
    sql_statements: 0,
    temporary_objects: 0,
    temporary_slots: 0,
    connections: 0,
};

fn pinned(residue: Residue) -> Pins {
    Pins::default().counted(residue)
}

fn spelled(questions: Questions) -> String {
    let Questions { names, all, held, connections } = questions;
    let dblink = if connections.is_some() { "@" } else { "" };
    names.join(",") + if all { "*" } else { "" } + if held { "+" } else { "" } + dblink
}

// -- questions

#[test]
fn each_sign_asks_what_shows_it() {
    for (text, questions) in [
        ("SELECT 1", ""),
        ("BEGIN", ""),
        ("INSERT INTO t VALUES ('SET x = 1')", ""),
        ("SET work_mem = 1", "work_mem"),
        ("SET a.b = 1; RESET work_mem", "a.b,work_mem"),
        ("SET LOCAL work_mem = 1", ""),
        ("SELECT set_config('work_mem', '1', false)", "work_mem"),
        ("SELECT set_config($1, $2, false)", "*+"),
        ("RESET ALL", "*+"),
        ("UPDATE pg_settings SET setting = 1", "*+"),
        ("SET ROLE r", "+"),
        ("SET SESSION AUTHORIZATION r", "+"),
        ("SELECT pg_advisory_lock(1)", "+"),
        ("SELECT pg_advisory_xact_lock(1)", ""),
        ("CREATE TEMP TABLE t()", "+"),
        ("CREATE TABLE t()", "*+"),
        ("CREATE INDEX ON t (a)", "+"),
        ("DROP TABLE t", ""),
        ("LISTEN x", "+"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "+"),
        ("DECLARE c CURSOR FOR SELECT 1", ""),
        ("CLOSE c", ""),
        ("PREPARE p AS SELECT 1", "+"),
        ("EXECUTE p", ""),
        ("DEALLOCATE p", ""),
        ("DEALLOCATE ALL", ""),
        ("DISCARD PLANS", ""),
        ("DISCARD ALL", "*+"),
        ("DO $$begin end$$", "*+"),
        ("CALL p()", "*+"),
        ("SELECT pg_create_physical_replication_slot('a', true, true)", "+"),
    ] {
        assert_eq!(asked(text, &[], pinned(FREE)), questions, "{text}");
    }
}

#[test]
fn who_is_pinned_is_asked_when_something_may_have_ended() {
    for (text, questions) in [
        ("SELECT 1", ""),
        ("SET work_mem = 1", "work_mem"),
        ("SELECT pg_advisory_unlock(1)", "+"),
        ("UNLISTEN *", "+"),
        ("CLOSE c", "+"),
        ("DEALLOCATE p", "+"),
        ("DEALLOCATE ALL", "+"),
        ("DROP TABLE t", "+"),
        ("DISCARD TEMP", "+"),
    ] {
        assert_eq!(asked(text, &[], pinned(Residue { channels: 1, ..FREE })), questions, "{text}");
    }
}

#[test]
fn dblink_is_asked_where_it_is_and_where_a_connection_may_have_begun_or_ended() {
    let lexicon = Arc::new(Lexicon::default());
    let of = |text: &str, pins| spelled(Questions::of(&touch(text), &overrides(&[]), pins, &lexicon));
    let connected = pinned(Residue { connections: 1, ..FREE });
    assert_eq!(of("SELECT dblink_connect('a', '')", pinned(FREE)), "+", "nobody knows where it is");
    let mut draft = crate::catalog::Draft::default();
    draft.dblink(b"\"Links\"");
    lexicon.take_in(draft.finish(), "f");
    for (text, pins, questions) in [
        ("SELECT dblink_connect('a', '')", pinned(FREE), "+@"),
        ("SELECT dblink_disconnect('a')", connected, "+@"),
        ("SELECT dblink_disconnect('a')", pinned(FREE), ""),
        ("SELECT dblink('a', 'select 1')", connected, ""),
        ("DO $$begin end$$", pinned(FREE), "*+@"),
        ("LISTEN x", pinned(FREE), "+"),
    ] {
        assert_eq!(of(text, pins), questions, "{text}");
    }
}

#[test]
fn texts_that_only_the_session_knows_may_have_set_anything() {
    for residue in [Residue { sql_statements: 1, ..FREE }, Residue { temporary_objects: 1, ..FREE }] {
        assert_eq!(asked("DEALLOCATE p", &[], pinned(residue)), "*+");
        assert_eq!(asked("SELECT 1", &[], pinned(residue)), "");
    }
}

#[test]
fn what_could_not_be_asked_is_asked_again() {
    let before = overrides(&[("app.x", "1"), ("work_mem", "1MB")]);
    let lexicon = Lexicon::of(&[("f", "SELECT set_config('app.body', '1', false)")]);
    lexicon.learn_settings(["app.seen"].into_iter());
    let questions = Questions::everything(&before, Pins::default(), &lexicon);
    assert_eq!(spelled(questions), "app.body,app.seen,app.x*+");
}

#[test]
fn custom_settings_are_asked_by_name_since_no_list_has_them() {
    let before = [("app.tenant", "a"), ("app.user", "b"), ("work_mem", "1MB")];
    assert_eq!(asked("SET app.user = 'c'", &before, pinned(FREE)), "app.user");
    assert_eq!(asked("SET app.user = 'c'; RESET ALL", &before, pinned(FREE)), "app.user,app.tenant*+");
}

// -- the messages

fn written(questions: &Questions, mut prepared: u8) -> (String, u8) {
    let mut out = Vec::new();
    questions.write(&mut out, &mut prepared);
    let (mut tags, mut rest) = (String::new(), &out[..]);
    while let [tag, a, b, c, d, ..] = *rest {
        tags.push(char::from(tag));
        rest = &rest[1 + u32::from_be_bytes([a, b, c, d]) as usize..];
    }
    assert!(rest.is_empty(), "lengths are right");
    (tags, prepared)
}

#[test]
fn a_question_is_prepared_once_on_each_server() {
    let names = Questions { names: vec!["work_mem".into()], ..Questions::default() };
    let all = Questions { all: true, held: true, ..names.clone() };
    assert!(Questions::default().is_empty() && !names.is_empty());
    let (tags, prepared) = written(&names, 0);
    assert_eq!(tags, "CPBES");
    assert_eq!(written(&names, prepared), ("BES".into(), prepared));
    let (tags, prepared) = written(&all, prepared);
    assert_eq!(tags, "BECPBECPBES");
    assert_eq!(written(&all, prepared), ("BEBEBES".into(), prepared));
}

#[test]
fn names_are_quoted_as_elements_of_an_array() {
    assert_eq!(array(&["a.b".into(), "NULL".into(), "q\"\\,{}".into()]), r#"{"a.b","NULL","q\"\\,{}"}"#);
}

// -- answers

fn row(columns: &[&str]) -> Vec<Option<Box<str>>> {
    columns.iter().map(|&column| (column != "NULL").then(|| column.into())).collect()
}

/// Rows of two columns as settings, of nine as what is held, of one as dblink's connections.
fn read(rows: &[&[&str]]) -> Option<Answers> {
    let letter = |columns: &[&str]| match columns.len() {
        9 => "h",
        1 => "c",
        _ => "n",
    };
    Answers::read(rows.iter().map(|columns| row(&[&[letter(columns)], *columns].concat())).collect())
}

fn baseline() -> Baseline {
    Baseline::from_rows([
        ("work_mem", Some("4MB")),
        ("DateStyle", Some("ISO, MDY")),
        ("search_path", Some("public")),
    ])
}

fn after(asked: &Questions, before: &[(&str, &str)], rows: &[&[&str]]) -> Overrides {
    read(rows).unwrap().overrides(asked, &overrides(before), &baseline(), "app")
}

#[test]
fn an_override_is_what_differs_from_the_baseline() {
    let asked = Questions::default();
    let before = [("work_mem", "5MB"), ("search_path", "a")];
    assert_eq!(after(&asked, &before, &[&["work_mem", "4MB"]]), overrides(&[("search_path", "a")]));
    assert_eq!(
        after(&asked, &before, &[&["work_mem", "6MB"]]),
        overrides(&[("search_path", "a"), ("work_mem", "6MB")])
    );
    assert_eq!(after(&asked, &[], &[&["DateStyle", "ISO, DMY"]]), overrides(&[("datestyle", "ISO, DMY")]));
}

#[test]
fn after_a_list_of_all_only_what_it_has_is_left() {
    let asked = Questions { all: true, ..Questions::default() };
    let before = [("work_mem", "5MB"), ("app.x", "1"), ("search_path", "a")];
    let rows: [&[&str]; 2] = [&["search_path", "b"], &["app.x", "1"]];
    assert_eq!(after(&asked, &before, &rows), overrides(&[("app.x", "1"), ("search_path", "b")]));
}

#[test]
fn a_custom_setting_without_a_value_is_none() {
    let asked = Questions::default();
    for unset in ["", "NULL"] {
        assert_eq!(after(&asked, &[("app.x", "1")], &[&["app.x", unset]]), Overrides::default());
    }
}

#[test]
fn what_ends_with_the_transaction_is_no_override_but_its_timeout_is() {
    let rows: [&[&str]; 4] = [
        &["transaction_isolation", "x"],
        &["transaction_read_only", "on"],
        &["seed", "0"],
        &["transaction_timeout", "1s"],
    ];
    assert_eq!(after(&Questions::default(), &[], &rows), overrides(&[("transaction_timeout", "1s")]));
}

#[test]
fn what_no_user_can_set_is_no_override() {
    // As a client asks for them after a promotion, or with a driver's SHOW.
    let rows: [&[&str]; 3] = [&["in_hot_standby", "off"], &["server_version", "99"], &["is_superuser", "on"]];
    assert_eq!(after(&Questions::default(), &[("in_hot_standby", "on")], &rows), Overrides::default());
}

const HELD_ROW: [&str; 9] = ["1", "2", "3", "4", "5", "6", "7", "other", "r"];

#[test]
fn identity_is_told_apart_from_the_login() {
    let asked = Questions { held: true, ..Questions::default() };
    let other = after(&asked, &[], &[&HELD_ROW]);
    assert_eq!((other.session_authorization.as_deref(), other.role.as_deref()), (Some("other"), Some("r")));
    let own = read(&[&["0", "0", "0", "0", "0", "0", "0", "app", "none"]]).unwrap();
    assert_eq!(own.overrides(&asked, &other, &baseline(), "app"), Overrides::default());
    let unasked = read(&[]).unwrap().overrides(&Questions::default(), &other, &baseline(), "app");
    assert_eq!(unasked, other);
}

#[test]
fn counts_become_reasons_to_stay() {
    let pins = read(&[&HELD_ROW]).unwrap().pins(Pins::default());
    let residue = Residue {
        advisory_locks: 1,
        channels: 2,
        held_cursors: 3,
        sql_statements: 4,
        temporary_objects: 5,
        temporary_slots: 6,
        connections: 0,
    };
    assert_eq!(pins.residue, residue);
    let connected = read(&[&["2"]]).unwrap().pins(pins);
    assert_eq!(connected.residue, Residue { connections: 2, ..residue });
    assert_eq!(read(&[&HELD_ROW]).unwrap().pins(connected).residue.connections, 2, "what wasn't asked stays");
    let mut sticky = pins;
    sticky.stick(Effects::SEED | Effects::GUC, &Lexicon::default());
    sticky.unknown = true;
    let free = read(&[&["0", "0", "0", "0", "0", "0", "0", "app", "none"]]).unwrap();
    assert_eq!(free.pins(sticky).reasons().collect::<Vec<_>>(), [super::super::pins::Reason::Seed]);
    assert!(free.pins(pins).is_empty());
    assert_eq!(read(&[&["work_mem", "1MB"]]).unwrap().pins(pins), pins, "what wasn't asked stays");
}

#[test]
fn other_rows_are_no_answers() {
    for bad in [
        &[][..],
        &["NULL"],
        &["x", "work_mem", "1MB"],
        &["n"],
        &["n", "work_mem"],
        &["a", "NULL", "1MB"],
        &["n", "work_mem", "1MB", "2MB"],
        &["h", "app", "none"],
        &["h", "1", "2", "3", "4", "5", "x", "7", "app", "none"],
        &["h", "1", "2", "3", "4", "5", "6", "7", "8", "app", "none"],
        &["h", "1", "2", "3", "4", "5", "6", "7", "NULL", "none"],
        &["c", "NULL"],
    ] {
        assert_eq!(Answers::read(vec![row(bad)]), None, "{bad:?}");
    }
}

proptest! {
    /// What is replayed from an answer is what was answered: the same answer again changes nothing.
    #[test]
    fn answers_are_final(values in prop::collection::btree_map("[a-c]{1,2}(\\.[a-c])?", "[x-z]{0,2}", 0..6), all: bool) {
        let rows: Vec<_> = values.iter().map(|(name, value)| vec![Some("a".into()), Some(name.as_str().into()), Some(value.as_str().into())]).collect();
        let asked = Questions { all, ..Questions::default() };
        let answers = Answers::read(rows).unwrap();
        let once = answers.overrides(&asked, &Overrides::default(), &baseline(), "app");
        prop_assert_eq!(&answers.overrides(&asked, &once, &baseline(), "app"), &once);
        prop_assert!(once.values.iter().all(|(name, value)| values[&**name] == **value));
    }
}
