//! What single steps of a query cost, without sockets: `cargo bench --bench parts`.
//!
//! The allocation profile beside the times has to be empty for all but new statements.
#![allow(clippy::disallowed_methods)] // the pure rooms deny them

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};

use pgweir::meter::work::Work;
use pgweir::pool::core::{Checkout, Core, Order};
use pgweir::pool::key::{Profiles, Wish};
use pgweir::pool::limits::Ceilings;
use pgweir::pool::settings::PoolSettings;
use pgweir::session::client::ClientState;
use pgweir::session::exchange::{Exchange, Judged, Limits, Shared};
use pgweir::session::params::Params;
use pgweir::session::replies::{About, Awaits, Fate, Replies, Slot, Undo};
use pgweir::session::server::Ledger;
use pgweir::session::settings::Interner;
use pgweir::session::statements::shared::{Reading, Registry};
use pgweir::sql::{Dialect, Extent, NoWords, analyse};
use pgweir::wire::lane::Lane;
use pgweir::wire::sqlstate::SqlState;
use pgweir_testkit::frontend;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

// -- sql

const TEXTS: [&str; 3] = [
    "select 1",
    "SELECT u.id, u.name, count(*) FROM users u JOIN orders o ON o.user_id = u.id WHERE u.active AND o.placed > \
     now() - interval '7 days' GROUP BY u.id, u.name ORDER BY count(*) DESC LIMIT 20",
    "INSERT INTO events (kind, payload, created) VALUES ('login', '{\"ip\": \"10.0.0.1\"}', now()) RETURNING id",
];

/// A text is read for what it may do to its session.
#[divan::bench(args = TEXTS)]
fn analysis(text: &str) -> bool {
    let read = analyse(black_box(text.as_bytes()), Dialect::default(), Extent::Whole, &NoWords);
    read.names.is_empty()
}

// -- wire

/// A buffer of rows is cut into messages and leaves as one run.
#[divan::bench(args = [30, 300, 3000])]
fn framing(bencher: Bencher<'_, '_>, row: usize) {
    let message = frontend::message(b'D', &vec![7; row]);
    let rows = message.repeat(8192 / message.len());
    let mut lane = Lane::default();
    bencher.counter(BytesCount::new(rows.len())).bench_local(|| {
        lane.room()[..rows.len()].copy_from_slice(&rows);
        lane.filled(rows.len());
        while let Ok(Some(frame)) = lane.frame() {
            let total = frame.total;
            lane.forward(total);
        }
        let count = lane.output().1.len();
        lane.wrote(black_box(count));
    });
}

// -- session

/// Bind, Execute and Sync are noted, and answered.
#[divan::bench]
fn reply_queue(bencher: Bencher<'_, '_>) {
    let mut replies = Replies::default();
    bencher.bench_local(|| {
        for awaits in [Awaits::Bind, Awaits::Execute, Awaits::Sync] {
            replies.sent(Slot::new(awaits, Fate::Forward, About::Nothing, Undo::Nothing));
        }
        for tag in *b"2DCZ" {
            black_box(replies.receive(tag).is_ok());
        }
    });
}

/// A Parse whose text the pool knows.
#[divan::bench(threads = [1, 2])]
fn known_statement(bencher: Bencher<'_, '_>) {
    let (registry, interner) = (Registry::new(1 << 20), Interner::default());
    let text = [TEXTS[1].as_bytes(), &[0, 0, 0]].concat();
    bencher.bench(|| registry.intern(black_box(&text), interner.plain(), |_| Reading::default()));
}

struct Talk {
    shared: Shared,
    client: ClientState,
    server: Ledger,
    up: Lane,
    down: Lane,
    work: Work,
    errors: Vec<SqlState>,
}

