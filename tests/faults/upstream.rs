//! PostgreSQL stops, refuses, isn't there, comes back as another one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER, Stop, free_port};
use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::*;

use super::kit::cluster::{make, make_database, place};
use super::kit::fake::{self, Fake};
use super::kit::{Client, House, Weather, brief, errors, eventually};

#[test]
fn f36_server_is_stopped_and_started() {
    let mut house = House::of(Recipe::default(), 4, "");
    let mut clients: Vec<_> = (0..50).map(|_| house.client()).collect();
    assert_eq!(clients[0].ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.own_postgres().stop(Stop::Fast).expect("it stops");
    for (number, client) in clients.iter_mut().enumerate() {
        client.tell(&query(&format!("select {number}")));
    }
    house.metric_becomes("pgweir_pool_clients_waiting", 50);
    eventually("attempts fail", || house.metric("pgweir_pool_server_connect_failures_total") >= 2);
    house.own_postgres().start().expect("it starts");
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(brief(&client.until_ready()), format!("T D[{number}] C[SELECT 1] Z[I]"));
    }
    house.all_is_well();
}

#[test]
fn f36_one_attempt_at_a_time_while_the_server_is_down() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let house = House::before_fake(address, 20, "pool.connect_timeout = '200ms'");
    let mut clients: Vec<_> = (0..20).map(|_| house.applicant()).collect();
    let mut accepted = Vec::new();
    listener.set_nonblocking(true).expect("a socket");
    eventually("some attempts", || {
        accepted.extend(listener.accept());
        house.metric("pgweir_pool_server_connect_failures_total") >= 6
    });
    // The first attempts may be parallel; then each waits for its pause.
    assert!(accepted.len() <= 12, "{}", accepted.len());
    assert!(house.servers("connecting") <= 1);
    clients.iter_mut().for_each(|client| assert!(client.heard_nothing(), "waiters wait"));
}

#[test]
fn f39_server_accepts_and_says_nothing() {
    let silent = Fake::new(|line, _| line.until_closed());
    let settings = "pool.connect_timeout = '200ms'\npool.queue_timeout = '1s'";
    let house = House::before_fake(silent.address, 5, settings);
    assert!(house.refusal(&[]).starts_with("Error FATAL | 57P03"));
    assert!(silent.accepted() <= 6, "{} attempts", silent.accepted());
}

#[test]
fn f40_server_is_starting_up() {
    static UP: AtomicBool = AtomicBool::new(false);
    let starting = Fake::new(|line, _| {
        if line.startup().is_none() {
            return;
        }
        if !UP.load(Ordering::Relaxed) {
            return line.send(&fake::error("FATAL", "57P03", "the database system is starting up"));
        }
        line.send(&fake::welcome());
        while let Some((tag, _)) = line.message() {
            if tag == b'Q' {
                line.send(&fake::one("up"));
            }
        }
    });
    let house = House::before_fake(starting.address, 5, "");
    let mut client = house.applicant();
    eventually("it tries again", || starting.accepted() >= 3);
    UP.store(true, Ordering::Relaxed);
    client.log_in(&house.place()).expect("a login");
    assert_eq!(client.ask("select 1"), "T D[up] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f41_server_has_too_many_clients() {
    // Two for everybody, of which one is taken; three for superusers.
    let house = House::of(Recipe { max_connections: Some(5), ..Recipe::default() }, 4, "");
    let _taken = house.direct();
    let mut clients: Vec<_> = (0..4).map(|_| house.client()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.tell(&query("select pg_sleep(0.1), 1"));
        }
        for client in &mut clients {
            assert_eq!(brief(&client.until_ready()), "T D[,1] C[SELECT 1] Z[I]", "round {round}");
        }
    }
    house.all_is_well();
}

#[test]
fn f42_role_is_locked_and_comes_back() {
    let settings = "pool.queue_timeout = '2s'\nusers.f42.password = 'secret'";
    let house = House::with(2, settings);
    let mut director = house.director();
    director.ask("create role f42 login password 'secret'");
    let place = Place { user: "f42".into(), password: "secret".into(), ..house.place() };
    let mut client = Client::connect(&place, &[]).expect("a login");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    director.ask("alter role f42 nologin");
    director.ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'f42'");
    eventually("its backend is gone", || {
        director.value("select count(*) from pg_stat_activity where usename = 'f42'") == "0"
    });
    let heard = client.outcome("select 1");
    assert_eq!(errors(&heard).len(), 1, "{heard:?}");
    // Other pools don't notice.
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    director.ask("alter role f42 login");
    eventually("it is let in again", || brief(&client.outcome("select 1")) == "T D[1] C[SELECT 1] Z[I]");
    drop(client);
    director.ask("alter role f42 nologin");
    house.all_is_well();
}

