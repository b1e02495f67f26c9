//! Who gets in, and how soon a change in the database counts.

use std::thread;

use pgweir::demo::cluster::{Recipe, Stop};

use super::kit::{Client, House, cluster, eventually};
use super::people::*;

#[test]
fn a_user_of_the_database_needs_no_configuration() {
    let house = house(2, "");
    let user = new_user(&house, "login password 'secret'");
    let mut client = log_in(&house, &user, "secret").expect("a login");
    assert_eq!(client.value("select current_user || session_user"), format!("{user}{user}"));
    assert_eq!(refusal(&house, &user, "wrong"), "28P01");
    assert_eq!(refusal(&house, "nobody_of_this_name", "secret"), "28P01");
    assert!(house.client().value("select 1") == "1", "the URL's own user");
    assert_eq!(house.metric("pgweir_user_lookups_total{outcome=\"known\"}"), 2);
    assert_eq!(house.metric("pgweir_user_lookups_total{outcome=\"unknown\"}"), 1);
    house.all_is_well();
}

/// F114: else its login would be the quicker one. The answer is of no use, and how long it took is asked for once.
#[test]
fn f114_a_configured_user_is_asked_about_while_nobody_else_was() {
    let house = house(2, "");
    let asked = || house.metric("pgweir_user_lookups_total{outcome=\"known\"}");
    assert_eq!((house.client().value("select 1"), asked()), ("1".to_owned(), 1));
    assert_eq!((house.client().value("select 1"), asked()), ("1".to_owned(), 1));
    log_in(&house, &new_user(&house, "login password 'secret'"), "secret").expect("a login");
    assert_eq!((house.client().value("select 1"), asked()), ("1".to_owned(), 2));
}

/// F114: whoever can't log in hears the same, message by message, and a stranger's salt doesn't change.
#[test]
fn f114_nobody_can_tell_which_names_exist() {
    let house = house(2, "");
    let known = new_user(&house, "login password 'secret'");
    let expected = wrong_login(&house, &known);
    assert_eq!(expected.len(), 4, "{expected:?}");
    for options in [
        "login password 'secret' valid until '2020-01-01'",
        "nologin password 'secret'",
        "login",
        "login superuser password 'secret'",
        "login replication password 'secret'",
    ] {
        let user = new_user(&house, options);
        assert_eq!(wrong_login(&house, &user), expected, "{options}");
        assert_eq!(refusal(&house, &user, "secret"), "28P01", "{options}");
    }
    let stranger = "nobody_1";
    assert_eq!(wrong_login(&house, stranger), expected);
    assert_eq!(salt(&house, stranger), salt(&house, stranger));
    assert_ne!(salt(&house, stranger), salt(&house, "nobody_2"));
}

/// F114: real salts are the same after a restart and in each instance, and so have to be made-up ones.
#[test]
fn f114_a_strangers_salt_outlives_pgweir() {
    let settings = "auth.mock_secret = 'thirty-two random bytes, or more'";
    let (first, second) = (house(1, settings), house(1, settings));
    let user = new_user(&first, "login password 'secret'");
    for user in [user.as_str(), "nobody_1"] {
        assert_eq!(salt(&first, user), salt(&second, user), "{user}");
    }
    assert_ne!(salt(&first, "nobody_1"), salt(&house(1, ""), "nobody_1"), "random, if nothing is said");
}

#[test]
fn a_new_password_counts_at_once_and_the_old_one_no_more() {
    let house = house(2, "");
    let user = new_user(&house, "login password 'p0'");
    for n in 0..10 {
        let (old, new) = (format!("p{n}"), format!("p{}", n + 1));
        log_in(&house, &user, &old).expect("a login");
        run(&house, &format!("alter role {user} password '{new}'"));
        assert_eq!(log_in(&house, &user, &new).expect("a login").value("select current_user"), user);
        assert_eq!(refusal(&house, &user, &old), "28P01");
    }
}

#[test]
fn a_user_who_may_log_in_no_more_is_kept_out_though_a_server_is_idle() {
    let house = house(2, "");
    let user = new_user(&house, "login password 'secret'");
    let is_in = || log_in(&house, &user, "secret").map(|mut client| client.value("select current_user"));
    for (takes, gives) in [
        ("nologin", "login"),
        ("valid until '2020-01-01'", "valid until 'infinity'"),
        ("password null", "password 'secret'"),
    ] {
        assert_eq!(is_in().as_deref(), Ok(user.as_str()));
        run(&house, &format!("alter role {user} {takes}"));
        assert_eq!(refusal(&house, &user, "secret"), "28P01", "{takes}");
        run(&house, &format!("alter role {user} {gives}"));
    }
    assert_eq!(is_in().as_deref(), Ok(user.as_str()));
    run(&house, &format!("drop role {user}"));
    assert_eq!(refusal(&house, &user, "secret"), "28P01");
}