impl Talk {
    fn new() -> Self {
        let shared = Shared {
            statements: Registry::new(1 << 20),
            settings: Interner::default(),
            sequences: Default::default(),
            epochs: Default::default(),
            lexicon: Default::default(),
            limits: Limits {
                statement_size: 1 << 20,
                client_statements: 1 << 20,
                track_state: true,
                exact_names: false,
            },
        };
        let plain = Arc::clone(shared.settings.plain());
        Self {
            client: ClientState::new(Arc::clone(&plain), Params::default(), None),
            server: Ledger::new(Params::default(), RandomState::new(), 100, plain),
            shared,
            up: Lane::default(),
            down: Lane::default(),
            work: Work::default(),
            errors: Vec::new(),
        }
    }

    /// A request and the answer to it, from the bytes read to the bytes written.
    fn exchange(&mut self, request: &[u8], answer: &[u8]) {
        fill(&mut self.up, request);
        let mut exchange = Exchange {
            pid: 1,
            client: &mut self.client,
            server: &mut self.server,
            shared: &self.shared,
            up: &mut self.up,
            down: &mut self.down,
            work: &mut self.work,
            errors: &mut self.errors,
        };
        while exchange.request().expect("a request") == Judged::Moved {}
        empty(exchange.up);
        fill(exchange.down, answer);
        while exchange.answer().expect("an answer") == Judged::Moved {}
        empty(exchange.down);
        assert!(self.server.is_at_rest());
        self.client.touch.clear();
    }
}

fn fill(lane: &mut Lane, bytes: &[u8]) {
    lane.room()[..bytes.len()].copy_from_slice(bytes);
    lane.filled(bytes.len());
}

fn empty(lane: &mut Lane) {
    let (made, run) = lane.output();
    let count = black_box(made).len() + black_box(run).len();
    lane.wrote(count);
}

const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\rSELECT 1\0Z\0\0\0\x05I";
const COLUMNS: &[u8] = b"T\0\0\0\x21\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";

/// All that is decided about one query and its answer.
#[divan::bench]
fn simple_query(bencher: Bencher<'_, '_>) {
    let (mut talk, request) = (Talk::new(), frontend::query("select 1"));
    let answer = [COLUMNS, ROW].concat();
    bencher.bench_local(|| talk.exchange(&request, &answer));
}

#[divan::bench]
fn prepared_query(bencher: Bencher<'_, '_>) {
    let mut talk = Talk::new();
    let prepare = [frontend::parse("s", "select 1", &[]), frontend::sync()].concat();
    // In front of the Parse, whatever stood under the name is closed.
    talk.exchange(&prepare, b"3\0\0\0\x041\0\0\0\x04Z\0\0\0\x05I");
    let request = [frontend::bind("", "s", &[]), frontend::execute("", 0), frontend::sync()].concat();
    let answer = [b"2\0\0\0\x04", ROW].concat();
    bencher.bench_local(|| talk.exchange(&request, &answer));
}

// -- pool

/// A pool of twenty servers; each thread takes one and gives it back, under the lock that tasks use.
#[divan::bench(threads = [1, 2])]
fn checkout(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let profile = Profiles::default().intern(Default::default(), []);
    let wish = Wish::plain(profile.id);
    let settings = PoolSettings { size: 20, ..PoolSettings::default() };
    let mut core: Core<u32, ()> = Core::new(now, settings, Ceilings::default().seat("d", "u"), 7);
    let mut tickets = Vec::new();
    for _ in 0..20 {
        match core.checkout(now, &wish, &()) {
            Checkout::Queued(ticket) => tickets.push(ticket),
            other => panic!("there was a server already: {other:?}"),
        }
    }
    while let Some(order) = core.next_order() {
        if let Order::Open { permit, .. } = order {
            core.opened(now, permit, 0);
        }
    }
    for ticket in tickets {
        if let Checkout::Lent(held) = core.collect(ticket, &()) {
            core.give_back(now, held, Work::default());
        }
    }
    let core = Mutex::new(core);
    bencher.bench(|| {
        let lent = core.lock().expect("not poisoned").checkout(now, &wish, &());
        let Checkout::Lent(held) = lent else { panic!("no server: {lent:?}") };
        core.lock().expect("not poisoned").give_back(now, held, Work::default());
    });
}
