//! Questions after an exchange, and what their answers mean.

use super::*;

fn touch(effects: Effects, names: &[&str]) -> Touch {
    Touch { effects, names: names.iter().map(|name| (*name).into()).collect() }
}

fn asked(effects: Effects, names: &[&str], pinned: bool) -> Questions {
    Questions::of(&touch(effects, names), &Overrides::default(), pinned)
}

fn row(columns: &[Option<&str>]) -> Vec<Option<Box<str>>> {
    columns.iter().map(|column| column.map(Into::into)).collect()
}

fn baseline() -> Baseline {
    Baseline::from_rows([("work_mem", Some("4MB")), ("TimeZone", Some("UTC"))])
}

#[test]
fn a_sign_asks_for_what_it_is_a_sign_of() {
    assert!(asked(Effects::NONE, &[], false).is_empty());
    assert!(asked(Effects::DDL.or(Effects::NOTIFY), &[], false).is_empty());
    let set = asked(Effects::GUC, &["work_mem"], false);
    assert!(!set.held && !set.all && set.names.len() == 1);
    assert!(asked(Effects::ADVISORY, &[], false).held);
    let opaque = asked(Effects::OPAQUE, &[], false);
    assert!(opaque.held && opaque.all);
}

#[test]
fn what_may_have_ended_is_asked_only_of_a_pinned_server() {
    for ends in [Effects::CLOSE, Effects::STMT_REF, Effects::DDL, Effects::DISCARD] {
        assert!(!asked(ends, &[], false).held, "{ends:?}");
        assert!(asked(ends, &[], true).held, "{ends:?}");
    }
}

#[test]
fn custom_settings_are_asked_for_by_name_when_all_are() {
    let mut before = Overrides::default();
    before.values.insert("app.tenant".into(), "a".into());
    before.values.insert("work_mem".into(), "5MB".into());
    let questions = Questions::of(&touch(Effects::GUC_ALL, &[]), &before, false);
    assert_eq!(questions.names, ["app.tenant".into()]);
}

#[test]
fn a_statement_of_ours_is_prepared_once() {
    let (mut first, mut second, mut prepared) = (Vec::new(), Vec::new(), 0);
    let questions = asked(Effects::OPAQUE, &["work_mem"], false);
    questions.write(&mut first, &mut prepared);
    questions.write(&mut second, &mut prepared);
    assert!(first.len() > second.len());
    assert_eq!(prepared, NAMED.bit | ALL.bit | HELD.bit);
}

#[test]
fn values_that_differ_from_their_reset_values_are_overrides() {
    let questions = asked(Effects::GUC, &["work_mem", "timezone", "app.tenant"], false);
    let answers = Answers::read(vec![
        row(&[Some("n"), Some("work_mem"), Some("5MB")]),
        row(&[Some("n"), Some("timezone"), Some("UTC")]),
        row(&[Some("n"), Some("app.tenant"), None]),
    ])
    .expect("rows of ours");
    let mut before = Overrides::default();
    before.values.insert("timezone".into(), "Asia/Tokyo".into());
    before.values.insert("lock_timeout".into(), "1s".into());
    let after = answers.overrides(&questions, &before, &baseline(), "app");
    let expected = [("lock_timeout", "1s"), ("work_mem", "5MB")];
    assert_eq!(after.values.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(), expected);
}

#[test]
fn asked_for_all_what_is_not_named_is_reset() {
    let questions = asked(Effects::GUC_ALL, &[], false);
    let answers =
        Answers::read(vec![row(&[Some("a"), Some("TimeZone"), Some("Asia/Tokyo")])]).expect("rows of ours");
    let mut before = Overrides::default();
    before.values.insert("work_mem".into(), "5MB".into());
    let after = answers.overrides(&questions, &before, &baseline(), "app");
    assert_eq!(after.values.keys().map(|name| &**name).collect::<Vec<_>>(), ["timezone"]);
}

#[test]
fn identity_and_pins_come_from_one_row() {
    let counts = [
        Some("h"),
        Some("2"),
        Some("0"),
        Some("0"),
        Some("0"),
        Some("0"),
        Some("0"),
        Some("r1"),
        Some("none"),
    ];
    let answers = Answers::read(vec![row(&counts)]).expect("rows of ours");
    let questions = asked(Effects::ADVISORY, &[], false);
    let after = answers.overrides(&questions, &Overrides::default(), &baseline(), "app");
    assert_eq!((after.session_authorization.as_deref(), after.role), (Some("r1"), None));
    let pins = answers.pins(Pins::default());
    assert_eq!(pins.reasons().map(|reason| reason.as_str()).collect::<Vec<_>>(), ["advisory_lock"]);
}

#[test]
fn rows_that_are_not_ours_are_no_answer() {
    for bad in [vec![], vec![Some("x")], vec![Some("n")], vec![None, None, None], vec![Some("h"), Some("1")]]
    {
        assert_eq!(Answers::read(vec![row(&bad)]), None, "{bad:?}");
    }
}
