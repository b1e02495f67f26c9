//! Plays a scenario and writes down what its clients hear.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, Place, cancel};
use crate::message::Message;
use crate::script::{Action, Line, Scenario};

/// A condition that isn't true by then won't be.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a scenario is played.
pub struct Stage {
    /// Where its clients connect.
    pub place: Place,
    /// A superuser, directly connected to the scenario's database.
    pub director: Client,
    /// Whether strangers take servers between any two lines.
    pub noise: bool,
}

/// What was heard, line by line of the scenario.
pub type Transcript = Vec<Vec<String>>;

/// Marks what a scenario must never read, not on a direct connection either: a reply that didn't come.
pub const BROKEN: &str = "broken: ";

/// Plays `scenario` to its end, or until strangers get no server. A connection's end stands in the transcript as `closed`, what else goes wrong as
/// [`BROKEN`].
pub fn play(scenario: &Scenario, mut stage: Stage) -> Transcript {
    let mut cast = Cast { place: stage.place.clone(), clients: BTreeMap::new(), parameters: BTreeMap::new() };
    let (mut transcript, mut busy) = (Vec::new(), Busy::default());
    let mut noise = None;
    for line in &scenario.lines {
        let mut heard = Vec::new();
        // Servers are opened when the scenario's own clients come, behind its setup.
        let undisturbed = if stage.noise && !cast.clients.is_empty() {
            disturb(&mut noise, &stage.place, &busy)
        } else {
            Ok(())
        };
        let over = undisturbed.is_err();
        let outcome = undisturbed.and_then(|()| cast.act(line, &mut stage.director, &mut heard));
        let mut lines: Vec<String> = heard.iter().map(Message::line).collect();
        lines.extend(outcome.err().map(ending));
        busy.follow(line, &lines);
        transcript.push(lines);
        if over {
            break;
        }
    }
    drop(cast);
    drop(noise);
    for sql in &scenario.cleanup {
        direct(&mut stage.director, sql).unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
    }
    transcript
}

/// Clients that are in a transaction or a batch, so that they need a server of their own.
#[derive(Default)]
pub struct Busy(BTreeSet<char>);

impl Busy {
    /// `heard` was read when `line` was played.
    pub fn follow(&mut self, line: &Line, heard: &[String]) {
        let at_rest = heard.last().is_some_and(|last| last == "ReadyForQuery I" || last == "closed");
        match line.action {
            Action::Say { client, .. } | Action::Read { client } if !at_rest => drop(self.0.insert(client)),
            Action::Say { client, .. } | Action::Read { client } | Action::Drop { client } => {
                self.0.remove(&client);
            }
            _ => {}
        }
    }

    /// Whether another client than this one is busy.
    pub fn others(&self, client: char) -> bool {
        self.0.iter().any(|other| *other != client)
    }

    pub fn nobody(&self) -> bool {
        self.0.is_empty()
    }
}

/// Two strangers. While the others are at rest, one of them holds a server: the one that was used last, since the
/// other stranger had the other one. So each line gets another server than the line before. While somebody is busy
/// they hold none, so that one is left for a third client.
struct Noise {
    /// The second one holds a server, if any does.
    strangers: [Client; 2],
    holds: bool,
}

impl Noise {
    fn new(place: &Place) -> io::Result<Self> {
        Ok(Self { strangers: [Client::connect(place, &[])?, Client::connect(place, &[])?], holds: false })
    }

    fn make(&mut self, busy: &Busy) -> io::Result<()> {
        let held = std::mem::replace(&mut self.holds, busy.nobody());
        let [next, before] = &mut self.strangers;
        if self.holds {
            query(next, "begin")?;
        }
        if held {
            query(before, "rollback")?;
        }
        if !self.holds {
            query(next, "select 'noise'")?;
        }
        self.strangers.swap(0, 1);
        Ok(())
    }
}

/// The strangers get what they ask for, unless something is wrong with the pool.
fn disturb(noise: &mut Option<Noise>, place: &Place, busy: &Busy) -> io::Result<()> {
    let strangers = match noise.take() {
        Some(strangers) => strangers,
        None => Noise::new(place)?,
    };
    let made = noise.insert(strangers).make(busy);
    made.map_err(|error| io::Error::other(format!("strangers get no server: {error}")))
}

fn ending(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "closed".into(),
        ErrorKind::PermissionDenied => format!("refused: {error}"),
        _ => format!("{BROKEN}{error}"),
    }
}

struct Cast {
    place: Place,
    clients: BTreeMap<char, Client>,
    parameters: BTreeMap<char, Vec<(String, String)>>,
}

impl Cast {
    fn act(&mut self, line: &Line, director: &mut Client, heard: &mut Vec<Message>) -> io::Result<()> {
        match &line.action {
            Action::Parameters { client, values } => {
                self.parameters.insert(*client, values.clone());
                Ok(())
            }
            Action::Say { client, messages, read } => {
                let client = self.client(*client)?;
                for message in messages {
                    client.request(&message.bytes, message.due)?;
                }
                if *read { client.settle_into(heard) } else { Ok(()) }
            }
            Action::Read { client } => self.client(*client)?.settle_into(heard),
            Action::Await { client, tag } => self.client(*client)?.until_into(*tag, heard),
            Action::Cancel { client } => {
                let request = self.client(*client)?.cancel_request();
                cancel(self.address(), &request)
            }
            Action::Drop { client } => {
                self.clients.remove(client);
                Ok(())
            }
            Action::Setup(sql) => direct(director, sql),
            Action::Until(sql) => until(director, sql),
        }
    }

    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn client(&mut self, name: char) -> io::Result<&mut Client> {
        if !self.clients.contains_key(&name) {
            let parameters = self.parameters.get(&name).map_or(&[][..], |values| values);
            self.clients.insert(name, Client::connect(&self.place, parameters)?);
        }
        Ok(self.clients.get_mut(&name).expect("entered just now"))
    }
}

/// Runs a query to its ReadyForQuery.
pub fn query(client: &mut Client, sql: &str) -> io::Result<Vec<Message>> {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
    message.extend_from_slice(sql.as_bytes());
    message.push(0);
    client.request(&message, Some(crate::client::Due::Query))?;
    client.settle()
}

/// Runs SQL that has to succeed.
fn direct(director: &mut Client, sql: &str) -> io::Result<()> {
    let answer = query(director, sql)?;
    match answer.iter().find(|message| message.tag == b'E') {
        Some(error) => Err(io::Error::other(format!("{sql}: {}", error.line()))),
        None => Ok(()),
    }
}

fn until(director: &mut Client, sql: &str) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let answer = query(director, sql)?;
        if answer.iter().any(|message| message.tag == b'D' && message.body.ends_with(b"t")) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("never true"));
        }
        std::thread::yield_now();
    }
}
