//! LISTEN: clients that rest share one connection, and none of them is left in the dark.

use std::io::ErrorKind;

use pgweir::demo::cluster::{Recipe, Stop};
use pgweir_testkit::client::Client;
use pgweir_testkit::frontend;
use pgweir_testkit::message::Message;
use pgweir_testkit::play::query;

use super::kit::{House, errors, eventually};

const LISTENER: &str = "from pg_stat_activity where datname = current_database() \
     and (query like 'LISTEN%' or query like 'SET idle_session_timeout%')";

/// A notification's sender.
fn sender(message: &Message) -> i32 {
    assert_eq!(message.tag, b'A', "{}", message.line());
    i32::from_be_bytes(message.body[..4].try_into().expect("a process id"))
}

/// A notification's payload.
fn payload(message: &Message) -> String {
    assert_eq!(message.tag, b'A', "{}", message.line());
    let text = String::from_utf8_lossy(&message.body[4..]).into_owned();
    text.split('\0').nth(1).expect("a payload").to_owned()
}

fn servers(director: &mut Client) -> String {
    director
        .value("select count(*) from pg_stat_activity where usename = 'app' and datname = current_database()")
}

/// Until the channels of so many clients are on the shared listener: no server is lent but that one.
fn rest(house: &House, clients: u64) {
    eventually("they rest", || {
        house.metric("pgweir_listening_clients") == clients
            && house.servers("pinned") == 1
            && house.servers("active") == 0
    });
}

#[test]
fn a_hundred_listeners_at_rest_cost_one_server() {
    let house = House::new(2);
    let mut listeners: Vec<_> = (0..100).map(|_| house.client()).collect();
    listeners.iter_mut().for_each(|client| drop(client.ask("listen c")));
    rest(&house, 100);
    let mut director = house.director();
    let before = servers(&mut director);
    assert!(["2", "3"].contains(&&*before), "{before}");
    director.ask("notify c, 'to all'");
    for client in &mut listeners {
        assert_eq!(payload(&client.receive().expect("a notification")), "to all");
    }
    assert_eq!(servers(&mut director), before);
    assert_eq!(house.metric("pgweir_notifications_total"), 100);
    drop(listeners);
    house.all_is_well();
}

#[test]
fn the_sender_of_own_notifications_is_whom_the_client_was_told_to_be() {
    let house = House::new(1);
    let (mut own, mut other) = (house.client(), house.client());
    for client in [&mut own, &mut other] {
        client.ask("listen c");
    }
    rest(&house, 2);
    let heard = query(&mut own, "notify c").expect("an answer");
    assert_eq!(heard.iter().map(|message| message.tag).collect::<Vec<_>>(), *b"CAZ");
    assert_eq!(sender(&heard[1]), own.pid());
    let heard = other.receive().expect("a notification");
    assert!(sender(&heard) != other.pid() && sender(&heard) != own.pid());
    drop((own, other));
    house.all_is_well();
}

