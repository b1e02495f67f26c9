//! Single messages through an exchange, by hand.

use std::hash::RandomState;

use super::client::ClientState;
use super::exchange::{Exchange, Judged, Limits, Shared};
use super::params::Params;
use super::sequences::Sequences;
use super::server::Ledger;
use super::settings::Interner;
use super::statements::shared::Registry;
use super::world::{LIMITS, bind, call, close, describe, execute, flush, parse, query, sync};
use crate::catalog::Lexicon;
use crate::meter::work::Work;
use crate::sql::Effects;
use crate::wire::fault::Fault;
use crate::wire::lane::{LARGE, Lane};
use crate::wire::tag::backend as b;
use crate::wire::write;

struct Hand {
    client: ClientState,
    server: Ledger,
    shared: Shared,
    up: Lane,
    down: Lane,
}

impl Hand {
    fn new(limits: Limits) -> Self {
        let shared = Shared {
            statements: Registry::new(1 << 20),
            settings: Interner::default(),
            sequences: Sequences::default(),
            epochs: std::sync::Arc::default(),
            lexicon: Lexicon::of(&[]),
            limits,
        };
        let plain = shared.settings.plain();
        Self {
            client: ClientState::new(plain.clone(), Params::default(), None),
            server: Self::ledger(&shared),
            up: Lane::default(),
            down: Lane::default(),
            shared,
        }
    }

    fn ledger(shared: &Shared) -> Ledger {
        Ledger::new(Params::default(), RandomState::new(), 100, shared.settings.plain().clone())
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Exchange<'_>) -> T) -> T {
        act(&mut Exchange {
            pid: CLIENT_PID,
            client: &mut self.client,
            server: &mut self.server,
            shared: &self.shared,
            up: &mut self.up,
            down: &mut self.down,
            work: &mut Work::default(),
            errors: &mut Vec::new(),
        })
    }

    /// The client sends this; what goes to the server, and the last judgement.
    fn say(&mut self, bytes: &[u8]) -> (Vec<u8>, Result<Judged, Fault>) {
        let mut sent = Vec::new();
        let mut rest = bytes;
        loop {
            let room = self.up.room();
            let count = room.len().min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            self.up.filled(count);
            let judged = loop {
                match self.with(|exchange| exchange.request()) {
                    Ok(Judged::Moved) => {}
                    judged => break judged,
                }
            };
            sent.extend(drain(&mut self.up));
            if rest.is_empty() || judged.is_err() {
                return (sent, judged);
            }
        }
    }

    /// The server sends these; what goes to the client.
    fn hear(&mut self, messages: &[(u8, &[u8])]) -> Vec<u8> {
        let mut told = Vec::new();
        for (tag, body) in messages {
            let message = made(*tag, body);
            let mut rest = &message[..];
            while !rest.is_empty() {
                let room = self.down.room();
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                self.down.filled(count);
                rest = &rest[count..];
                while self.with(|exchange| exchange.answer().unwrap()) == Judged::Moved {}
                told.extend(drain(&mut self.down));
            }
        }
        told
    }
}

fn drain(lane: &mut Lane) -> Vec<u8> {
    let (made, run) = lane.output();
    let bytes = [made, run].concat();
    lane.wrote(bytes.len());
    bytes
}

fn made(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, tag, |out| out.extend_from_slice(body));
    out
}

fn error(code: &str, message: &str) -> Vec<u8> {
    format!("SERROR\0VERROR\0C{code}\0M{message}\0\0").into_bytes()
}

fn tags(mut bytes: &[u8]) -> String {
    let mut tags = String::new();
    while let [tag, a, b, c, d, ..] = *bytes {
        tags.push(char::from(tag));
        bytes = bytes.get(1 + u32::from_be_bytes([a, b, c, d]) as usize..).unwrap_or(&[]);
    }
    tags
}

const CLIENT_PID: i32 = 1 << 23;
const READY: (u8, &[u8]) = (b::READY_FOR_QUERY, b"I");

/// A client with the statement `s1`, parsed on the server as `_pgweir_1000`.
fn with_s1() -> Hand {
    let mut hand = Hand::new(LIMITS);
    assert_eq!(tags(&hand.say(&[parse("s1", "ok"), sync()].concat()).0), "CPS");
    assert_eq!(tags(&hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY])), "1Z");
    hand
}

