//! The network between: cuts at any byte, latency, tiny segments, connections that never come about.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::*;
use socket2::{Domain, Socket, Type};

use super::kit::cluster::{Postgres, new_database, shared};
use super::kit::{Client, House, Message, Network, Weather, brief, errors, eventually};

/// pgweir with the test's network on both sides of it: towards clients, and towards PostgreSQL.
fn between_networks(size: u32) -> (Network, House, Network) {
    let (upstream, house) = House::behind_network(size, "auth.method = 'trust'");
    (Network::to(house.address()), house, upstream)
}

/// A client whose way to pgweir is `network`.
fn client_over(network: &Network, house: &House) -> Client {
    Client::connect(&Place { address: network.address, ..house.place() }, &[]).expect("a login")
}

/// BEGIN, INSERT, COMMIT; what was heard, one line a statement, up to the first error or the end.
fn transaction(client: &mut Client, value: usize) -> Vec<Vec<Message>> {
    let mut heard = Vec::new();
    for sql in ["begin", &format!("insert into t values ({value})"), "commit"] {
        if client.send(&query(sql)).is_err() {
            break;
        }
        let mut answer = Vec::new();
        while let Ok(message) = client.receive() {
            let ready = message.tag == b'Z';
            answer.push(message);
            if ready {
                break;
            }
        }
        let over = answer.iter().any(|message| message.tag == b'E')
            || answer.last().is_none_or(|last| last.tag != b'Z');
        heard.push(answer);
        if over {
            break;
        }
    }
    heard
}

/// Whether `heard` says that the transaction was committed.
fn committed(heard: &[Vec<Message>]) -> bool {
    heard.last().is_some_and(|last| last.iter().any(|message| message.brief() == "C[COMMIT]"))
}

fn error(heard: &[Vec<Message>]) -> Option<String> {
    errors(heard.last()?).pop()
}

#[test]
fn f53_server_is_cut_at_each_byte_of_its_answers() {
    let (_down, house, upstream) = between_networks(1);
    house.client().ask("create table t (v int)");
    let mut offset = 0;
    loop {
        let mut client = house.client();
        client.ask("select 'a server is there'");
        eventually("it rests", || house.servers("idle") == 1);
        upstream.is(Weather::Pass, Weather::CutAfter(offset));
        let heard = transaction(&mut client, offset);
        upstream.is(Weather::Pass, Weather::Pass);
        house.backends_become(0, "state <> 'idle'");
        let rows = house.direct().value(&format!("select count(*) from t where v = {offset}"));
        match error(&heard).as_deref() {
            None => assert!(committed(&heard) && rows == "1", "{offset}: {heard:?}, {rows} rows"),
            Some("08006") => assert_eq!(rows, "0", "{offset}: {heard:?}"),
            Some("08007") => assert!(rows == "0" || rows == "1", "{offset}: {heard:?}, {rows} rows"),
            Some(_) => panic!("{offset}: {heard:?}"),
        }
        if error(&heard).is_none() {
            break;
        }
        assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]", "{offset}");
        offset += 1;
    }
    assert!(offset > 40, "the answers are longer than {offset} bytes");
    house.all_is_well();
}

#[test]
fn f53_client_is_cut_at_each_byte_of_its_requests() {
    let (down, house, _upstream) = between_networks(1);
    house.client().ask("create table t (v int)");
    for offset in 0.. {
        let mut client = client_over(&down, &house);
        down.is(Weather::CutAfter(offset), Weather::Pass);
        let heard = transaction(&mut client, offset);
        down.is(Weather::Pass, Weather::Pass);
        if committed(&heard) {
            break;
        }
        // What it left behind is gone before the next one is served.
        assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
        let rows: usize =
            house.direct().value(&format!("select count(*) from t where v = {offset}")).parse().unwrap();
        assert!(rows <= 1 && (rows == 0 || heard.len() == 3), "{offset}: {heard:?}, {rows} rows");
        house.backends_become(0, "state <> 'idle'");
        drop(client);
    }
    house.all_is_well();
}

#[test]
fn f54_latency() {
    let (down, house, upstream) = between_networks(1);
    let delay = Weather::Delay(Duration::from_millis(50));
    down.is(delay, delay);
    upstream.is(delay, delay);
    let mut client = client_over(&down, &house);
    assert_eq!(client.ask("begin"), "C[BEGIN] Z[T]");
    assert_eq!(client.ask("create table t (v int)"), "C[CREATE TABLE] Z[T]");
    assert_eq!(client.ask("commit"), "C[COMMIT] Z[I]");
    assert_eq!(client.say(&unnamed("select 1")), "1 2 D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f55_small_segments() {
    let (down, house, upstream) = between_networks(1);
    for size in 1..=7 {
        let slices = Weather::Slice(size);
        down.is(slices, slices);
        upstream.is(slices, slices);
        let mut client = client_over(&down, &house);
        let long = "x".repeat(2000);
        assert_eq!(client.ask(&format!("select '{long}'")), format!("T D[{long}] C[SELECT 1] Z[I]"));
        let batch =
            [parse("", "select $1::text", &[]), bind("", "", &[&long]), execute("", 0), sync()].concat();
        assert_eq!(client.say(&batch), format!("1 2 D[{long}] C[SELECT 1] Z[I]"));
    }
    house.all_is_well();
}

#[test]
fn f56_the_end_of_an_answer_to_commit_is_lost() {
    let (_down, house, upstream) = between_networks(1);
    let mut client = house.client();
    client.ask("create table t (v int)");
    client.ask("begin");
    client.ask("insert into t values (1)");
    // CommandComplete arrives, ReadyForQuery doesn't.
    upstream.is(Weather::Pass, Weather::CutAfter(1 + 4 + "COMMIT\0".len()));
    client.tell(&query("commit"));
    let heard = client.until_ready();
    upstream.is(Weather::Pass, Weather::Pass);
    assert!(brief(&heard).ends_with("E[ERROR 08007] Z[I]"), "{heard:?}");
    assert_eq!(house.direct().value("select count(*) from t"), "1");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

/// A listener whose backlog is full, so that the kernel answers no SYN any more.
fn deaf(address: SocketAddr) -> (Socket, SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&address.into()).expect("a free address");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
    let mut filling = Vec::new();
    while TcpStream::connect_timeout(&address, Duration::from_millis(100))
        .map(|stream| filling.push(stream.into()))
        .is_ok()
    {}
    (listener, address, filling)
}

#[test]
fn f57_connects_hang() {
    let (_listener, address, _filling) = deaf((Ipv4Addr::LOCALHOST, 0).into());
    let settings = "pool.connect_timeout = '200ms'\npool.queue_timeout = '1s'";
    let house = House::before_fake(address, 1, settings);
    assert!(house.refusal(&[]).starts_with("Error FATAL | 57P03"));
}

#[test]
fn f57_another_host_is_tried() {
    let postgres = shared();
    let database = new_database(postgres);
    let (_listener, deaf, _filling) = deaf((Ipv4Addr::new(127, 0, 0, 2), postgres.address().port()).into());
    let hosts = format!("{deaf},{}", postgres.address());
    let house =
        House::before(hosts, Some(Postgres::Shared(postgres)), &database, 1, "pool.connect_timeout = '2s'");
    assert_eq!(house.client().ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}
