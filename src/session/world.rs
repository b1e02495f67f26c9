//! A small world for tests of exchanges: model clients that play scripts, model servers that they share, and
//! bytes that arrive in any pieces and any order that a network allows.
//!
//! Each client's script is also played to a server of its own, directly; what it hears must be the same.

use std::collections::VecDeque;
use std::fmt;
use std::hash::RandomState;

use super::clean::{self, Unclean};
use super::client::ClientState;
use super::exchange::{Exchange, Judged, Limits, Shared};
use super::model::Postgres;
use super::params::Params;
use super::sequences::Sequences;
use super::server::Ledger;
use super::settings::Interner;
use super::statements::server::Unnamed;
use super::statements::shared::Registry;
use crate::catalog::Lexicon;
use crate::meter::work::Work;
use crate::wire::lane::Lane;
use crate::wire::tag::frontend as f;
use crate::wire::write;

// -- messages by name

pub(super) fn query(text: &str) -> Vec<u8> {
    made(|out| write::query(out, text.as_bytes()))
}

pub(super) fn parse(name: &str, text: &str) -> Vec<u8> {
    made(|out| write::parse(out, name.as_bytes(), &[text.as_bytes(), &[0, 0, 0]].concat()))
}

pub(super) fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut rest = vec![0, 0, 0, parameters.len() as u8];
    for parameter in parameters {
        rest.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
        rest.extend_from_slice(parameter.as_bytes());
    }
    rest.extend_from_slice(&[0, 0]);
    made(|out| {
        write::bind_head(out, portal.as_bytes(), statement.as_bytes(), rest.len());
        out.extend_from_slice(&rest);
    })
}

pub(super) fn execute(portal: &str) -> Vec<u8> {
    made(|out| write::message(out, f::EXECUTE, |out| out.extend([portal.as_bytes(), &[0; 5]].concat())))
}

/// `target`: `S` and a statement's name, or `P` and a portal's.
pub(super) fn describe(target: &str) -> Vec<u8> {
    made(|out| write::message(out, f::DESCRIBE, |out| write::text(out, target.as_bytes())))
}

/// `target` as for [`describe`].
pub(super) fn close(target: &str) -> Vec<u8> {
    made(|out| write::message(out, f::CLOSE, |out| write::text(out, target.as_bytes())))
}

pub(super) fn sync() -> Vec<u8> {
    made(|out| write::bare(out, f::SYNC))
}

pub(super) fn flush() -> Vec<u8> {
    made(|out| write::bare(out, f::FLUSH))
}

pub(super) fn call(body: &str) -> Vec<u8> {
    made(|out| write::message(out, f::FUNCTION_CALL, |out| out.extend_from_slice(body.as_bytes())))
}

pub(super) fn data(body: &str) -> Vec<u8> {
    made(|out| write::message(out, f::COPY_DATA, |out| out.extend_from_slice(body.as_bytes())))
}

pub(super) fn copy_done() -> Vec<u8> {
    made(|out| write::bare(out, f::COPY_DONE))
}

pub(super) fn copy_fail() -> Vec<u8> {
    made(|out| write::message(out, f::COPY_FAIL, |out| write::text(out, b"no more")))
}

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// What a client does next.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Act {
    Send(Vec<u8>),
    /// Sends nothing until all that can come has come.
    Listen,
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => {
                write!(f, "{}{:?}", char::from(bytes[0]), String::from_utf8_lossy(&bytes[5..]))
            }
            Self::Listen => f.write_str("…"),
        }
    }
}

// -- the world

/// Small, repeatable, good enough to shuffle with.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

struct Server {
    model: Postgres,
    ledger: Ledger,
    lent: bool,
}

struct Pair {
    server: usize,
    up: Lane,
    down: Lane,
}

struct Client {
    state: ClientState,
    script: VecDeque<Act>,
    /// Sent and not read by pgweir yet.
    pending: VecDeque<u8>,
    pair: Option<Pair>,
    heard: Vec<u8>,
    direct: Postgres,
    gone: bool,
}

pub(super) struct World {
    shared: Shared,
    servers: Vec<Server>,
    clients: Vec<Client>,
    dice: Dice,
    /// Statements that a server keeps.
    kept: u32,
}

pub(super) const LIMITS: Limits =
    Limits { statement_size: 4096, client_statements: 1 << 20, track_state: true, exact_names: false };