// -- budgets

#[test]
fn f92_a_parse_beyond_its_limit_fails_the_batch_in_its_place() {
    let mut hand = Hand::new(LIMITS);
    let large = parse("", &"x".repeat(200_000));
    let (sent, _) = hand.say(&[query("ok"), large, execute(""), sync(), query("ok")].concat());
    assert_eq!(tags(&sent), "QBESQ");
    let told = hand.hear(&[
        (b::COMMAND_COMPLETE, b"SELECT 0\0"),
        READY,
        (b::ERROR_RESPONSE, &error("26000", "prepared statement \"_pgweir_0\" does not exist")),
        READY,
        (b::COMMAND_COMPLETE, b"SELECT 0\0"),
        READY,
    ]);
    assert_eq!(tags(&told), "CZEZCZ");
    let text = String::from_utf8_lossy(&told);
    assert!(text.contains("C54000") && !text.contains("_pgweir"), "{text}");
}

#[test]
fn f92_a_client_may_hold_so_much_by_name() {
    let mut hand = Hand::new(Limits { client_statements: 20, ..LIMITS });
    let (sent, _) = hand.say(&[parse("a", "ok 1"), parse("b", "ok 0123456789"), sync()].concat());
    assert_eq!(tags(&sent), "CPBS");
    assert!(!hand.client.statements.contains(b"b"));
    let told = hand.hear(&[
        (b::CLOSE_COMPLETE, b""),
        (b::PARSE_COMPLETE, b""),
        (b::ERROR_RESPONSE, &error("26000", "")),
        READY,
    ]);
    assert_eq!(tags(&told), "1EZ");
    assert_eq!(tags(&hand.say(&[close("Sa"), parse("b", "ok"), sync()].concat()).0), "CCPS");
}

#[test]
fn a_fault_of_ours_behind_an_error_of_the_server_is_never_told() {
    let mut hand = Hand::new(LIMITS);
    let (sent, _) = hand.say(&[parse("", "bad"), parse("", &"x".repeat(9000)), sync()].concat());
    assert_eq!(tags(&sent), "PBS");
    let told = hand.hear(&[(b::ERROR_RESPONSE, &error("42601", "syntax error")), READY]);
    assert_eq!(tags(&told), "EZ");
    let _ = hand.say(&parse("", "bad"));
    hand.hear(&[(b::ERROR_RESPONSE, &error("42601", "syntax error"))]);
    assert_eq!(hand.say(&[parse("", &"x".repeat(9000)), flush()].concat()).0, b"", "the server skips anyway");
    assert_eq!(tags(&hand.say(&sync()).0), "S");
}

// -- large messages stream

#[test]
fn f91_a_large_bind_streams_under_its_new_name() {
    let parameter = "x".repeat(3 * LARGE);
    let message = bind("", "s1", &[&parameter]);
    for first in [5, 7, 9, 100] {
        let mut hand = with_s1();
        let (mut sent, _) = hand.say(&message[..first]);
        sent.extend(hand.say(&message[first..]).0);
        sent.extend(hand.say(&sync()).0);
        assert_eq!(sent, [bind("", "_pgweir_1000", &[&parameter]), sync()].concat());
    }
}

#[test]
fn a_large_bind_whose_names_never_end_is_refused() {
    let mut hand = Hand::new(LIMITS);
    let message = bind("", &"x".repeat(3 * LARGE), &[]);
    assert_eq!(hand.say(&message).1, Err(Fault::ProtocolViolation("malformed Bind message".into())));
}

#[test]
fn f91_the_end_of_a_large_query_may_do_anything() {
    let mut hand = Hand::new(LIMITS);
    let message = query(&format!("select '{}'", "x".repeat(3 * LARGE)));
    assert_eq!(hand.say(&message).0, message);
    assert!(hand.client.touch.effects.contains(Effects::OPAQUE));
}

// -- what a client is told

