//! D: the network between pgweir and PostgreSQL.

use pgweir_testkit::play::query;

use super::house::{House, ask, row, sqlstate};

#[test]
fn f35_a_commit_whose_answer_is_lost_is_of_unknown_outcome() {
    let (house, network) = House::behind("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f35 (a int)");
    ask(&mut client, "begin");
    ask(&mut client, "insert into f35 values (1)");
    network.cut_on(b"COMMIT\0");
    let answer = query(&mut client, "commit").expect("an answer");
    assert_eq!(sqlstate(&answer).as_deref(), Some("08007"));
    network.calm();
    assert_eq!(row(&mut client, "select count(*) from f35"), "DataRow [\"1\"]", "it was committed");
    drop(client);
    house.all_is_well();
}

#[test]
fn f35b_a_statement_of_a_transaction_that_is_lost_was_not_committed() {
    let (house, network) = House::behind("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f35 (a int)");
    ask(&mut client, "begin");
    network.cut_on(b"INSERT 0 1\0");
    let answer = query(&mut client, "insert into f35 values (1)").expect("an answer");
    assert_eq!(sqlstate(&answer).as_deref(), Some("08006"));
    network.calm();
    assert_eq!(row(&mut client, "select count(*) from f35"), "DataRow [\"0\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f53_a_connection_may_break_at_any_byte_and_nothing_is_done_twice() {
    let (house, network) = House::behind("[pool]\nsize = 1");
    let mut director = house.director();
    ask(&mut director, "create table f53 (n int); alter table f53 owner to app");
    for offset in 0..120 {
        network.calm();
        let mut client = house.client();
        row(&mut client, "select 1");
        network.cut_after(offset);
        let text = format!("insert into f53 values ({offset}) returning 'a row of some length', n");
        let told = query(&mut client, &text);
        network.calm();
        let counted = row(&mut director, &format!("select count(*) from f53 where n = {offset}"));
        match told {
            // The whole answer came through: it is true.
            Ok(answer) if sqlstate(&answer).is_none() => assert_eq!(counted, "DataRow [\"1\"]"),
            // Told of an error, or cut off in the middle: once at the most.
            _ => assert!(counted == "DataRow [\"0\"]" || counted == "DataRow [\"1\"]", "{offset}: {counted}"),
        }
    }
    house.all_is_well();
}

#[test]
fn f55_slices_of_three_bytes_make_no_difference() {
    let (house, network) = House::behind("[pool]\nsize = 1");
    network.slice();
    let mut client = house.client();
    for round in 0..20 {
        assert_eq!(
            row(&mut client, &format!("select {round}, 'some text'")),
            format!("DataRow [\"{round}\", \"some text\"]")
        );
    }
    ask(&mut client, "begin");
    assert_eq!(ask(&mut client, "rollback")[0], "CommandComplete ROLLBACK");
    drop(client);
    house.all_is_well();
}

#[test]
fn f43_and_f57_a_server_that_can_not_be_reached_is_told_and_found_again() {
    let (house, network) =
        House::behind("[pool]\nsize = 1\nqueue_timeout = \"2s\"\nconnect_timeout = \"500ms\"");
    let mut client = house.client();
    row(&mut client, "select 1");
    // Every connection ends at its first answer.
    network.cut_after(0);
    let lost = query(&mut client, "select 1").expect("an answer");
    assert!(sqlstate(&lost).is_some());
    let refused = query(&mut client, "select 1").expect("an answer");
    assert_eq!(sqlstate(&refused).as_deref(), Some("57P03"));
    network.calm();
    assert_eq!(row(&mut client, "select 'found again'"), "DataRow [\"found again\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f56_a_commit_whose_last_message_is_lost_is_of_unknown_outcome() {
    let (house, network) = House::behind("[pool]\nsize = 1");
    let mut client = house.client();
    ask(&mut client, "create table f56 (a int)");
    // Behind its answer the server is asked whether something temporary came to be; that is over now.
    row(&mut client, "select 1");
    network.cut_on(b"Z\0\0\0\x05I");
    let answer = query(&mut client, "insert into f56 values (1)").expect("an answer");
    assert_eq!(sqlstate(&answer).as_deref(), Some("08007"));
    network.calm();
    assert_eq!(row(&mut client, "select count(*) from f56"), "DataRow [\"1\"]", "it was committed");
    drop(client);
    house.all_is_well();
}
