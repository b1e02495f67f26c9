//! Statements that concern other sessions: our idle servers must not be in their way, nor let in whom PostgreSQL
//! would refuse. The numbers are those of the conformance list.

use pgweir::demo::cluster::Recipe;
use pgweir_testkit::client::Place;

use super::kit::{Client, House, eventually};

fn visitor(house: &House, user: &str, database: &str) -> std::io::Result<Client> {
    Client::connect(&Place { user: user.into(), database: database.into(), ..house.place() }, &[])
}

/// A house whose clients may make databases, and an idle server in each database that is named.
fn with_databases(names: &[&str]) -> House {
    let house = House::of(Recipe::default(), 2, "");
    house.director().ask("alter role app createdb");
    let mut client = house.client();
    for name in names {
        assert_eq!(client.ask(&format!("create database {name}")), "C[CREATE DATABASE] Z[I]");
        visitor(&house, "app", name).expect("a login").ask("select 1");
    }
    house
}

#[test]
fn n111_idle_servers_do_not_hinder_drop_database() {
    let house = with_databases(&["shop"]);
    assert_eq!(house.client().ask("drop database shop"), "C[DROP DATABASE] Z[I]");
    house.all_is_well();
}

#[test]
fn n111_a_database_with_clients_is_in_use() {
    let house = with_databases(&["shop"]);
    let mut shopper = visitor(&house, "app", "shop").expect("a login");
    shopper.ask("select 1");
    assert_eq!(house.client().ask("drop database shop"), "E[ERROR 55006] Z[I]");
    assert_eq!(shopper.value("select current_database()"), "shop");
    house.all_is_well();
}

#[test]
fn n112_nor_renaming() {
    let house = with_databases(&["shop"]);
    assert_eq!(house.client().ask("alter database shop rename to store"), "C[ALTER DATABASE] Z[I]");
    let mut client = visitor(&house, "app", "store").expect("a login");
    assert_eq!(client.value("select current_database()"), "store");
    house.all_is_well();
}

#[test]
fn n113_nor_a_template() {
    let house = with_databases(&["model"]);
    assert_eq!(house.client().ask("create database copy template model"), "C[CREATE DATABASE] Z[I]");
    house.all_is_well();
}

/// A house with a second user, who has been there: a server of his is idle.
fn with_bob() -> House {
    let house = House::of(Recipe::default(), 2, "users.bob.password = 'builder'");
    let mut director = house.director();
    director.ask("create role bob login password 'builder'");
    director.ask("alter role app createrole; alter database app owner to app");
    // From 16 on, who may make roles may alter those only that are theirs.
    director.ask("grant bob to app with admin option");
    bob(&house).expect("a login").ask("select 1");
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
        director.value("select count(*) from pg_stat_activity where usename = 'bob'") == "0"
    });
    house.all_is_well();
}

#[test]
fn n114_who_may_not_log_in_any_more_does_not() {
    let house = with_bob();
    house.client().ask("alter role bob nologin");
    is_out(&house, "28000");
}

#[test]
fn n115_no_server_outlives_its_role() {
    let house = with_bob();
    assert_eq!(house.client().ask("drop role bob"), "C[DROP ROLE] Z[I]");
    is_out(&house, "28P01");
}

#[test]
fn n116_who_may_not_connect_to_a_database_any_more_does_not() {
    let house = with_bob();
    house.client().ask("revoke connect on database app from public");
    is_out(&house, "42501");
}

#[test]
fn n114_who_is_in_stays_as_on_a_direct_connection() {
    let house = with_bob();
    let mut inside = bob(&house).expect("a login");
    house.client().ask("alter role bob nologin");
    assert_eq!(inside.value("select current_user"), "bob");
    drop(inside);
    is_out(&house, "28000");
}