#[test]
fn only_names_of_statements_are_renamed() {
    let mut hand = with_s1();
    let told = |hand: &mut Hand, code, message: &str| {
        let _ = hand.say(&[bind("", "s1", &[]), sync()].concat());
        let told = hand.hear(&[(b::ERROR_RESPONSE, &error(code, message)), READY]);
        String::from_utf8_lossy(&told).into_owned()
    };
    assert!(told(&mut hand, "08P01", "statement »_pgweir_1000« requires 1").contains("»s1«"));
    assert!(told(&mut hand, "23505", "Key (a)=(_pgweir_1000) exists").contains("(_pgweir_1000)"));
    assert!(told(&mut hand, "08P01", "\"_pgweir_10001\"").contains("\"_pgweir_10001\""));
    assert!(told(&mut hand, "08P01", "\"_pgweir_\"").contains("\"_pgweir_\""));
    let large = "_pgweir_1000".to_owned() + &"x".repeat(2 * LARGE);
    assert!(told(&mut hand, "08P01", &large).contains(&large));
}

#[test]
fn a_server_that_ends_is_not_answered_for() {
    let mut hand = with_s1();
    let _ = hand.say(&[parse("s2", "ok"), query("ok"), close("Ss1"), sync()].concat());
    hand.down.room()[..30]
        .copy_from_slice(&made(b::ERROR_RESPONSE, b"SFATAL\0VFATAL\0C57P01\0\0\0\0\0")[..30]);
    hand.down.filled(30);
    assert_eq!(hand.with(|exchange| exchange.answer().unwrap()), Judged::ServerEnds);
    hand.with(|exchange| exchange.abandon());
    assert!(hand.server.replies.is_empty());
    assert!(hand.client.statements.contains(b"s1") && !hand.client.statements.contains(b"s2"));
}

#[test]
fn a_cancel_that_was_not_the_clients_wish_tells_its_reason() {
    let mut hand = Hand::new(LIMITS);
    hand.client.cancel_reason = Some(Box::new(Fault::QueryTimeout(std::time::Duration::from_secs(3))));
    for (code, reason) in [("22012", "M22012"), ("57014", "Mpgweir: canceling"), ("57014", "M57014")] {
        let _ = hand.say(&query("ok"));
        let told = hand.hear(&[(b::ERROR_RESPONSE, &error(code, code)), READY]);
        assert!(String::from_utf8_lossy(&told).contains(reason), "{code}");
    }
}

#[test]
fn notices_to_our_own_messages_stay_here() {
    let mut hand = with_s1();
    let notice: (u8, &[u8]) = (b::NOTICE_RESPONSE, b"SDEBUG\0\0");
    hand.server = Hand::ledger(&hand.shared);
    let _ = hand.say(&[bind("", "s1", &[]), sync()].concat());
    let told = hand.hear(&[
        notice,
        (b::CLOSE_COMPLETE, b""),
        notice,
        (b::PARSE_COMPLETE, b""),
        notice,
        (b::BIND_COMPLETE, b""),
        READY,
    ]);
    assert_eq!(tags(&told), "N2Z");
}

// -- copies that serve nobody any more

#[test]
fn s96_a_plan_that_must_not_change_is_parsed_anew_by_the_next() {
    for code in ["0A000", "26000"] {
        let mut hand = with_s1();
        assert_eq!(tags(&hand.say(&[bind("", "s1", &[]), sync()].concat()).0), "BS");
        hand.hear(&[(b::ERROR_RESPONSE, &error(code, "cached plan must not change result type")), READY]);
        assert_eq!(tags(&hand.say(&[bind("", "s1", &[]), sync()].concat()).0), "CPBS");
    }
}

#[test]
fn a_parse_of_ones_own_is_always_a_real_one() {
    let mut hand = with_s1();
    assert_eq!(tags(&hand.say(&[parse("s2", "ok"), sync()].concat()).0), "CPS");
    hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY]);
    assert_eq!(tags(&hand.say(&[bind("", "s1", &[]), describe("Ss2"), sync()].concat()).0), "BDS");
}

#[test]
fn an_unnamed_statement_older_than_ones_own_does_not_serve() {
    let mut hand = Hand::new(LIMITS);
    let answers = [(b::PARSE_COMPLETE, &b""[..]), READY];
    let _ = hand.say(&[parse("", "ok"), sync()].concat());
    hand.hear(&answers);
    let older = std::mem::replace(&mut hand.server, Hand::ledger(&hand.shared));
    let _ = hand.say(&[parse("", "ok"), sync()].concat());
    hand.hear(&answers);
    hand.server = older;
    assert_eq!(tags(&hand.say(&[bind("", "", &[]), sync()].concat()).0), "PBS");
}

