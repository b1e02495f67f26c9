//! Chaos: many clients do all that a session may do, through few servers, while backends are terminated, clients vanish
//! and cancels fly. What every single client hears has to be right, and in the end the books have to balance.
//!
//! Invariants of the fault catalogue that are held here: I1 own rows only, I2 no reply out of turn, I3 ledger, I4 bank,
//! I5 own session state, notifications included, I6 own cancels only, I8 no backend too many, I11 gauges return to rest,
//! I13 no request without an answer, I16 full size again, I17 exit code, panics and desyncs.
//!
//! `PGWEIR_CHAOS_SECONDS` says how long it lasts, `PGWEIR_CHAOS_SEED` what the clients choose; threads and sockets
//! see to it that no two runs are the same.

mod actor;
mod ledger;
mod steps;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::actor::Actor;
use self::ledger::Ledger;
use super::kit::{House, eventually};

const SERVERS: u32 = 4;
/// Beyond them, for clients that keep theirs, and for the one that listens for those at rest.
const PINNED: u32 = 4;
const CLIENTS: usize = 12;
/// How many accounts there are, and what all of them have together.
const ACCOUNTS: u64 = 6;
const BALANCE: u64 = 600;

/// What all clients share.
struct Arena<'a> {
    house: &'a House,
    ledger: Ledger,
    until: Instant,
    terminated: AtomicU64,
}

#[test]
fn chaos() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: not a number")),
        Err(_) => default,
    };
    let (seed, seconds) = (number("PGWEIR_CHAOS_SEED", 1), number("PGWEIR_CHAOS_SECONDS", 12));
    eprintln!("PGWEIR_CHAOS_SEED={seed} PGWEIR_CHAOS_SECONDS={seconds}");
    let mut house = House::with(SERVERS, &format!("pool.pinned_servers = {PINNED}"));
    let mut director = house.director();
    director.ask("create table ledger (op text, client int)");
    director.ask(&format!(
        "create table account as select g as id, {} as balance from generate_series(1, {ACCOUNTS}) g",
        BALANCE / ACCOUNTS
    ));
    director.ask("grant all on ledger, account to public");
    let until = Instant::now() + Duration::from_secs(seconds);
    let arena = Arena { house: &house, ledger: Ledger::default(), until, terminated: AtomicU64::new(0) };
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let actor = Actor::new(&arena, number, seed);
            scope.spawn(move || actor.play());
        }
    });
    let wrong = arena.ledger.audit(&mut director);
    assert!(wrong.is_empty(), "I3: {wrong:?}");
    assert_eq!(director.value("select sum(balance) from account"), BALANCE.to_string(), "I4");
    assert!(arena.terminated.load(Ordering::Relaxed) > 0, "no backend was terminated");
    all_rests(&house);
    house.signal(Signal::TERM);
    assert!(house.ended().success(), "I17: {}", house.pooler.log());
}

/// I11 and I16: nobody is there any more, and the pool has its full size.
fn all_rests(house: &House) {
    house.metric_becomes("pgweir_client_connections", 0);
    house.metric_becomes("pgweir_listening_clients", 0);
    house.all_is_well();
    let mut clients: Vec<_> = (0..SERVERS).map(|_| house.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("begin"), "C[BEGIN] Z[T]");
    }
    drop(clients);
    eventually("their servers are back", || house.servers("active") == 0);
}
