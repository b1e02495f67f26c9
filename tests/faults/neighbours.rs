//! Statements that concern other sessions: our idle servers must not be in their way, nor let in whom PostgreSQL
//! would refuse (conformance scenarios 111 to 116).

use pgweir_testkit::client::{Client, Place};

use super::house::{House, ask, eventually, row};

fn visitor(house: &House, user: &str, database: &str) -> std::io::Result<Client> {
    Client::connect(&Place { user: user.into(), database: database.into(), ..house.place() }, &[])
}

/// A house whose clients may make databases, and an idle server in each database that is named.
fn with_databases(names: &[&str]) -> House {
    let house = House::new("[pool]\nsize = 2");
    ask(&mut house.director(), "alter role app createdb");
    let mut client = house.client();
    for name in names {
        assert_eq!(
            ask(&mut client, &format!("create database {name}"))[0],
            "CommandComplete CREATE DATABASE"
        );
        row(&mut visitor(&house, "app", name).expect("a login"), "select 1");
    }
    house
}

#[test]
fn f111_idle_servers_do_not_hinder_drop_database() {
    let house = with_databases(&["shop"]);
    assert_eq!(
        ask(&mut house.client(), "drop database shop"),
        ["CommandComplete DROP DATABASE", "ReadyForQuery I"]
    );
    house.all_is_well();
}

#[test]
fn f111b_a_database_with_clients_is_in_use() {
    let house = with_databases(&["shop"]);
    let mut shopper = visitor(&house, "app", "shop").expect("a login");
    row(&mut shopper, "select 1");
    let refused = ask(&mut house.client(), "drop database shop");
    assert!(refused[0].starts_with("Error ERROR | 55006"), "{refused:?}");
    assert_eq!(row(&mut shopper, "select current_database()"), "DataRow [\"shop\"]");
    house.all_is_well();
}

#[test]
fn f112_nor_renaming() {
    let house = with_databases(&["shop"]);
    let renamed = ask(&mut house.client(), "alter database shop rename to store");
    assert_eq!(renamed[0], "CommandComplete ALTER DATABASE");
    let mut client = visitor(&house, "app", "store").expect("a login");
    assert_eq!(row(&mut client, "select current_database()"), "DataRow [\"store\"]");
    house.all_is_well();
}

#[test]
fn f113_nor_a_template() {
    let house = with_databases(&["model"]);
    let made = ask(&mut house.client(), "create database copy template model");
    assert_eq!(made[0], "CommandComplete CREATE DATABASE");
    house.all_is_well();
}

/// A house with a second user, who has been there: a server of his is idle.
fn with_bob() -> House {
    let house = House::new("[pool]\nsize = 2\n[users.bob]\npassword = \"builder\"");
    let mut director = house.director();
    ask(&mut director, "create role bob login password 'builder'");
    ask(&mut director, "alter role app createrole; alter database app owner to app");
    row(&mut bob(&house).expect("a login"), "select 1");
    house
}

fn bob(house: &House) -> std::io::Result<Client> {
    let place = Place { user: "bob".into(), password: "builder".into(), ..house.place() };
    Client::connect(&place, &[])
}

fn is_out(house: &House, why: &str) {
    let refused = bob(house).map(drop).expect_err("no login").to_string();
    assert!(refused.contains(why), "{refused}");
    let mut director = house.director();
    eventually("no server of his is left", || {
        row(&mut director, "select count(*) from pg_stat_activity where usename = 'bob'") == "DataRow [\"0\"]"
    });
    house.all_is_well();
}

#[test]
fn f114_who_may_not_log_in_any_more_does_not() {
    let house = with_bob();
    ask(&mut house.client(), "alter role bob nologin");
    is_out(&house, "28000");
}

#[test]
fn f115_no_server_outlives_its_role() {
    let house = with_bob();
    assert_eq!(ask(&mut house.client(), "drop role bob")[0], "CommandComplete DROP ROLE");
    is_out(&house, "28P01");
}

#[test]
fn f116_who_may_not_connect_to_a_database_any_more_does_not() {
    let house = with_bob();
    ask(&mut house.client(), "revoke connect on database app from public");
    is_out(&house, "42501");
}

#[test]
fn f114b_who_is_in_stays_as_on_a_direct_connection() {
    let house = with_bob();
    let mut inside = bob(&house).expect("a login");
    ask(&mut house.client(), "alter role bob nologin");
    assert_eq!(row(&mut inside, "select current_user"), "DataRow [\"bob\"]");
    drop(inside);
    is_out(&house, "28000");
}
