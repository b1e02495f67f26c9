//! Many failed logins: what they cost those who are logged in, and those who log in.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pgweir::demo::cluster::ROLE;
use socket2::{Domain, Socket, Type};

use super::kit::{Client, House, Message, eventually};
use super::people::*;

const FAILED: &str = "pgweir_logins_total{outcome=\"failed\"}";
const HELD_BACK: &str = "pgweir_failed_logins_held_back_total";

/// A client that comes from another address of this machine.
fn client_from(house: &House, source: Ipv4Addr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(&house.address().into()).expect("pgweir listens");
    Client::over(TcpStream::from(socket)).expect("a client")
}

/// One of a thousand addresses of this machine.
fn source(number: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(256 + number % 1_000).expect("a number").to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

/// `tries` failed logins by `threads`, from many sources so that none is held back; `meanwhile` runs at the same time.
fn storm<T>(house: &House, threads: usize, tries: usize, meanwhile: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in 0..tries / threads {
                    let client = client_from(house, source(thread + number * threads));
                    let told = wrong_login_over(client, house, ROLE);
                    assert_eq!(told.last().map(String::as_str), Some(FAILURE));
                }
            });
        }
        meanwhile()
    })
}

const FAILURE: &str = "Error FATAL | 28P01 | password authentication failed for user \"USER\"";

#[test]
fn f113_a_storm_of_failed_logins_leaves_clients_their_servers() {
    let house = House::new(2);
    let (mut client, before) = (house.client(), house.metric(FAILED));
    storm(&house, 4, 2_000, || {
        for number in 0..300 {
            assert_eq!(client.value(&format!("select {number}")), number.to_string());
            if number % 50 == 0 {
                assert_eq!(house.client().value("select 'in'"), "in");
            }
        }
    });
    house.metric_becomes(FAILED, before + 2_000);
    house.metric_becomes("pgweir_logins_in_flight", 0);
    assert_eq!(house.metric(HELD_BACK), 0, "no source failed too often");
    house.all_is_well();
}

#[test]
fn f113_answers_to_too_many_failures_are_held_back_and_nothing_else() {
    let house = House::with(1, "limits.failed_logins_per_source = 1");
    let here = Ipv4Addr::LOCALHOST;
    let told: Vec<_> = (0..11).map(|_| wrong_login_over(client_from(&house, here), &house, ROLE)).collect();
    assert_eq!(told[0], told[10], "late, and otherwise the same");
    house.metric_becomes(HELD_BACK, 1);
    // Who knows the password gets in, from the same address; others' failures are answered as ever.
    assert_eq!(house.client().value("select 'in'"), "in");
    assert_eq!(wrong_login_over(client_from(&house, source(0)), &house, ROLE), told[0]);
    assert_eq!(house.metric(HELD_BACK), 1);
    // A guesser who doesn't wait for the answer keeps a place all the same.
    for user in ["nobody_of_this_name", ROLE] {
        abandoned_login(client_from(&house, here), &house, user);
    }
    house.metric_becomes(HELD_BACK, 3);
    house.metric_becomes("pgweir_logins_in_flight", 0);
}

#[test]
fn f113_one_address_leaves_room_for_others() {
    let house = House::with(1, "limits.max_logins = 4\ntimeouts.login = '1h'");
    let mut first = Client::silent(house.address());
    house.metric_becomes("pgweir_logins_in_flight", 1);
    let waiting: Vec<_> = (0..2).map(|_| Client::silent(house.address())).collect();
    house.metric_becomes("pgweir_logins_in_flight", 3);
    let place = house.place();
    let mut other = client_from(&house, source(0));
    other.tell(&pgweir_testkit::frontend::startup(&[("user", ROLE), ("database", &house.database)]));
    other.log_in(&place).expect("there is room");
    // From the same address, one that has waited long enough makes room; before, there is none.
    let full = "Error FATAL | 53300 | pgweir: 3 clients are logging in from this address already";
    eventually("one makes room", || match Client::connect(&place, &[]) {
        Ok(_) => true,
        Err(told) => {
            assert!(told.to_string().starts_with(full), "{told}");
            false
        }
    });
    let told: Vec<_> = first.until_closed().iter().map(Message::line).collect();
    let expected =
        "Error FATAL | 53300 | pgweir: 3 clients are logging in, and this one has taken the longest";
    assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    drop(waiting);
    house.metric_becomes("pgweir_logins_in_flight", 0);
    house.all_is_well();
}

#[test]
fn f2_a_client_that_is_not_logged_in_has_sixteen_kibibytes() {
    const CROWD: usize = 500;
    let house = House::with(1, "timeouts.login = '1h'");
    let long = "x".repeat(9_900);
    let message = pgweir_testkit::frontend::startup(&[("user", ROLE), ("database", &long)]);
    let crowd = || -> Vec<_> {
        let mut clients: Vec<_> = (0..CROWD).map(|_| Client::silent(house.address())).collect();
        clients.iter_mut().for_each(|client| client.tell(&message[..message.len() - 1]));
        house.metric_becomes("pgweir_logins_in_flight", CROWD as u64);
        clients
    };
    house.client().terminate();
    let before = house.resident();
    let clients = crowd();
    // Whoever comes later is read later.
    house.client().terminate();
    let grown = house.resident().saturating_sub(before);
    // The allocator's own, for its threads, whatever the number of clients.
    let fixed = 2 << 20;
    assert!(grown <= fixed + CROWD as u64 * (16 << 10), "{grown} bytes for {CROWD}");
    drop(clients);
    house.metric_becomes("pgweir_logins_in_flight", 0);
}

/// ```sh
/// cargo test --release --test auth f113_latency -- --ignored --nocapture
/// ```
#[test]
#[ignore = "figures for docs/security.md, not a test: it asserts nothing"]
fn f113_latency_of_a_client_in_a_storm() {
    let house = House::new(2);
    let latencies = || {
        let mut client = house.client();
        let mut took: Vec<_> = (0..5_000)
            .map(|_| {
                let begun = Instant::now();
                client.value("select 1");
                begun.elapsed()
            })
            .collect();
        took.sort();
        took
    };
    let tell = |when: &str, took: &[Duration]| {
        let at = |percent: usize| took[took.len() * percent / 100];
        println!("{when:12} median {:?}  p90 {:?}  p99 {:?}", at(50), at(90), at(99));
    };
    tell("calm", &latencies());
    for threads in [1, 4] {
        let (begun, before) = (Instant::now(), house.metric(FAILED));
        let took = storm(&house, threads, 10_000, || {
            let took = latencies();
            let per_second = (house.metric(FAILED) - before) as f64 / begun.elapsed().as_secs_f64();
            println!("{threads} attackers: {per_second:.0} failed logins a second");
            took
        });
        tell("storm", &took);
    }
}
