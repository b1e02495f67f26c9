//! Servers that are logged in to with what a client has proved: no password is anywhere in pgweir.

use pgweir::demo::cluster::{ROLE, Recipe};
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::frontend::query;

use super::authority::Authority;
use super::kit::cluster::{self, Postgres};
use super::kit::{House, eventually};
use super::people::*;

fn backends(house: &House, user: &str) -> String {
    house.director().value(&format!("select count(*) from pg_stat_activity where usename = '{user}'"))
}

fn end_backends(house: &House, user: &str) {
    let mut director = house.director();
    director.ask(&format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{user}'"));
    eventually("they are gone", || backends(house, user) == "0");
}

#[test]
fn each_server_of_the_pool_is_opened_as_the_user() {
    let house = house(3, "");
    let user = new_user(&house, "login password 'secret'");
    let mut clients: Vec<_> = (0..3).map(|_| log_in(&house, &user, "secret").expect("a login")).collect();
    for client in &mut clients {
        client.ask("begin");
        assert_eq!(client.value("select session_user"), user);
    }
    assert_eq!(backends(&house, &user), "3");
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("commit"), "C[COMMIT] Z[I]"));
    end_backends(&house, &user);
    assert_eq!(clients[0].value("select session_user"), user, "the key is still there");
}

/// A client stays connected while its password is changed: its servers stay, and a new one needs somebody who knows the
/// new password.
#[test]
fn a_password_that_is_changed_under_way_opens_no_server_before_somebody_proves_it() {
    let house = house(2, "");
    let user = new_user(&house, "login password 'old'");
    let mut client = log_in(&house, &user, "old").expect("a login");
    assert_eq!(client.value("select 1"), "1");
    let place = Place { user: user.clone(), password: "old".into(), database: ROLE.into(), ..house.place() };
    let mut elsewhere = Client::connect(&place, &[]).expect("a login");
    assert_eq!(elsewhere.value("select 1"), "1");
    run(&house, &format!("alter role {user} password 'new'"));
    assert_eq!(client.value("select 2"), "2", "sessions outlive a password");
    end_backends(&house, &user);
    let told = said(&mut client, "select 3");
    assert!(told.contains("28P01"), "{told}");
    assert!(said(&mut elsewhere, "select 3").contains("28P01"));
    let mut newcomer = log_in(&house, &user, "new").expect("a login");
    assert_eq!(newcomer.value("select 4"), "4", "at once");
    assert_eq!(client.value("select 5"), "5");
    // In a pool of another database, too.
    assert_eq!(elsewhere.value("select 6"), "6");
    assert_eq!(refusal(&house, &user, "old"), "28P01");
}

#[test]
fn a_pool_that_keeps_servers_waits_for_a_key() {
    let house = house(2, "pool.min_size = 2");
    let user = new_user(&house, "login password 'old'");
    let client = log_in(&house, &user, "old").expect("a login");
    eventually("the minimum", || backends(&house, &user) == "2");
    run(&house, &format!("alter role {user} password 'new'"));
    end_backends(&house, &user);
    let failures = || house.metric("pgweir_pool_server_connect_failures_total");
    eventually("an attempt fails", || failures() > 0);
    log_in(&house, &user, "new").expect("a login").terminate();
    eventually("the minimum again", || backends(&house, &user) == "2");
    client.terminate();
}

#[test]
fn a_configured_verifier_is_enough() {
    let maker = house(1, "");
    let user = new_user(&maker, "login password 'secret'");
    let verifier =
        maker.director().value(&format!("select rolpassword from pg_authid where rolname = '{user}'"));
    let house = House::with(2, &format!("users.{user}.password = '{verifier}'\nauth.query = 'off'"));
    assert_eq!(log_in(&house, &user, "secret").expect("a login").value("select session_user"), user);
    assert_eq!(refusal(&house, &user, "wrong"), "28P01");
}

#[test]
fn who_has_proved_nothing_has_no_server() {
    let house = House::with(2, "auth.method = 'trust'");
    let user = new_user(&house, "login password 'secret'");
    assert_eq!(refusal(&house, &user, "secret"), "28P01");
    house.all_is_well_but_for_the_panic();
}

