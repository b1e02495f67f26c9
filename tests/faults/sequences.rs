//! Values of sequences where clients share a server: each hears its own or none.

use pgweir_testkit::frontend::*;

use super::kit::{Client, House, errors};

/// Two clients of one server, which nobody may keep. The second has used a sequence last.
fn shared() -> (House, Client, Client) {
    let house = House::with(1, "pool.pinned_servers = 0");
    let (mut first, mut second) = (house.client(), house.client());
    first.ask("create table serial (id serial, v text); create table plain (v text)");
    second.ask("insert into serial (v) values ('of the second')");
    (house, first, second)
}

fn hears_none(client: &mut Client) {
    client.tell(&query("select lastval()"));
    assert_eq!(errors(&client.until_ready()), ["55000"]);
}

#[test]
fn an_insert_without_a_sequence_lends_no_value() {
    let (house, mut first, second) = shared();
    first.ask("insert into plain values ('x')");
    hears_none(&mut first);
    drop((first, second));
    house.all_is_well();
}

#[test]
fn what_the_server_skips_forgets_nothing() {
    let (house, mut first, second) = shared();
    let fails = [parse("", "select 1/0", &[]), bind("", "", &[]), execute("", 0)].concat();
    for text in ["select lastval()", "insert into plain values ('x')"] {
        let skipped = [parse("", text, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
        first.tell(&[fails.clone(), skipped].concat());
        assert_eq!(errors(&first.until_ready()), ["22012"]);
        hears_none(&mut first);
    }
    drop((first, second));
    house.all_is_well();
}

#[test]
fn a_text_that_ends_a_failed_transaction_reads_nothing() {
    let (house, mut first, second) = shared();
    first.ask("begin; select 1/0");
    let heard = first.outcome("rollback; select lastval()");
    assert_eq!(errors(&heard), ["0A000"]);
    drop(second);
    house.all_is_well();
}

#[test]
fn nor_does_what_no_text_shows() {
    let (house, mut first, second) = shared();
    first.tell(&query("do $$begin execute 'select last' || 'val()'; end$$"));
    assert_eq!(errors(&first.until_ready()), ["55000"]);
    drop((first, second));
    house.all_is_well();
}

#[test]
fn reading_within_the_transaction_costs_no_server() {
    let house = House::new(1);
    let mut clients: Vec<_> = (0..20).map(|_| house.client()).collect();
    clients[0].ask("create table serial (id serial)");
    for (number, client) in (1..).zip(&mut clients) {
        client.ask("begin; insert into serial default values");
        assert_eq!(client.value("select lastval()"), format!("{number}"));
        client.ask("commit");
    }
    // A few are kept while little is known; clients that rely on it would have one each.
    assert!(house.backends("true") < 10, "{}", house.backends("true"));
    drop(clients);
    house.all_is_well();
}

#[test]
fn a_transaction_reads_its_own_values_however_many_others_read_none() {
    let (house, mut first, mut second) = shared();
    for _ in 0..150 {
        second.ask("insert into serial (v) values ('nobody reads')");
    }
    for read in ["select lastval()", "select currval('serial_id_seq')"] {
        second.ask("insert into serial (v) values ('of the second')");
        first.ask("begin");
        let id = first.value("insert into serial (v) values ('of the first') returning id");
        assert_eq!(first.value(read), id);
        first.ask("commit");
    }
    let run = |sql| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let texts = ["begin", "insert into serial (v) values ('x') returning id", "select lastval()", "commit"];
    second.ask("insert into serial (v) values ('of the second')");
    first.tell(&[texts.map(run).concat(), sync()].concat());
    let heard = first.until_ready();
    let rows: Vec<_> = heard.iter().filter(|message| message.tag == b'D').map(|row| row.columns()).collect();
    assert!(rows.len() == 2 && rows[0] == rows[1], "{rows:?}");
    drop((first, second));
    house.all_is_well();
}