#[test]
fn nobody_elses_unnamed_statement_is_bound() {
    let mut hand = Hand::new(LIMITS);
    let _ = hand.say(&[parse("", "ok secret"), sync()].concat());
    hand.hear(&[(b::PARSE_COMPLETE, b""), READY]);
    hand.client.statements.unnamed = None;
    assert_eq!(tags(&hand.say(&[describe("S"), sync()].concat()).0), "CDS");
}

// -- rows as the client was told

/// A RowDescription of one column of this type.
fn rows(r#type: u8) -> Vec<u8> {
    [&b"\0\x01a\0\0\0\0\0\0\0\0\0\0"[..], &[r#type], &[0; 8]].concat()
}

/// The client was told that the rows of `s1` have this type; its server is another now.
fn told_rows(r#type: u8) -> Hand {
    let mut hand = with_s1();
    let _ = hand.say(&[describe("Ss1"), sync()].concat());
    let told = hand.hear(&[(b::PARAMETER_DESCRIPTION, b"\0\0"), (b::ROW_DESCRIPTION, &rows(r#type)), READY]);
    assert_eq!(tags(&told), "tTZ");
    hand.server = Hand::ledger(&hand.shared);
    hand
}

#[test]
fn a_new_copy_is_bound_once_its_rows_are_known_to_look_as_told() {
    let mut hand = told_rows(23);
    let (sent, judged) = hand.say(&[bind("", "s1", &[]), execute(""), sync()].concat());
    assert_eq!((&*tags(&sent), judged), ("CPDH", Ok(Judged::Waits)));
    assert_eq!(hand.say(b""), (vec![], Ok(Judged::Waits)), "it is asked once");
    let answers: [(u8, &[u8]); 4] = [
        (b::CLOSE_COMPLETE, b""),
        (b::PARSE_COMPLETE, b""),
        (b::PARAMETER_DESCRIPTION, b"\0\0"),
        (b::ROW_DESCRIPTION, &rows(23)),
    ];
    assert_eq!(hand.hear(&answers), b"");
    assert_eq!(tags(&hand.say(b"").0), "BES");
    hand.hear(&[(b::BIND_COMPLETE, b""), (b::COMMAND_COMPLETE, b"SELECT 0\0"), READY]);
    assert_eq!(tags(&hand.say(&bind("", "s1", &[])).0), "B", "and never again");
}

#[test]
fn s96_rows_that_look_otherwise_are_an_error_of_the_batch() {
    let mut hand = told_rows(23);
    let _ = hand.say(&[bind("", "s1", &[]), execute(""), sync()].concat());
    hand.hear(&[
        (b::CLOSE_COMPLETE, b""),
        (b::PARSE_COMPLETE, b""),
        (b::PARAMETER_DESCRIPTION, b"\0\0"),
        (b::ROW_DESCRIPTION, &rows(25)),
    ]);
    assert_eq!(tags(&hand.say(b"").0), "BES");
    let told = hand.hear(&[(b::ERROR_RESPONSE, &error("26000", "\"_pgweir_0\"")), READY]);
    assert_eq!(tags(&told), "EZ");
    assert!(String::from_utf8_lossy(&told).contains("C0A000\0Mcached plan must not change result type"));
}

#[test]
fn rows_are_asked_again_if_the_server_skipped_the_question() {
    let mut hand = told_rows(23);
    let _ = hand.say(&[parse("s2", "ok"), sync()].concat());
    hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY]);
    assert_eq!(tags(&hand.say(&[parse("", "bad"), bind("", "s1", &[])].concat()).0), "PDH");
    hand.hear(&[(b::ERROR_RESPONSE, &error("42601", "syntax error"))]);
    assert_eq!(tags(&hand.say(&[sync(), bind("", "s1", &[])].concat()).0), "SDH");
}

#[test]
fn statements_under_settings_of_a_transaction_are_nobody_elses() {
    let mut hand = with_s1();
    hand.hear(&[(b::PARAMETER_STATUS, b"DateStyle\0ISO, DMY\0")]);
    assert_eq!(
        hand.say(&parse("s2", "ok")).0,
        [close("S_pgweir_1001"), parse("_pgweir_1001", "ok")].concat()
    );
    let params = hand.server.params.clone();
    hand.client.told.adopt(&params);
    hand.client.touch.clear();
    assert_eq!(
        hand.say(&parse("s3", "ok")).0,
        [close("S_pgweir_1000"), parse("_pgweir_1000", "ok")].concat()
    );
}

// -- judging waits where it must

#[test]
fn a_name_that_may_be_skipped_waits_for_the_answer() {
    let mut hand = Hand::new(LIMITS);
    let (sent, judged) = hand.say(&[parse("s1", "ok"), sync(), bind("", "s1", &[]), sync()].concat());
    assert_eq!((&*tags(&sent), judged), ("CPS", Ok(Judged::Waits)));
    hand.hear(&[(b::ERROR_RESPONSE, &error("42P01", "relation \"t\" does not exist")), READY]);
    let (sent, judged) = hand.say(b"");
    assert_eq!((sent, judged), ([bind("", "s1", &[]), sync()].concat(), Ok(Judged::NeedsMore)));
}

#[test]
fn statements_without_a_name_never_wait() {
    let mut hand = Hand::new(LIMITS);
    let batch = [parse("", "ok"), bind("", "", &[]), execute(""), sync()].concat();
    let queries = [query("ok"), query("ok")].concat();
    let pipeline = [&*batch, &*batch, &*queries, &*batch].concat();
    assert_eq!(hand.say(&pipeline), (pipeline, Ok(Judged::NeedsMore)));
}

// -- signs

#[test]
fn f94_a_function_call_may_do_anything() {
    let mut hand = Hand::new(LIMITS);
    assert_eq!(tags(&hand.say(&call("lo_open")).0), "F");
    assert_eq!(hand.client.touch.effects, Effects::OPAQUE);
}

#[test]
fn what_a_text_does_counts_when_it_is_bound() {
    let mut hand = Hand::new(LIMITS);
    let _ = hand.say(&[parse("s1", "set work_mem = 1"), sync()].concat());
    assert!(hand.client.touch.effects.is_empty());
    hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY]);
    let _ = hand.say(&[bind("", "s1", &[]), execute(""), sync()].concat());
    assert_eq!(hand.client.touch.names, ["work_mem".into()]);
}

#[test]
fn tags_tell_what_no_text_told() {
    for (tag, effects) in [
        ("SELECT 1", Effects::NONE),
        ("INSERT 0 1", Effects::NONE),
        ("UPDATE 3", Effects::NONE),
        ("SET", Effects::NONE),
        ("LISTEN", Effects::LISTEN),
        ("UNLISTEN", Effects::LISTEN),
        ("PREPARE", Effects::SQLPREP),
        ("DEALLOCATE", Effects::STMT_REF),
        ("CLOSE CURSOR ALL", Effects::CLOSE),
        ("CALL", Effects::OPAQUE),
        ("DO", Effects::OPAQUE),
        ("LOAD", Effects::LOAD),
        ("DISCARD ALL", Effects::DISCARD),
    ] {
        let mut hand = Hand::new(LIMITS);
        let _ = hand.say(&query("ok"));
        hand.hear(&[(b::COMMAND_COMPLETE, format!("{tag}\0").as_bytes()), READY]);
        assert_eq!(hand.client.touch.effects, effects, "{tag}");
    }
}

#[test]
fn a_reported_parameter_is_a_sign_if_the_client_caused_it() {
    let mut hand = with_s1();
    let status: (u8, &[u8]) = (b::PARAMETER_STATUS, b"TimeZone\0UTC\0");
    let _ = hand.say(&query("create table t()"));
    assert_eq!(tags(&hand.hear(&[(b::COMMAND_COMPLETE, b"CREATE TABLE\0"), status, READY])), "CSZ");
    assert!(hand.client.touch.names.contains(&"timezone".into()));
    assert_eq!(hand.server.params.get("TimeZone"), Some("UTC"));
}

#[test]
fn without_tracking_names_of_statements_are_exchanged_all_the_same() {
    let mut hand = Hand::new(Limits { track_state: false, ..LIMITS });
    let _ = hand.say(&[parse("s1", "ok"), sync()].concat());
    hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY]);
    let _ = hand.say(&query("set work_mem = 1"));
    hand.hear(&[(b::COMMAND_COMPLETE, b"LISTEN\0"), (b::PARAMETER_STATUS, b"a\0b\0"), READY]);
    assert_eq!(hand.client.touch.effects, Effects::NONE);
    assert_eq!(hand.say(&query("execute s1")).0, query("execute \"_pgweir_1000\""));
}

