//! C: servers that fail.

use pgweir::demo::cluster::{Recipe, Stop};
use pgweir_testkit::client::Client;
use pgweir_testkit::play::query;

use super::house::{House, ask, begin, eventually, row, runs, sqlstate, start_at};

const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'app'";

#[test]
fn f32_a_server_that_died_at_rest_is_not_noticed() {
    let house = House::new("[pool]\nsize = 2");
    let mut director = house.director();
    let mut client = house.client();
    for round in 0..20 {
        row(&mut client, "select 1");
        row(&mut director, TERMINATE);
        eventually("it is gone", || {
            row(&mut director, "select count(*) from pg_stat_activity where usename = 'app'")
                == "DataRow [\"0\"]"
        });
        assert_eq!(row(&mut client, &format!("select {round}")), format!("DataRow [\"{round}\"]"));
    }
    drop(client);
    house.all_is_well();
}

#[test]
fn f33_terminated_in_a_statement_gives_one_error_and_the_client_stays() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    let mut client = house.client();
    begin(&mut client, "select pg_sleep(600)");
    eventually("it runs", || runs(&mut director, "select pg_sleep(600)"));
    row(&mut director, TERMINATE);
    let answer = client.settle().expect("an answer");
    assert_eq!(answer.iter().filter(|message| message.tag == b'E').count(), 1);
    assert_eq!(sqlstate(&answer).as_deref(), Some("57P01"));
    let error = answer.iter().find(|message| message.tag == b'E').expect("counted above");
    assert!(error.line().starts_with("Error ERROR"), "{}", error.line());
    assert_eq!(row(&mut client, "select 'stays'"), "DataRow [\"stays\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f34_terminated_between_statements_of_a_transaction() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    let mut client = house.client();
    ask(&mut client, "create table f34 (a int)");
    ask(&mut client, "begin");
    ask(&mut client, "insert into f34 values (1)");
    row(&mut director, TERMINATE);
    eventually("it is gone", || {
        row(&mut director, "select count(*) from pg_stat_activity where usename = 'app'") == "DataRow [\"0\"]"
    });
    let answer = query(&mut client, "commit").expect("an answer");
    assert_eq!(sqlstate(&answer).as_deref(), Some("08006"));
    assert_eq!(answer.last().expect("a reply").line(), "ReadyForQuery I");
    assert_eq!(row(&mut client, "select count(*) from f34"), "DataRow [\"0\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f36_and_f37_a_restart_keeps_clients_and_waiters() {
    let mut house = House::new("[pool]\nsize = 2\nqueue_timeout = \"30s\"");
    let mut client = house.client();
    row(&mut client, "select 1");
    for how in [Stop::Fast, Stop::Immediate] {
        house.cluster.stop(how).expect("a stop");
        begin(&mut client, "select 'served after the restart'");
        let place = house.place();
        let newcomer = std::thread::spawn(move || {
            Client::connect(&place, &[]).map(|mut new| row(&mut new, "select 'new'"))
        });
        house.cluster.start().expect("a start");
        let answer = client.settle().expect("an answer");
        assert_eq!(sqlstate(&answer), None, "a waiter is served once the server is back");
        assert_eq!(newcomer.join().expect("no panic").expect("a login"), "DataRow [\"new\"]");
    }
    drop(client);
    house.all_is_well();
}

#[test]
fn f41_too_many_connections_shrink_the_pool_and_it_serves_on() {
    let recipe = Recipe { max_connections: Some(8), ..Recipe::default() };
    let house = House::with(recipe, "[pool]\nsize = 30\nqueue_timeout = \"20s\"");
    let workers: Vec<_> = (0..30)
        .map(|_| {
            let mut client = house.client();
            std::thread::spawn(move || {
                for _ in 0..5 {
                    assert_eq!(
                        row(&mut client, "select 'served' from pg_sleep(0.02)"),
                        "DataRow [\"served\"]"
                    );
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no client saw an error");
    }
    house.all_is_well();
}

#[test]
fn f42_a_role_that_is_gone_is_told_and_disturbs_nobody() {
    let house = House::new("[pool]\nsize = 1\n[users.ghost]\npassword = \"boo\"");
    let place =
        pgweir_testkit::client::Place { user: "ghost".into(), password: "boo".into(), ..house.place() };
    for _ in 0..3 {
        let error = Client::connect(&place, &[]).expect_err("no such role").to_string();
        assert!(error.contains("28P01") || error.contains("28000"), "{error}");
    }
    let unknown = pgweir_testkit::client::Place { database: "nowhere".into(), ..house.place() };
    let error = Client::connect(&unknown, &[]).expect_err("no such database").to_string();
    assert!(error.contains("3D000"), "{error}");
    house.all_is_well();
}

#[test]
fn f45_what_idle_servers_say_reaches_no_client() {
    let house = House::new("[pool]\nsize = 1");
    let mut director = house.director();
    let mut client = house.client();
    row(&mut client, "select 1");
    ask(&mut director, "alter system set timezone = 'Asia/Tokyo'");
    row(&mut director, "select pg_reload_conf()");
    eventually("the server has the new value", || {
        row(&mut client, "show timezone") == "DataRow [\"Asia/Tokyo\"]"
    });
    assert_eq!(row(&mut house.client(), "show timezone"), "DataRow [\"Asia/Tokyo\"]");
    drop(client);
    house.all_is_well();
}

#[test]
fn f49_cancels_work_while_the_pool_is_full() {
    let house = House::new("[pool]\nsize = 2");
    let mut director = house.director();
    ask(&mut house.client(), "create table f49 (a int)");
    let mut admin = Client::connect(
        &pgweir_testkit::client::Place { user: "postgres".into(), ..house.place_at(house.cluster.address()) },
        &[],
    )
    .expect("a login");
    ask(&mut admin, "begin");
    ask(&mut admin, "lock table f49");
    let mut stuck: Vec<Client> = (0..2).map(|_| house.client()).collect();
    for client in &mut stuck {
        begin(client, "select * from f49");
    }
    eventually("both wait for the lock", || {
        row(&mut director, "select count(*) = 2 from pg_stat_activity where wait_event_type = 'Lock'")
            == "DataRow [\"t\"]"
    });
    for client in &mut stuck {
        pgweir_testkit::client::cancel(house.pooler.address(), &client.cancel_request()).expect("a cancel");
        assert_eq!(sqlstate(&client.settle().expect("an answer")).as_deref(), Some("57014"));
    }
    drop(stuck);
    house.all_is_well();
}

#[test]
fn f38_a_hung_backend_is_given_up_and_the_client_stays() {
    let house = House::new("[pool]\nsize = 1\n[timeouts]\nquery = \"300ms\"");
    let mut director = house.director();
    let mut client = house.client();
    let pid = row(&mut client, "select pg_backend_pid()").replace("DataRow [\"", "").replace("\"]", "");
    let signal = |name: &str| {
        let status = std::process::Command::new("kill").args([name, &pid]).status().expect("kill");
        assert!(status.success());
    };
    signal("-STOP");
    let answer = query(&mut client, "select 1").expect("an answer");
    signal("-CONT");
    assert_eq!(sqlstate(&answer).as_deref(), Some("57014"));
    assert_eq!(row(&mut client, "select 'stays'"), "DataRow [\"stays\"]");
    row(&mut director, "select 1");
    drop(client);
    house.all_is_well();
}

#[test]
fn f39_a_server_that_never_answers_is_unreachable() {
    let house = House::new("");
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://app:secret@{}/app", mute.local_addr().expect("an address"));
    let settings = "[pool]\nconnect_timeout = \"300ms\"\nqueue_timeout = \"1s\"";
    let pooler = start_at(&house.cluster, &url, settings);
    let place =
        pgweir_testkit::client::Place { password: "secret".into(), ..house.place_at(pooler.address()) };
    let refused = Client::connect(&place, &[]).expect_err("no server").to_string();
    assert!(refused.contains("57P03"), "{refused}");
}

#[test]
fn f44_all_servers_at_once_may_be_told_to_go() {
    let house = House::new("[pool]\nsize = 10");
    let mut director = house.director();
    let mut clients: Vec<Client> = (0..10).map(|_| house.client()).collect();
    for client in &mut clients {
        ask(client, "begin");
    }
    for client in &mut clients {
        ask(client, "commit");
    }
    row(&mut director, TERMINATE);
    eventually("they are gone", || {
        row(&mut director, "select count(*) from pg_stat_activity where usename = 'app'") == "DataRow [\"0\"]"
    });
    for client in &mut clients {
        assert_eq!(row(client, "select 'served'"), "DataRow [\"served\"]");
    }
    drop(clients);
    house.all_is_well();
}

#[test]
fn f48_a_crash_of_one_backend_restarts_them_all() {
    let house = House::new("[pool]\nsize = 2\nqueue_timeout = \"20s\"");
    let mut client = house.client();
    let mut victim = house.client();
    ask(&mut client, "begin");
    let pid = row(&mut victim, "select pg_backend_pid()").replace("DataRow [\"", "").replace("\"]", "");
    let status = std::process::Command::new("kill").args(["-KILL", &pid]).status().expect("kill");
    assert!(status.success());
    let lost = query(&mut client, "select pg_sleep(10)").expect("an answer");
    assert!(sqlstate(&lost).is_some(), "its transaction is gone");
    assert_eq!(row(&mut client, "select 'back'"), "DataRow [\"back\"]");
    assert_eq!(row(&mut victim, "select 'back'"), "DataRow [\"back\"]");
    drop((client, victim));
    house.all_is_well();
}