#[test]
fn f42_what_postgresql_refuses_is_told() {
    let house = House::with(1, "users.ghost.password = 'boo'");
    let ghost = Place { user: "ghost".into(), password: "boo".into(), ..house.place() };
    let nowhere = Place { database: "nowhere".into(), ..house.place() };
    for (place, code) in [(ghost, "28"), (nowhere, "3D000")] {
        let error = Client::connect(&place, &[]).expect_err("no such thing").to_string();
        assert!(error.starts_with(&format!("Error FATAL | {code}")), "{error}");
    }
    house.all_is_well();
}

#[test]
fn f43_connections_are_refused() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
    let house = House::before_fake(address, 2, "pool.queue_timeout = '1s'");
    assert!(house.refusal(&[]).starts_with("Error FATAL | 57P03"));
    // 50 ms, then twice as long each time: no storm.
    let attempts = house.metric("pgweir_pool_server_connect_failures_total");
    assert!((2..=12).contains(&attempts), "{attempts}");
}

#[test]
fn f43_connections_are_reset() {
    let (network, house) = House::behind_network(2, "auth.method = 'trust'");
    network.is(Weather::CutAfter(0), Weather::CutAfter(0));
    let mut client = house.applicant();
    eventually("it tries again", || house.metric("pgweir_pool_server_connect_failures_total") >= 3);
    network.is(Weather::Pass, Weather::Pass);
    client.log_in(&house.place()).expect("a login");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

/// Another cluster with the same password and a database of the same name.
fn twin(house: &House, settings: Vec<String>) -> Cluster {
    let twin = make(Recipe { settings, ..Recipe::default() });
    make_database(&twin, &house.database);
    let mut superuser =
        Client::connect(&place(&twin, SUPERUSER, SUPERUSER), &[]).expect("a login to the other cluster");
    let password = house.postgres().password();
    assert_eq!(superuser.ask(&format!("alter role {ROLE} password '{password}'")), "C[ALTER ROLE] Z[I]");
    twin
}

#[test]
fn f46_server_is_another_one_behind_the_same_address() {
    let (network, house) = House::behind_network(1, "");
    let mut client = house.client();
    assert_eq!(client.say(&[parse("s", "select 'old'", &[]), sync()].concat()), "1 Z[I]");
    let settings = vec!["work_mem = '5MB'".to_owned()];
    let other = twin(&house, settings);
    network.leads_to(other.address());
    house.terminate();
    assert_eq!(client.value("show work_mem"), "5MB");
    assert_eq!(
        client.say(&[bind("", "s", &[]), execute("", 0), sync()].concat()),
        "2 D[old] C[SELECT 1] Z[I]"
    );
    house.all_is_well();
}

#[test]
fn f46_servers_of_the_old_one_end_with_their_lifetime() {
    let (network, house) = House::behind_network(1, "pool.server_lifetime = '1s'");
    let mut client = house.client();
    client.ask("select 1");
    let other = twin(&house, vec!["work_mem = '5MB'".to_owned()]);
    // The old one lives on, so nothing tells pgweir.
    network.leads_to(other.address());
    eventually("the other one is found", || client.value("show work_mem") == "5MB");
    house.all_is_well();
}

#[test]
fn f47_server_has_other_parameters_after_a_swap() {
    let (network, house) = House::behind_network(1, "");
    let mut client = house.client();
    client.ask("select 1");
    let other = twin(&house, vec!["timezone = 'Asia/Tokyo'".to_owned()]);
    network.leads_to(other.address());
    house.terminate();
    client.tell(&query("select 1"));
    let told = client.until_ready();
    let zone = told.iter().any(|message| message.tag == b'S' && message.body == b"TimeZone\0Asia/Tokyo\0");
    assert!(zone, "{told:?}");
    let (_new, welcome) = Client::greeted(&house.place(), &[]).expect("a login");
    assert!(welcome.iter().any(|message| message.body == b"TimeZone\0Asia/Tokyo\0"), "new clients too");
    house.all_is_well();
}