impl World {
    pub(super) fn new(servers: usize, kept: u32, seed: u64, scripts: Vec<Vec<Act>>) -> Self {
        let shared = Shared {
            statements: Registry::new(1 << 20),
            settings: Interner::default(),
            sequences: Sequences::default(),
            epochs: std::sync::Arc::default(),
            lexicon: Lexicon::of(&[]),
            limits: LIMITS,
        };
        let client = |script: Vec<Act>| Client {
            state: ClientState::new(shared.settings.plain().clone(), Params::default(), None),
            script: script.into(),
            pending: VecDeque::new(),
            pair: None,
            heard: Vec::new(),
            direct: Postgres::default(),
            gone: false,
        };
        let clients = scripts.into_iter().map(client).collect();
        let mut world = Self { shared, servers: Vec::new(), clients, dice: Dice(seed | 1), kept };
        world.servers = (0..servers).map(|_| world.new_server()).collect();
        world
    }

    fn new_server(&self) -> Server {
        let ledger = Ledger::new(
            Params::default(),
            RandomState::new(),
            self.kept,
            self.shared.settings.plain().clone(),
        );
        Server { model: Postgres::default(), ledger, lent: false }
    }

    /// Plays all scripts to their ends and compares.
    pub(super) fn play(mut self) {
        loop {
            for _ in 0..64 {
                let client = self.dice.roll(self.clients.len());
                let act = self.dice.roll(ACTS.len());
                let most = [1, 3, 17, 8192][self.dice.roll(4)];
                ACTS[act](&mut self, client, most);
            }
            if !self.sweep() {
                break;
            }
        }
        for index in 0..self.clients.len() {
            self.judge(index);
        }
    }

    /// Does all that can be done, once; false if that was nothing.
    fn sweep(&mut self) -> bool {
        let mut progress = false;
        for client in 0..self.clients.len() {
            for act in ACTS {
                progress |= act(self, client, 8192);
            }
        }
        progress || (0..self.clients.len()).any(|client| self.leave(client))
    }

    fn judge(&mut self, index: usize) {
        let client = &self.clients[index];
        assert!(client.script.is_empty() && client.pending.is_empty(), "client {index} is stuck");
        let direct = String::from_utf8_lossy(client.direct.all_sent()).into_owned();
        assert_eq!(
            String::from_utf8_lossy(&client.heard),
            direct,
            "client {index} heard, and would directly"
        );
        if client.direct.dead {
            return;
        }
        let names: Vec<_> = client
            .state
            .statements
            .iter()
            .map(|(name, held)| (name.to_vec(), text(&held.statement)))
            .collect();
        let names: std::collections::BTreeMap<_, _> = names.into_iter().collect();
        assert_eq!(names, client.direct.prepared, "what client {index} has prepared");
        let unnamed = client.state.statements.unnamed.as_ref().map(|held| text(&held.statement));
        assert_eq!(unnamed, client.direct.unnamed, "the unnamed statement of client {index}");
    }
}

fn text(statement: &super::statements::shared::Statement) -> String {
    String::from_utf8_lossy(statement.query()).into_owned()
}

// -- what can happen; each says whether anything did

type Happening = fn(&mut World, usize, usize) -> bool;
const ACTS: [Happening; 7] = [
    World::speak,
    World::attach,
    World::requests,
    World::write_up,
    World::serve,
    World::answers,
    World::release,
];

impl World {
    fn speak(&mut self, index: usize, _: usize) -> bool {
        let quiet = self.is_quiet(index);
        let client = &mut self.clients[index];
        match client.script.front() {
            Some(Act::Listen) if !quiet => return false,
            Some(Act::Send(bytes)) if !client.gone => {
                client.pending.extend(bytes);
                client.direct.receive(bytes);
                while client.direct.step() {}
            }
            Some(_) => {}
            None => return false,
        }
        client.script.pop_front();
        true
    }

    fn is_quiet(&self, index: usize) -> bool {
        let client = &self.clients[index];
        client.pending.is_empty()
            && client.pair.as_ref().is_none_or(|pair| {
                pair.up.is_empty() && pair.down.is_empty() && self.servers[pair.server].model.is_quiet()
            })
    }

    fn attach(&mut self, index: usize, _: usize) -> bool {
        let client = &self.clients[index];
        if client.pair.is_some() || client.pending.is_empty() {
            return false;
        }
        let first = self.dice.roll(self.servers.len());
        let order = (0..self.servers.len()).map(|at| (first + at) % self.servers.len());
        let Some(server) = order.into_iter().find(|&at| !self.servers[at].lent) else { return false };
        self.servers[server].lent = true;
        self.clients[index].pair = Some(Pair { server, up: Lane::default(), down: Lane::default() });
        true
    }