/// What PostgreSQL says at the door of a database is said by pgweir, with PostgreSQL's words.
#[test]
fn a_database_that_would_refuse_the_user_refuses_though_a_server_is_idle() {
    let house = house(2, "");
    let (user, database) = (new_user(&house, "login password 'secret'"), &house.database);
    let elsewhere = |sql: &str| {
        let place = cluster::place(house.postgres(), "postgres", "postgres");
        let answer = Client::connect(&place, &[]).expect("a login").ask(sql);
        assert!(!answer.contains("E["), "{sql}: {answer}");
    };
    for (takes, gives, code) in [
        ("revoke connect on database {} from public", "grant connect on database {} to public", "42501"),
        ("alter database {} allow_connections false", "alter database {} allow_connections true", "55000"),
    ] {
        let mut client = log_in(&house, &user, "secret").expect("a login");
        assert_eq!(client.value("select current_user"), user);
        client.terminate();
        elsewhere(&takes.replace("{}", database));
        assert_eq!(refusal(&house, &user, "secret"), code);
        assert_eq!(refusal(&house, &user, "wrong"), "28P01", "nothing is told to strangers");
        elsewhere(&gives.replace("{}", database));
    }
    log_in(&house, &user, "secret").expect("a login");
    let nowhere = pgweir_testkit::client::Place {
        user,
        database: "nowhere".into(),
        password: "secret".into(),
        ..house.place()
    };
    let told = Client::connect(&nowhere, &[]).expect_err("no such database").to_string();
    assert!(told.contains("3D000"), "{told}");
}

/// F120: a name is a parameter, whatever is in it.
#[test]
fn f120_names_are_never_part_of_a_text() {
    let house = house(2, "");
    let long = "n".repeat(63);
    for user in [
        "o'hara",
        "o\"hara",
        "x'; drop table pg_authid; --",
        "$1",
        "new\nline \u{1b}[31m",
        "\u{fffd}\u{e4}\u{1f600}",
        "back\\slash",
        " space ",
        &long,
    ] {
        let quoted = format!("\"{}\"", user.replace('"', "\"\""));
        run(&house, &format!("drop role if exists {quoted}; create role {quoted} login password 'secret'"));
        let mut client = log_in(&house, user, "secret").unwrap_or_else(|error| panic!("{user:?}: {error}"));
        assert_eq!(client.value("select current_user"), user);
        assert_eq!(refusal(&house, user, "wrong"), "28P01");
        run(&house, &format!("drop role {quoted}"));
        assert_eq!(refusal(&house, user, "secret"), "28P01");
    }
}

#[test]
fn a_lost_connection_is_replaced_without_a_word() {
    let house = own_house();
    let user = new_user(&house, "login password 'secret'");
    for _ in 0..3 {
        log_in(&house, &user, "secret").expect("a login");
        let mut director = house.director();
        assert_eq!(director.value(ASKING), "1");
        director.ask(&ASKING.replace("count(*)", "pg_terminate_backend(pid)"));
        eventually("it is gone", || director.value(ASKING) == "0");
    }
    assert_eq!(house.metric("pgweir_user_lookups_total{outcome=\"failed\"}"), 0);
}

/// A house with a cluster of its own, whose superuser asks.
fn own_house() -> House {
    let cluster = cluster::make(Recipe::default());
    let (address, settings) = (cluster.address(), asks_as_superuser(cluster.password()));
    House::before(address, Some(cluster::Postgres::Own(Box::new(cluster))), "app", 2, &settings)
}

#[test]
fn one_connection_asks_for_all_and_no_client_ever_has_it() {
    let house = own_house();
    let user = new_user(&house, "login password 'secret'");
    thread::scope(|scope| {
        for n in 0..40 {
            let (house, user) = (&house, &user);
            scope.spawn(move || match n % 2 {
                0 => assert_eq!(
                    log_in(house, user, "secret").expect("a login").value("show application_name"),
                    ""
                ),
                _ => assert_eq!(refusal(house, &format!("nobody_{n}"), "secret"), "28P01"),
            });
        }
    });
    let mut director = house.director();
    assert_eq!(director.value(ASKING), "1");
    let settings = "select string_agg(state || ' ' || datname || ' ' || usename, ',') from pg_stat_activity where application_name = 'pgweir auth'";
    assert_eq!(director.value(settings), "idle postgres postgres");
}

#[test]
fn while_postgresql_is_away_it_is_not_the_password_that_is_wrong() {
    let mut house = own_house();
    let (lately, never) =
        (new_user(&house, "login password 'secret'"), new_user(&house, "login password 'secret'"));
    log_in(&house, &lately, "secret").expect("a login").terminate();
    assert_eq!(refusal(&house, "nobody", "secret"), "28P01");
    house.own_postgres().stop(Stop::Fast).expect("it stops");
    assert_eq!(refusal(&house, &never, "secret"), "57P03");
    assert_eq!(refusal(&house, "nobody_else", "secret"), "57P03");
    // What was said lately stands, for those who are known and those who aren't.
    assert_eq!(refusal(&house, &lately, "wrong"), "28P01");
    assert_eq!(refusal(&house, "nobody", "secret"), "28P01");
    let mut client = log_in(&house, &lately, "secret").expect("a login");
    client.tell(&pgweir_testkit::frontend::query("select current_user"));
    house.own_postgres().start().expect("it starts");
    let answer = pgweir_testkit::message::Message::line(&client.until_ready()[1]);
    assert_eq!(answer, format!("DataRow [{lately:?}]"));
    eventually("the others are let in", || log_in(&house, &never, "secret").is_ok());
    house.all_is_well();
}
