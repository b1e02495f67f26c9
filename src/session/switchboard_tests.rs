//! Tests of the switchboard: listeners by letters, one statement and one mark at a time.

use super::*;
use crate::session::notifications::notification;
use crate::wire::frame::HEAD;

const MARKS: &str = "_pgweir_marks";

/// A switchboard whose bells are letters.
fn board(limit: usize) -> Switchboard<char> {
    Switchboard::new(MARKS, limit)
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

/// What is asked next, and done at once.
fn asks(board: &mut Switchboard<char>) -> String {
    let text = board.next_statement().unwrap_or_default();
    board.statement_done();
    String::from_utf8(text).unwrap()
}

fn hears(board: &mut Switchboard<char>, pid: i32, channel: &str, payload: &str) {
    let message = notification(pid, channel, payload);
    board.heard(&Notification::read(&message[HEAD..]).unwrap(), &message);
}

/// Sends the mark from the client's server.
fn pass(board: &mut Switchboard<char>, id: ListenerId, then: Ear) {
    let mark = board.expect(id, 1, then);
    assert!(!board.is_over(id, &mark));
    hears(board, 1, MARKS, &mark.payload);
    assert!(board.is_over(id, &mark));
}

fn listener(board: &mut Switchboard<char>, bell: char, channels: &[&str]) -> ListenerId {
    let id = board.subscribe(bell).unwrap();
    board.listen(id, names(channels));
    asks(board);
    assert!(board.is_ready(id));
    pass(board, id, Ear::Open);
    id
}

/// The payloads that wait for a client.
fn waits(board: &mut Switchboard<char>, id: ListenerId) -> Vec<String> {
    let (row, mut payloads) = (board.take(id).unwrap(), Vec::new());
    let mut rest = &row[..];
    while let Some(head) = crate::wire::frame::head(rest).unwrap() {
        let sent = Notification::read(&rest[HEAD..head.total]).unwrap();
        payloads.push(String::from_utf8_lossy(sent.payload).into_owned());
        rest = &rest[head.total..];
    }
    payloads
}

#[test]
fn an_ear_is_open_between_its_marks_only() {
    let mut board = board(1000);
    let id = board.subscribe('a').unwrap();
    board.listen(id, names(&["c"]));
    assert!(!board.is_ready(id), "not before the LISTEN was run");
    assert_eq!(asks(&mut board), "LISTEN \"c\";");
    hears(&mut board, 9, "c", "its server tells it");
    pass(&mut board, id, Ear::Open);
    hears(&mut board, 9, "c", "1");
    hears(&mut board, 9, "d", "not its channel");
    pass(&mut board, id, Ear::Shut);
    hears(&mut board, 9, "c", "its server tells it again");
    assert_eq!(waits(&mut board, id), ["1"]);
    pass(&mut board, id, Ear::Open);
    hears(&mut board, 9, "c", "2");
    assert_eq!(waits(&mut board, id), ["2"]);
    assert_eq!(board.delivered, 2);
}

#[test]
fn a_mark_counts_from_its_own_server_and_in_its_turn_only() {
    let mut board = board(1000);
    let id = listener(&mut board, 'a', &["c"]);
    let (shut, open) = (board.expect(id, 1, Ear::Shut), board.expect(id, 1, Ear::Open));
    for (pid, payload) in [(2, &*shut.payload), (1, &*open.payload), (1, "0.0"), (1, "x"), (1, "")] {
        hears(&mut board, pid, MARKS, payload);
    }
    assert!(!board.is_over(id, &shut) && !board.is_over(id, &open));
    hears(&mut board, 1, MARKS, &shut.payload);
    assert!(board.is_over(id, &shut));
    assert!(board.forget(id, &open) && !board.forget(id, &open) && !board.forget(id, &shut));
    hears(&mut board, 1, MARKS, &open.payload);
    hears(&mut board, 9, "c", "not heard");
    assert_eq!(waits(&mut board, id), [""; 0]);
}

#[test]
fn a_channel_is_asked_for_once_and_left_when_nobody_listens() {
    let mut board = board(1000);
    let a = listener(&mut board, 'a', &["c", "d"]);
    let b = board.subscribe('b').unwrap();
    board.listen(b, names(&["c"]));
    assert!(board.is_ready(b));
    assert_eq!(asks(&mut board), "");
    board.unsubscribe(a);
    assert_eq!(asks(&mut board), "UNLISTEN \"d\";");
    board.listen(b, names(&["a\"b"]));
    assert_eq!(asks(&mut board), "LISTEN \"a\"\"b\";UNLISTEN \"c\";");
    assert!(!board.close_if_unused());
    board.unsubscribe(b);
    assert!(board.close_if_unused() && board.subscribe('c').is_none());
}

#[test]
fn who_comes_while_a_channel_is_left_has_it_asked_for_again() {
    let mut board = board(1000);
    let a = listener(&mut board, 'a', &["c"]);
    board.unsubscribe(a);
    assert_eq!(board.next_statement().unwrap(), b"UNLISTEN \"c\";");
    let b = board.subscribe('b').unwrap();
    board.listen(b, names(&["c"]));
    assert_eq!(board.next_statement(), None, "one at a time");
    board.statement_done();
    assert!(!board.is_ready(b));
    assert_eq!(asks(&mut board), "LISTEN \"c\";");
    assert!(board.is_ready(b));
}

#[test]
fn who_goes_while_a_channel_is_asked_for_has_it_left_again() {
    let mut board = board(1000);
    let a = board.subscribe('a').unwrap();
    board.listen(a, names(&["c"]));
    assert!(board.next_statement().is_some());
    board.unsubscribe(a);
    assert!(!board.close_if_unused(), "a statement is under way");
    board.statement_done();
    assert_eq!(asks(&mut board), "UNLISTEN \"c\";");
    assert!(board.next_statement().is_none() && board.close_if_unused());
}

#[test]
fn each_listener_gets_its_own_and_is_rung_once_until_it_looks() {
    let mut board = board(1000);
    let (a, b) = (listener(&mut board, 'a', &["c"]), listener(&mut board, 'b', &["c", "d"]));
    hears(&mut board, 9, "c", "1");
    hears(&mut board, 9, "d", "2");
    hears(&mut board, 9, "c", "3");
    assert_eq!(board.take_bells(), ['a', 'b']);
    assert_eq!(waits(&mut board, a), ["1", "3"]);
    assert_eq!(waits(&mut board, b), ["1", "2", "3"]);
    hears(&mut board, 9, "d", "4");
    assert_eq!(board.take_bells(), ['b']);
}

#[test]
fn one_that_does_not_look_is_told_so_and_costs_no_more() {
    let mut board = board(100);
    let (slow, quick) = (listener(&mut board, 's', &["c"]), listener(&mut board, 'q', &["c"]));
    for count in 0..100 {
        hears(&mut board, 9, "c", &count.to_string());
        assert_eq!(waits(&mut board, quick), [count.to_string()]);
    }
    assert_eq!(board.take(slow), Err(Gap::TooMuch { limit: 100 }));
    assert!(board.listeners[&slow].outbox.capacity() == 0);
}

#[test]
fn a_lost_connection_is_a_gap_for_those_who_were_to_hear_by_it() {
    let mut board = board(1000);
    let heard = listener(&mut board, 'h', &["c"]);
    let at_work = listener(&mut board, 'w', &["c"]);
    pass(&mut board, at_work, Ear::Shut);
    let opening = listener(&mut board, 'o', &["c"]);
    pass(&mut board, opening, Ear::Shut);
    board.expect(opening, 1, Ear::Open);
    board.take_bells();
    board.lose();
    assert_eq!(board.take_bells(), ['h', 'o']);
    assert_eq!(board.take(heard), Err(Gap::Lost));
    assert_eq!(board.take(opening), Err(Gap::Lost));
    assert_eq!(board.take(at_work), Ok(vec![]));
    assert!(board.subscribe('n').is_none());
}

#[test]
fn a_mark_on_a_connection_that_was_lost_before_it_is_a_gap() {
    let mut board = board(1000);
    let id = board.subscribe('a').unwrap();
    board.listen(id, names(&["c"]));
    asks(&mut board);
    board.lose();
    assert_eq!((board.gap(id), board.take_bells()), (None, vec![]), "its server has its channels");
    let mark = board.expect(id, 1, Ear::Open);
    assert!(board.is_over(id, &mark));
    assert_eq!(board.gap(id), Some(Gap::Lost));
}