/// A cleartext password proves the key of a verifier just as well.
#[test]
fn a_clear_password_gives_the_key_too() {
    let house = house(2, "auth.method = 'cleartext'");
    let user = new_user(&house, "login password 'secret'");
    let conninfo = format!("user={user}");
    assert_eq!(psql(&house, &conninfo, "secret", "select session_user"), Ok(user));
    assert!(psql(&house, &conninfo, "wrong", "select 1").is_err());
}

#[test]
fn an_md5_hash_logs_in_where_both_sides_allow_it() {
    let recipe = Recipe {
        settings: vec!["password_encryption = md5".into()],
        hba: vec!["host all md5_user all md5".into()],
        ..Recipe::default()
    };
    let cluster = cluster::make(recipe);
    let settings = format!(
        "auth.method = 'md5'\n{}\ndatabases.'*'.url = '{}'\ndatabases.'*'.allow_md5 = true",
        asks_as_superuser(cluster.password()),
        cluster.url()
    );
    let house = House::before(cluster.address(), Some(Postgres::Own(Box::new(cluster))), ROLE, 2, &settings);
    run(&house, "create role md5_user login password 'secret'");
    let scram = "set password_encryption = 'scram-sha-256'; create role scram_user login password 'secret'";
    run(&house, scram);
    for user in ["md5_user", "scram_user"] {
        let conninfo = format!("user={user}");
        assert_eq!(psql(&house, &conninfo, "secret", "select session_user").as_deref(), Ok(user));
        assert!(psql(&house, &conninfo, "wrong", "select 1").is_err());
    }
    run(&house, "alter role md5_user password 'new'");
    assert!(psql(&house, "user=md5_user", "new", "select 1").is_ok());
    assert!(psql(&house, "user=md5_user", "secret", "select 1").is_err());
}

/// SCRAM can't be done with an md5 hash: such a user is a stranger where SCRAM is asked for.
#[test]
fn an_md5_user_looks_like_a_stranger_where_scram_is_asked_for() {
    let house = house(2, "");
    let stranger = wrong_login(&house, "nobody");
    run(
        &house,
        "set password_encryption = md5; drop role if exists hashed; create role hashed login password 'secret'",
    );
    assert_eq!(wrong_login(&house, "hashed"), stranger);
    assert_eq!(refusal(&house, "hashed", "secret"), "28P01");
}

/// Whose servers are somebody else's has no use for keys.
#[test]
fn a_forced_user_has_the_servers_whoever_logs_in() {
    let shared = cluster::shared();
    let settings = format!(
        "{}\ndatabases.'*'.url = 'postgres://{}'\ndatabases.'*'.user = '{ROLE}'\ndatabases.'*'.password = '{}'",
        asks_as_superuser(shared.password()),
        shared.address(),
        shared.password()
    );
    let house = House::with(2, &settings);
    let user = new_user(&house, "login password 'secret'");
    let mut client = log_in(&house, &user, "secret").expect("a login");
    assert_eq!(client.value("select session_user"), ROLE);
    client.tell(&query("select 1"));
    client.until_ready();
    run(&house, &format!("revoke connect on database {} from public", house.database));
    assert_eq!(refusal(&house, &user, "secret"), "42501", "as PostgreSQL would say to this user");
}

/// What was proved to pgweir is proved to the server on its own connection: bound to the server's certificate.
#[test]
fn a_key_is_bound_to_the_certificate_of_the_server() {
    let ca = Authority::new("ca");
    let pair = ca.issue(&["localhost"]);
    let files = [("server.crt", &pair.certificate), ("server.key", &pair.key)];
    let recipe = Recipe {
        settings: vec!["ssl = on".into()],
        files: files.map(|(name, text)| (name.to_owned(), text.clone())).into(),
        ..Recipe::default()
    };
    let cluster = cluster::make(recipe);
    let url = format!(
        "postgres://{ROLE}:{}@localhost:{}/{ROLE}?sslmode=require&channel_binding=require",
        cluster.password(),
        cluster.address().port()
    );
    let settings = format!("{}\ndatabases.'*'.url = '{url}'", asks_as_superuser(cluster.password()));
    let house = House::before(cluster.address(), Some(Postgres::Own(Box::new(cluster))), ROLE, 2, &settings);
    let user = new_user(&house, "login password 'secret'");
    let mut client = log_in(&house, &user, "secret").expect("a login");
    assert_eq!(client.value("select session_user"), user);
    assert_eq!(client.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()"), "t");
}