// -- the catalogue

fn moves(hand: &mut Hand, bytes: &[u8]) -> bool {
    let before = hand.shared.lexicon.moment();
    let _ = hand.say(bytes);
    hand.shared.lexicon.moment() != before
}

#[test]
fn others_learn_of_a_change_before_it_may_be_committed_26() {
    let make = query("create function f() returns int language sql as 'select 1'");
    let mut hand = Hand::new(LIMITS);
    assert!(moves(&mut hand, &make), "it commits itself");
    hand.hear(&[(b::COMMAND_COMPLETE, b"CREATE FUNCTION\0"), READY]);
    assert!(hand.server.change.is_some() && hand.client.touch.needs_settling());

    let mut hand = Hand::new(LIMITS);
    let _ = hand.say(&query("begin"));
    hand.hear(&[(b::COMMAND_COMPLETE, b"BEGIN\0"), (b::READY_FOR_QUERY, b"T")]);
    assert!(!moves(&mut hand, &make));
    hand.hear(&[(b::COMMAND_COMPLETE, b"CREATE FUNCTION\0"), (b::READY_FOR_QUERY, b"T")]);
    assert!(!moves(&mut hand, &query("select 1")));
    hand.hear(&[(b::COMMAND_COMPLETE, b"SELECT 1\0"), (b::READY_FOR_QUERY, b"T")]);
    assert!(moves(&mut hand, &query("commit")));
    assert!(!moves(&mut hand, &query("select 1")), "once");

    let mut hand = Hand::new(Limits { track_state: false, ..LIMITS });
    assert!(!moves(&mut hand, &make));
}

