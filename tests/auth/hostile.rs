//! F118: queries that answer anything, and clients that would like to be asked along.

use super::kit::{House, cluster};
use super::people::*;

/// A pgweir whose users come from a query of the operator's, of one parameter.
fn house_with(query: &str) -> House {
    house(2, &format!("auth.query = \"\"\"{query}\"\"\""))
}

#[test]
fn f118_an_answer_that_does_not_fit_lets_nobody_in() {
    let maker = house(1, "");
    let user = new_user(&maker, "login password 'secret'");
    let secret = "(select rolpassword from pg_authid where rolname = $1)";
    for (query, code) in [
        // No such user.
        ("select rolname, rolpassword from pg_authid where rolname = $1 and false".to_owned(), "28P01"),
        (format!("select $1::text, null::text where {secret} is not null"), "28P01"),
        // Something that the operator has to look at.
        (
            "select rolname, rolpassword from pg_authid where rolname = $1 union all select $1::name, 'x'"
                .into(),
            "57P03",
        ),
        ("select rolname, rolpassword, 1 from pg_authid where rolname = $1".into(), "57P03"),
        ("select rolname from pg_authid where rolname = $1".into(), "57P03"),
        ("select 'postgres'::text, rolpassword from pg_authid where rolname = $1".into(), "57P03"),
        (format!("select upper($1::text), {secret}"), "57P03"),
        (format!("select null::text, {secret}"), "57P03"),
        ("select $1::text, 'secret'::text".into(), "57P03"),
        ("select $1::text, ''::text".into(), "57P03"),
        (format!("select $1::text, {secret} || repeat('=', 1000)"), "57P03"),
        ("select $1::text, repeat('x', 100000000)".into(), "57P03"),
        ("select $1::text, (1/0)::text".into(), "57P03"),
        ("select $1::text, pg_sleep(60)::text".into(), "57P03"),
        ("select nonsense".into(), "57P03"),
        ("select 'x'::text, 'y'::text".into(), "57P03"),
        ("create table pgweir_was_here as select $1::text as a, 'x'::text as b".into(), "57P03"),
    ] {
        let house = house_with(&query);
        assert_eq!(refusal(&house, &user, "secret"), code, "{query}");
        assert!(house.client().value("select 1") == "1", "configured users aren't concerned");
    }
}

#[test]
fn f118_a_query_of_the_operators_is_used() {
    let maker = house(1, "");
    let user = new_user(&maker, "login password 'secret'");
    // PgBouncer's default.
    let house = house_with(
        "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid \
         WHERE rolname=$1 AND rolcanlogin",
    );
    assert_eq!(log_in(&house, &user, "secret").expect("a login").value("select current_user"), user);
    // Whatever the query says: PostgreSQL would not let them in.
    let house = house_with("select usename, passwd from pg_shadow where usename = $1");
    log_in(&house, &user, "secret").expect("a login");
    run(&house, &format!("alter role {user} valid until '2020-01-01'"));
    assert_eq!(refusal(&house, &user, "secret"), "28P01");
}

#[test]
fn f118_nothing_of_a_clients_reaches_the_session_that_asks() {
    let house = house(2, "");
    let user = new_user(&house, "login password 'secret'");
    // A schema with operators that let in whoever comes, for whoever searches it.
    run(
        &house,
        "create schema evil; grant usage on schema evil to public;
         create function evil.yes(name, text) returns bool language sql as 'select true';
         create operator evil.= (function = evil.yes, leftarg = name, rightarg = text)",
    );
    for parameters in [
        &[("search_path", "evil, pg_catalog")][..],
        &[("options", "-c search_path=evil,pg_catalog -c statement_timeout=1")],
        &[("options", "-c role=postgres")],
        &[("client_encoding", "SQL_ASCII"), ("standard_conforming_strings", "off")],
    ] {
        assert!(log_in_with(&house, &user, "wrong", parameters).is_err());
        assert!(log_in_with(&house, "nobody", "secret", parameters).is_err());
    }
    let asking = cluster::shared();
    let place = cluster::place(asking, "postgres", "postgres");
    let mut director = super::kit::Client::connect(&place, &[]).expect("a login");
    let others = "select count(*) from pg_stat_activity where application_name = 'pgweir auth' \
                  and (datname, usename) is distinct from ('postgres', 'postgres')";
    assert_eq!(director.value(others), "0");
    // The role's own defaults don't count either.
    run(&house, "alter role postgres set search_path = evil, pg_catalog");
    let fresh = super::people::house(2, "");
    assert_eq!(refusal(&fresh, "nobody", "secret"), "28P01");
    assert_eq!(refusal(&fresh, &user, "wrong"), "28P01");
    log_in(&fresh, &user, "secret").expect("a login");
    run(&house, "alter role postgres reset search_path");
}

/// Whatever the client, the role or the upstream's own parameters say.
#[test]
fn f118_the_session_that_asks_is_as_it_should_be() {
    let maker = house(1, "");
    let user = new_user(&maker, "login password 'secret'");
    run(&maker, "alter role postgres set statement_timeout = '1h'");
    let query = "select $1::text, case when (current_setting('search_path'), current_setting('statement_timeout'), \
                 current_setting('default_transaction_read_only'), current_setting('client_encoding'), \
                 current_setting('application_name')) = ('pg_catalog, pg_temp', '2s', 'on', 'UTF8', 'pgweir auth') \
                 then (select rolpassword from pg_authid where rolname = $1) end";
    let parameters = "databases.'*'.parameters.search_path = 'evil'";
    let house = house(2, &format!("auth.query = \"\"\"{query}\"\"\"\n{parameters}"));
    for parameters in [
        &[][..],
        &[("search_path", "evil"), ("statement_timeout", "0"), ("application_name", "x")],
        &[("options", "-c search_path=evil -c default_transaction_read_only=off")],
        &[("client_encoding", "LATIN1")],
    ] {
        log_in_with(&house, &user, "secret", parameters).expect("a login");
    }
    run(&maker, "alter role postgres reset statement_timeout");
}

/// An error is an answer: what was said before doesn't stand any more.
#[test]
fn f118_an_error_about_a_user_ends_what_was_known_of_them() {
    let query = "select $1::text, (select case when rolconnlimit = 0 then (1 / rolconnlimit)::text else rolpassword end \
                 from pg_authid where rolname = $1)";
    let house = house_with(query);
    let user = new_user(&house, "login password 'secret'");
    log_in(&house, &user, "secret").expect("a login");
    run(&house, &format!("alter role {user} connection limit 0"));
    assert_eq!(refusal(&house, &user, "secret"), "57P03");
    run(&house, &format!("alter role {user} connection limit -1"));
    log_in(&house, &user, "secret").expect("a login");
}
