//! What a role needs to look users up, from `DATABASE_URL` alone to the function of `pgweir auth-sql`.

use std::process::Command;

use pgweir::demo::cluster::{ROLE, Recipe, SUPERUSER};

use super::kit::cluster::{self, Postgres};
use pgweir_testkit::client::Place;

use super::kit::{Client, House, eventually};
use super::people::*;

/// A cluster of its own, with an upstream URL and nothing else.
fn house_with_url() -> House {
    let cluster = cluster::make(Recipe::default());
    House::before(cluster.address(), Some(Postgres::Own(Box::new(cluster))), ROLE, 2, "")
}

/// What `pgweir auth-sql` prints for the URL of the house.
fn script(house: &House) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.arg("auth-sql").env_clear().env("DATABASE_URL", house.url());
    let output = command.output().expect("pgweir");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// By psql, as a superuser would.
fn install(house: &House, script: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), script).expect("a script");
    let address = house.postgres().address();
    let program = house.postgres().binaries().program("psql");
    let mut command = Command::new(if program.exists() { program } else { "psql".into() });
    let place = format!("host={} port={} user={SUPERUSER} dbname={ROLE}", address.ip(), address.port());
    command.args(["-Xq", "-f"]).arg(file.path()).arg(place).env("PGPASSWORD", house.postgres().password());
    let output = command.output().expect("psql");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_ordinary_role_is_told_once_what_to_do_and_then_does() {
    let house = house_with_url();
    let user = new_user(&house, "login password 'secret'");
    let strangers = wrong_login(&house, "nobody");
    for _ in 0..3 {
        assert_eq!(refusal(&house, &user, "secret"), "28P01");
        assert_eq!(wrong_login(&house, &user), strangers);
    }
    assert_eq!(house.pooler.log().matches("pgweir auth-sql").count(), 1, "{}", house.pooler.log());
    install(&house, &script(&house));
    eventually("the function is noticed", || log_in(&house, &user, "secret").is_ok());
    assert_eq!(refusal(&house, "nobody", "secret"), "28P01");
    let superuser = new_user(&house, "login superuser password 'secret'");
    assert_eq!(refusal(&house, &superuser, "secret"), "28P01");
    install(&house, &script(&house));
    eventually("it may be installed again", || log_in(&house, &user, "secret").is_ok());
}

#[test]
fn the_url_of_a_superuser_is_all_that_is_needed() {
    let cluster = cluster::make(Recipe::default());
    let url = cluster.superuser_url();
    let settings = format!("databases.'*'.url = '{url}'");
    let house = House::before(cluster.address(), Some(Postgres::Own(Box::new(cluster))), ROLE, 2, &settings);
    let user = new_user(&house, "login password 'secret'");
    assert_eq!(log_in(&house, &user, "secret").expect("a login").value("select current_user"), user);
}

#[test]
fn the_function_is_for_the_role_alone_and_its_search_path_is_pinned() {
    let house = house_with_url();
    install(&house, &script(&house));
    let user = new_user(&house, "login password 'secret'");
    let mut director = house.director();
    let call = "select count(*) from pgweir.user_lookup('app')";
    assert_eq!(director.value(&format!("set role {ROLE}; {call}")), "1");
    let refused = said(&mut director, &format!("set role {user}; {call}"));
    assert!(refused.contains("42501"), "{refused}");
    let facts = "select prosecdef::text || proconfig::text || provolatile::text from pg_proc where proname = 'user_lookup'";
    assert_eq!(house.director().value(facts), "true{\"search_path=pg_catalog, pg_temp\"}s");
}

/// Else whoever may create a schema could say who gets in.
#[test]
fn a_function_that_no_superuser_made_is_not_believed() {
    let house = house_with_url();
    let user = new_user(&house, "login password 'secret'");
    let known = postgres_protocol::password::scram_sha_256(b"mine");
    let mut owner = house.direct();
    for sql in [
        "create schema pgweir".to_owned(),
        format!(
            "create function pgweir.user_lookup(asked text, out user_name text, out password text) returns setof record
             language sql security definer as $$ select asked, '{known}'::text $$"
        ),
        "grant usage on schema pgweir to public".to_owned(),
    ] {
        let answer = owner.ask(&sql);
        assert!(!answer.contains("E["), "{answer}");
    }
    assert_eq!(refusal(&house, &user, "mine"), "28P01");
    assert_eq!(refusal(&house, &user, "secret"), "28P01");
    assert_eq!(house.metric("pgweir_user_lookups_total{outcome=\"known\"}"), 0);
}

#[test]
fn nobody_is_looked_up_where_that_is_off() {
    let settings = format!("{}\nauth.query = 'off'", asks_as_superuser(cluster::shared().password()));
    let house = House::with(2, &settings);
    let user = new_user(&house, "login password 'secret'");
    assert_eq!(refusal(&house, &user, "secret"), "28P01");
    assert_eq!(house.metric("pgweir_user_lookups_total"), 0);
}

/// The connection that asks is in nobody's way.
#[test]
fn a_database_in_which_users_are_looked_up_can_be_dropped() {
    let cluster = cluster::make(Recipe::default());
    cluster::make_database(&cluster, "spare");
    let settings = format!("auth.user = '{SUPERUSER}'\nauth.password = '{}'", cluster.password());
    let house =
        House::before(cluster.address(), Some(Postgres::Own(Box::new(cluster))), "spare", 2, &settings);
    let user = new_user(&house, "login password 'secret'");
    let at = |database: &str, user: &str, password: &str| {
        let (user, password, database) = (user.to_owned(), password.to_owned(), database.to_owned());
        Client::connect(&Place { user, password, database, ..house.place() }, &[]).expect("a login")
    };
    at(ROLE, &user, "secret").terminate();
    let place = cluster::place(house.postgres(), SUPERUSER, SUPERUSER);
    let mut director = Client::connect(&place, &[]).expect("a login");
    assert_eq!(director.value(&format!("{ASKING} and datname = 'spare'")), "1");
    let mut owner = at(ROLE, ROLE, house.postgres().password());
    assert_eq!(director.ask(&format!("alter role {ROLE} createdb")), "C[ALTER ROLE] Z[I]");
    assert_eq!(owner.ask("drop database spare"), "C[DROP DATABASE] Z[I]");
}
