//! A query in a steady state allocates nothing: the whole program runs in this process, whose allocator counts.
//!
//! What isn't part of a query (looks at the health of pools, for instance) may allocate now and then. So batches are
//! counted, and of each kind of query there has to be one that allocated nothing at all.

use std::alloc::System;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, free_port};
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::frontend::{bind, execute, parse, query, sync, unnamed};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BATCH: usize = 200;
const BATCHES: usize = 20;

#[test]
fn a_query_in_a_steady_state_allocates_nothing() {
    let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
    let cluster = Cluster::new(&Recipe { programs, ..Recipe::default() }).expect("a cluster");
    let mut stream = connect(&cluster);
    let prepare = [parse("s", "select $1::int", &[]), sync()].concat();
    ask(&mut stream, &prepare);
    let kinds = [
        ("simple", query("select 1")),
        ("in a transaction", query("begin; select 1; commit")),
        ("prepared", [bind("", "s", &["1"]), execute("", 0), sync()].concat()),
        ("extended", unnamed("select 1")),
    ];
    for (kind, request) in kinds {
        let counts: Vec<usize> = (0..BATCHES).map(|_| allocations(&mut stream, &request)).collect();
        assert!(counts.contains(&0), "{kind}: allocations of {BATCH} queries, batch by batch: {counts:?}");
    }
}

/// Those of the whole process while a batch is answered. Asking allocates nothing.
fn allocations(stream: &mut TcpStream, request: &[u8]) -> usize {
    let region = Region::new(ALLOCATOR);
    (0..BATCH).for_each(|_| ask(stream, request));
    let change = region.change();
    change.allocations + change.reallocations
}

/// Sends a request and reads to its ReadyForQuery.
fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).expect("written");
    let (mut answer, mut filled) = ([0; 4096], 0);
    while !answer[..filled].ends_with(b"Z\0\0\0\x05I") {
        let count = stream.read(&mut answer[filled..]).expect("an answer");
        assert!(count > 0, "the connection was closed");
        filled += count;
    }
    assert_ne!(answer[0], b'E', "{}", String::from_utf8_lossy(&answer[..filled]));
}

/// A client of a pgweir that runs in this process.
fn connect(cluster: &Cluster) -> TcpStream {
    let port = free_port().expect("a port");
    let arguments = ["pgweir", "--http", "off", "--listen", &format!("127.0.0.1:{port}"), &cluster.url()];
    let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
    thread::spawn(move || pgweir::cli::main(arguments, std::iter::empty()));
    let place = Place {
        address: ([127, 0, 0, 1], port).into(),
        user: ROLE.into(),
        password: cluster.password().into(),
        database: ROLE.into(),
    };
    loop {
        match Client::connect(&place, &[]) {
            Ok(client) => return client.into_stream(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