#[test]
fn a_tag_tells_of_a_change_that_no_text_told_of() {
    let mut hand = Hand::new(LIMITS);
    let _ = hand.say(&query("ok"));
    let before = hand.shared.lexicon.moment();
    hand.hear(&[(b::COMMAND_COMPLETE, b"CREATE TRIGGER\0"), READY]);
    assert_ne!(hand.shared.lexicon.moment(), before);
    assert!(hand.client.touch.effects.contains(Effects::CATALOG));
}

#[test]
fn a_prepared_text_is_judged_by_the_dictionary_of_the_day() {
    let mut hand = Hand::new(LIMITS);
    let run = [bind("", "s", &[]), execute(""), sync()].concat();
    let _ = hand.say(&[parse("s", "select f()"), sync()].concat());
    hand.hear(&[(b::CLOSE_COMPLETE, b""), (b::PARSE_COMPLETE, b""), READY]);
    let _ = hand.say(&run);
    assert_eq!(hand.client.touch.effects, Effects::NONE);
    assert!(!hand.client.touch.is_doubtful(hand.shared.lexicon.moment()));
    drop(hand.shared.lexicon.change());
    assert!(hand.client.touch.is_doubtful(hand.shared.lexicon.moment()), "it ran in between");
    hand.client.touch.clear();
    hand.shared.lexicon.read(&[("f", "select pg_advisory_lock(1)")]);
    let _ = hand.say(&run);
    assert_eq!(hand.client.touch.effects, Effects::ADVISORY);
    assert!(!hand.client.touch.is_doubtful(hand.shared.lexicon.moment()));
}

#[test]
fn what_its_own_server_sent_comes_from_the_client() {
    let mut hand = Hand::new(LIMITS);
    hand.server.pid = 7;
    let notification = |pid: i32| [&pid.to_be_bytes()[..], b"c\0p\0"].concat();
    for (sender, told) in [(7, CLIENT_PID), (8, 8)] {
        let heard = hand.hear(&[(b::NOTIFICATION_RESPONSE, &notification(sender))]);
        assert_eq!(heard, made(b::NOTIFICATION_RESPONSE, &notification(told)));
    }
}