    fn exchange<T>(&mut self, index: usize, act: impl FnOnce(&mut Exchange<'_>) -> T) -> Option<T> {
        let client = &mut self.clients[index];
        let pair = client.pair.as_mut()?;
        let mut exchange = Exchange {
            pid: 0,
            client: &mut client.state,
            server: &mut self.servers[pair.server].ledger,
            shared: &self.shared,
            up: &mut pair.up,
            down: &mut pair.down,
            work: &mut Work::default(),
            errors: &mut Vec::new(),
        };
        Some(act(&mut exchange))
    }

    /// Reads from the client and judges.
    fn requests(&mut self, index: usize, most: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(pair) = &mut client.pair else { return false };
        let room = pair.up.room();
        let count = most.min(client.pending.len()).min(room.len());
        for (byte, place) in client.pending.drain(..count).zip(room) {
            *place = byte;
        }
        pair.up.filled(count);
        let mut moved = count > 0;
        while self.exchange(index, |exchange| exchange.request().unwrap()) == Some(Judged::Moved) {
            moved = true;
        }
        moved
    }

    fn write_up(&mut self, index: usize, most: usize) -> bool {
        let Some(Pair { server, up, .. }) = &mut self.clients[index].pair else { return false };
        let (made, run) = up.output();
        let bytes: Vec<u8> = made.iter().chain(run).copied().take(most).collect();
        up.wrote(bytes.len());
        self.servers[*server].model.receive(&bytes);
        !bytes.is_empty()
    }

    fn serve(&mut self, index: usize, most: usize) -> bool {
        let Some(Pair { server, .. }) = self.clients[index].pair else { return false };
        let model = &mut self.servers[server].model;
        (0..most).take_while(|_| model.step()).count() > 0
    }

    /// Reads from the server, judges, and writes to the client.
    fn answers(&mut self, index: usize, most: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(Pair { server, down, .. }) = &mut client.pair else { return false };
        let bytes = self.servers[*server].model.send(most);
        down.room()[..bytes.len()].copy_from_slice(&bytes);
        down.filled(bytes.len());
        let mut moved = !bytes.is_empty();
        loop {
            match self.exchange(index, |exchange| exchange.answer().unwrap()) {
                Some(Judged::Moved) => moved = true,
                Some(Judged::ServerEnds) => {
                    self.end(index);
                    return true;
                }
                _ => break,
            }
        }
        let client = &mut self.clients[index];
        let down = &mut client.pair.as_mut().expect("as above").down;
        let (made, run) = down.output();
        client.heard.extend(made.iter().chain(run));
        let count = made.len() + run.len();
        down.wrote(count);
        moved
    }

    /// The server ends with an error: so does the client, when it has heard it.
    fn end(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Pair { server, mut down, .. } = client.pair.take().expect("it has a server");
        let total = down.frame().unwrap().expect("the error").total;
        down.forward(total);
        let (made, run) = down.output();
        client.heard.extend(made.iter().chain(run));
        client.gone = true;
        client.pending.clear();
        self.servers[server] = self.new_server();
    }

    /// Hands the server back, when it is proven clean.
    fn release(&mut self, index: usize, _: usize) -> bool {
        let Some(pair) = &self.clients[index].pair else { return false };
        let buffers_empty = pair.up.is_empty() && pair.down.is_empty();
        let server = pair.server;
        match clean::prove(&self.servers[server].ledger, buffers_empty) {
            Ok(_proof) => {
                self.check(server);
                self.servers[server].lent = false;
                self.clients[index].state.touch.clear();
                self.clients[index].pair = None;
                true
            }
            // The shell asks something; here we know when all has come.
            Err(Unclean::Doubtful) => {
                let server = &mut self.servers[server];
                while server.model.step() {}
                if server.model.is_quiet() {
                    server.ledger.replies.resolved();
                }
                true
            }
            // Nobody gets it any more.
            Err(Unclean::Mixed) => {
                self.servers[server] = self.new_server();
                self.clients[index].pair = None;
                true
            }
            Err(_) => false,
        }
    }

    /// A clean server has what its ledger says.
    fn check(&mut self, index: usize) {
        let Server { model, ledger, .. } = &mut self.servers[index];
        // A Flush or late copy data may still be on their way to it; nobody answers those.
        while model.step() {}
        assert!(model.is_quiet(), "a server that has something to say was proven clean");
        assert!(model.is_at_rest(), "a server in a transaction was proven clean");
        let find = |id| text(&self.shared.statements.find(id).expect("all texts are kept"));
        for id in ledger.statements.ids() {
            assert_eq!(model.prepared.get(&*id.server_name()), Some(&find(id)), "{id:?} on server {index}");
        }
        match ledger.statements.unnamed {
            Unnamed::Absent => assert_eq!(model.unnamed, None),
            Unnamed::Is(id, ..) => assert_eq!(model.unnamed, Some(find(id))),
            Unnamed::Unknown => {}
        }
    }

    /// A client that has nothing more to say goes, and its server with it.
    fn leave(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        if !client.script.is_empty() || !client.pending.is_empty() {
            return false;
        }
        let Some(pair) = client.pair.take() else { return false };
        assert!(pair.up.is_empty() && pair.down.is_empty(), "client {index} is stuck");
        self.servers[pair.server] = self.new_server();
        true
    }
}
