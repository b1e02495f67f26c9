//! Plays a scenario and writes down what its clients hear.

use std::collections::BTreeMap;
use std::io;
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
    /// A further client that asks for a server between any two lines.
    pub noise: Option<Client>,
}

/// What was heard, line by line of the scenario.
pub type Transcript = Vec<Vec<String>>;

/// Plays `scenario` to its end. What goes wrong on the way stands in the transcript.
pub fn play(scenario: &Scenario, mut stage: Stage) -> Transcript {
    let mut cast = Cast { place: stage.place.clone(), clients: BTreeMap::new(), parameters: BTreeMap::new() };
    let mut transcript = Vec::new();
    for line in &scenario.lines {
        if let Some(noise) = &mut stage.noise {
            query(noise, "select 'noise'").expect("the noise client gets a server");
        }
        let heard = cast.act(line, &mut stage.director);
        transcript.push(heard.unwrap_or_else(|error| vec![format!("broken: {error}")]));
    }
    transcript
}

struct Cast {
    place: Place,
    clients: BTreeMap<char, Client>,
    parameters: BTreeMap<char, Vec<(String, String)>>,
}

impl Cast {
    fn act(&mut self, line: &Line, director: &mut Client) -> io::Result<Vec<String>> {
        match &line.action {
            Action::Parameters { client, values } => {
                self.parameters.insert(*client, values.clone());
                Ok(Vec::new())
            }
            Action::Say { client, messages, read } => {
                let client = self.client(*client)?;
                for message in messages {
                    client.request(&message.bytes, message.due)?;
                }
                if *read { client.settle().map(lines) } else { Ok(Vec::new()) }
            }
            Action::Read { client } => self.client(*client)?.settle().map(lines),
            Action::Await { client, tag } => self.client(*client)?.until(*tag).map(lines),
            Action::Cancel { client } => {
                let request = self.client(*client)?.cancel_request();
                cancel(self.address(), &request).map(|()| Vec::new())
            }
            Action::Drop { client } => {
                self.clients.remove(client);
                Ok(Vec::new())
            }
            Action::Setup(sql) => {
                let answer = query(director, sql)?;
                assert!(answer.iter().all(|message| message.tag != b'E'), "line {}: {answer:?}", line.number);
                Ok(Vec::new())
            }
            Action::Until(sql) => until(director, sql, line.number).map(|()| Vec::new()),
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

fn lines(messages: Vec<Message>) -> Vec<String> {
    messages.iter().map(Message::line).collect()
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

fn until(director: &mut Client, sql: &str, number: usize) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let answer = query(director, sql)?;
        if answer.iter().any(|message| message.tag == b'D' && message.body.ends_with(b"t")) {
            return Ok(());
        }
        assert!(began.elapsed() < PATIENCE, "line {number}: never true: {sql}");
        std::thread::yield_now();
    }
}