#[test]
fn each_notification_comes_once_and_in_order_whatever_the_listeners_do() {
    const NOTIFICATIONS: usize = 3000;
    // Somebody waits for a server most of the time, so channels move with each request.
    let house = House::with(3, "pool.pinned_servers = 2");
    let direct = house.direct();
    let mut listeners: Vec<_> = (0..12).map(|_| house.client()).collect();
    listeners.push(direct);
    listeners.iter_mut().for_each(|client| drop(client.ask("listen c0; listen c1")));
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let mut client = house.client();
            std::thread::spawn(move || {
                for number in 0..NOTIFICATIONS / 3 {
                    let payload = format!("{sender}-{number}");
                    client.ask(&format!("notify c{}, '{payload}'", number % 2));
                }
            })
        })
        .collect();
    let heard: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .map(|(number, mut client)| {
            std::thread::spawn(move || {
                let (mut heard, mut rounds) = (Vec::new(), 0);
                while heard.len() < NOTIFICATIONS {
                    // Some rest, some work all the time, some now and then.
                    if number % 3 > 0 && heard.len() >= rounds * (1 << (3 * (number % 3))) {
                        rounds += 1;
                        let works = [
                            "select 1",
                            "begin; select 1; commit",
                            "listen c0; select pg_listening_channels()",
                        ];
                        let answer = query(&mut client, works[rounds % 3]);
                        heard
                            .extend(answer.expect("an answer").iter().filter(|m| m.tag == b'A').map(payload));
                    } else {
                        heard.push(payload(&client.receive().expect("a notification")));
                    }
                }
                let answer = client.ask("select 'nothing more'");
                assert_eq!(answer, "T D[nothing more] C[SELECT 1] Z[I]", "{number}");
                heard
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    let heard: Vec<_> = heard.into_iter().map(|heard| heard.join().expect("a listener")).collect();
    let direct = heard.last().expect("the direct one");
    for (number, listener) in heard.iter().enumerate() {
        let differs = listener.iter().zip(direct).position(|(one, other)| one != other);
        assert_eq!(differs, None, "listener {number}");
    }
    house.all_is_well();
}

#[test]
fn one_that_comes_and_goes_hears_everything_once() {
    let house = House::new(1);
    let (mut client, mut director) = (house.client(), house.director());
    client.ask("listen c; notify c, 'own'");
    for round in 0..10 {
        rest(&house, 1);
        director.ask(&format!("notify c, 'at rest {round}'"));
        director.ask("notify c, 'and more'");
        let answer = query(&mut client, &format!("notify c, 'own {round}'")).expect("an answer");
        let heard: Vec<_> = answer.iter().filter(|message| message.tag == b'A').map(payload).collect();
        assert_eq!(heard, [format!("at rest {round}"), "and more".into(), format!("own {round}")]);
        director.ask(&format!("notify c, 'at work {round}'"));
        assert_eq!(payload(&client.receive().expect("a notification")), format!("at work {round}"));
    }
    drop(client);
    house.all_is_well();
}

#[test]
fn a_lost_listener_closes_those_at_rest_and_nobody_else() {
    let house = House::new(3);
    let mut director = house.director();
    let (mut resting, mut working, mut other) = (house.client(), house.client(), house.client());
    for client in [&mut resting, &mut working] {
        client.ask("listen c");
    }
    rest(&house, 2);
    working.ask("begin");
    other.ask("select 1");
    let killed = director.value(&format!("select count(pg_terminate_backend(pid)) {LISTENER}"));
    assert_eq!(killed, "1");
    let farewell = resting.receive().expect("a farewell");
    assert_eq!(errors(std::slice::from_ref(&farewell)), ["57P01"]);
    assert!(farewell.line().contains("notifications may be missing"), "{}", farewell.line());
    assert_eq!(resting.receive().expect_err("the end").kind(), ErrorKind::UnexpectedEof);
    director.ask("notify c, 'heard by the server'");
    assert_eq!(working.ask("commit"), "C[COMMIT] A Z[I]");
    rest(&house, 1);
    director.ask("notify c, 'heard by another listener'");
    assert_eq!(payload(&working.receive().expect("a notification")), "heard by another listener");
    assert_eq!(other.value("select 'stays'"), "stays");
    assert_eq!(house.metric("pgweir_listeners_lost_total"), 1);
    drop((working, other));
    house.all_is_well();
}

#[test]
fn a_restart_closes_listeners_and_new_ones_hear_again() {
    let mut house = House::of(Recipe::default(), 2, "");
    for how in [Stop::Fast, Stop::Immediate] {
        let (mut listener, mut other) = (house.client(), house.client());
        listener.ask("listen c");
        rest(&house, 1);
        house.own_postgres().stop(how).expect("a stop");
        house.own_postgres().start().expect("a start");
        let farewell = listener.receive().expect("a farewell");
        assert_eq!(errors(&[farewell]), ["57P01"]);
        let mut listener = house.client();
        listener.ask("listen c");
        other.ask("notify c, 'again'");
        assert_eq!(payload(&listener.receive().expect("a notification")), "again");
    }
    house.all_is_well();
}

#[test]
fn a_listener_that_reads_nothing_is_closed_at_its_limit() {
    let house = House::with(2, "limits.client_notifications = '64KiB'");
    let (mut slow, mut quick, mut sender) = (house.client(), house.client(), house.client());
    for client in [&mut slow, &mut quick] {
        client.ask("listen c");
    }
    rest(&house, 2);
    let long = "x".repeat(7900);
    let told = |house: &House| house.http("/metrics").contains("pgweir_errors_total{sqlstate=\"08006\"} 1\n");
    eventually("the slow one is closed", || {
        // More than the sockets on the way hold, in the end.
        for _ in 0..100 {
            sender.ask(&format!("notify c, '{long}'"));
            assert_eq!(payload(&quick.receive().expect("a notification")), long);
        }
        told(&house)
    });
    let last = loop {
        match slow.receive() {
            Ok(message) if message.tag == b'A' => {}
            other => break other,
        }
    };
    // What the socket still held may have been lost with the connection.
    if let Ok(farewell) = last {
        assert_eq!(errors(&[farewell]), ["08006"]);
    }
    drop((slow, quick, sender));
    house.all_is_well();
}

#[test]
fn a_listener_that_goes_in_any_way_leaves_nothing() {
    let house = House::new(1);
    let mut director = house.director();
    for round in 0..10 {
        let mut client = house.client();
        client.ask("listen c");
        if round % 2 == 0 {
            client.ask("begin");
        }
        drop(client);
    }
    house.all_is_well();
    director.ask("notify c");
    assert_eq!(house.client().ask("select pg_listening_channels()"), "T C[SELECT 0] Z[I]");
}

#[test]
fn a_pool_that_has_no_place_for_a_listener_pins_as_before() {
    let house = House::with(1, "pool.pinned_servers = 0");
    let mut client = house.client();
    client.ask("listen c");
    house.director().ask("notify c, 'p'");
    assert_eq!(payload(&client.receive().expect("a notification")), "p");
    assert_eq!(client.value("select 'served'"), "served");
    drop(client);
    house.all_is_well();
}

/// A client of the profile that the shared listener has, so that they may have the same servers.
fn akin(house: &House) -> Client {
    Client::connect(&house.place(), &[("client_encoding".into(), "UTF8".into())]).expect("a login")
}

/// Has a client listen, gives the process of the shared listener, and waits until its server is in the pool again.
fn listen_and_go(house: &House) -> String {
    let mut client = akin(house);
    client.ask("listen c");
    rest(house, 1);
    let pid = house.director().value(&format!("select pid {LISTENER}"));
    drop(client);
    eventually("the listener's server is back", || house.servers("pinned") == 0);
    pid
}

#[test]
fn the_server_of_a_listener_goes_back_without_statements() {
    let house = House::new(2);
    let mut clients = [akin(&house), akin(&house)];
    let prepare = [frontend::parse("s", "select 42", &[]), frontend::sync()].concat();
    for client in &mut clients {
        client.ask("begin");
        assert_eq!(client.say(&prepare), "1 Z[T]");
    }
    clients.iter_mut().for_each(|client| drop(client.ask("commit")));
    listen_and_go(&house);
    let run = [frontend::bind("", "s", &[]), frontend::execute("", 0), frontend::sync()].concat();
    for client in &mut clients {
        client.ask("begin");
        assert_eq!(client.say(&run), "2 D[42] C[SELECT 1] Z[T]");
    }
    clients.iter_mut().for_each(|client| drop(client.ask("commit")));
    drop(clients);
    house.all_is_well();
}

#[test]
fn the_server_of_a_listener_is_of_use_for_clients_that_came_after_a_change_of_defaults() {
    let house = House::new(6);
    listen_and_go(&house);
    let database = house.client().value("select current_database()");
    let change = format!("alter role current_user in database {database} set work_mem = '5MB'");
    assert_eq!(house.client().ask(&change), "C[ALTER ROLE] Z[I]");
    // The first server that opens compares the defaults, and finds them changed once more.
    akin(&house).ask("select 1");
    let pid = listen_and_go(&house);
    let mut clients = [akin(&house), akin(&house)];
    let pids = clients.each_mut().map(|client| {
        client.ask("begin");
        client.value("select pg_backend_pid()")
    });
    assert!(pids.contains(&pid), "{pid} isn't among {pids:?}");
    drop(clients);
    house.all_is_well();
}

#[test]
fn what_a_listener_was_told_of_its_server_the_next_client_hears() {
    let house = House::of(Recipe::default(), 2, "");
    let mut clients = [akin(&house), akin(&house)];
    let mut first = akin(&house);
    first.ask("listen c");
    rest(&house, 1);
    reload(&house, "intervalstyle", "iso_8601");
    // The listener's server says so when it is asked next.
    let mut second = akin(&house);
    second.ask("listen d");
    rest(&house, 2);
    drop((first, second));
    eventually("nobody listens", || house.servers("pinned") == 0);
    for client in &mut clients {
        let heard = query(client, "begin").expect("an answer");
        assert!(heard.iter().any(|message| message.tag == b'S'), "{heard:?}");
    }
    drop(clients);
    house.all_is_well();
}

/// Changes the server's configuration; it is in force when this returns.
fn reload(house: &House, name: &str, value: &str) {
    let mut director = house.director();
    director.ask(&format!("alter system set {name} = '{value}'"));
    director.ask("select pg_reload_conf()");
    eventually("the configuration was read", || director.value(&format!("show {name}")) == value);
}

#[test]
fn a_listener_hears_in_its_own_encoding_whatever_its_server_was_used_for_before() {
    let house = House::new(2);
    let mut clients = [akin(&house), akin(&house)];
    clients.iter_mut().for_each(|client| drop(client.ask("set client_encoding = 'LATIN1'; begin")));
    clients.iter_mut().for_each(|client| drop(client.ask("commit")));
    let mut listener = akin(&house);
    listener.ask("listen c");
    rest(&house, 1);
    house.director().ask("notify c, 'é'");
    assert_eq!(payload(&listener.receive().expect("a notification")), "é");
    drop((clients, listener));
    house.all_is_well();
}
