//! One client of the chaos: what it believes of its session, and what it may hear.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use pgweir_testkit::chance::Chance;
use pgweir_testkit::frontend::query;

use super::super::kit::{Client, Message, brief};
use super::Arena;

/// SQLSTATEs that the chaos itself explains: lost servers, full queues, deadlocks, failed transactions, and a division by
/// zero that was asked for.
const EXPECTED: [&str; 8] = ["57P01", "57P03", "08006", "08007", "53300", "40P01", "25P02", "22012"];

pub struct Actor<'a> {
    pub arena: &'a Arena<'a>,
    pub number: usize,
    pub chance: Chance,
    pub session: Option<Session>,
    ops: u32,
    /// What was said and heard last.
    trail: VecDeque<String>,
}

const TRAIL: usize = 12;

/// A connection, and what its session has.
pub struct Session {
    pub client: Client,
    pub marker: String,
    /// Whether it listens to its channel.
    pub listens: bool,
    /// Whether it has prepared the statement `ins`.
    pub prepared: bool,
    payloads: BTreeSet<String>,
}

impl<'a> Actor<'a> {
    pub fn new(arena: &'a Arena<'a>, number: usize, seed: u64) -> Self {
        let chance = Chance::new(seed.wrapping_mul(1000).wrapping_add(number as u64));
        Self { arena, number, chance, session: None, ops: 0, trail: VecDeque::new() }
    }

    pub fn play(mut self) {
        while Instant::now() < self.arena.until {
            if self.session.is_some() || self.connect() {
                self.step();
            }
        }
    }

    /// False if it was refused, or lost at once.
    fn connect(&mut self) -> bool {
        let Ok(client) = Client::connect(&self.arena.house.place(), &[]) else { return false };
        let marker = self.name();
        self.session = Some(Session {
            client,
            marker: marker.clone(),
            listens: false,
            prepared: false,
            payloads: BTreeSet::new(),
        });
        self.change(&format!("set app.marker = '{marker}'"))
    }

    /// A name that nobody else has.
    pub fn name(&mut self) -> String {
        self.ops += 1;
        format!("{}-{}", self.number, self.ops)
    }

    pub fn channel(&self) -> String {
        format!("c{}", self.number)
    }

    /// Says what ends in `ends` times ReadyForQuery; hears until then, or until the connection ends.
    pub fn say(&mut self, bytes: &[u8], ends: usize) -> Vec<Message> {
        self.tell(bytes);
        self.hear(ends, false)
    }

    pub fn ask(&mut self, sql: &str) -> Vec<Message> {
        self.say(&query(sql), 1)
    }

    /// Asks for what changes the session. If it wasn't done, nobody knows what the session is: it is given up.
    pub fn change(&mut self, sql: &str) -> bool {
        let heard = self.ask(sql);
        let is_done = is_whole(&heard);
        if !is_done {
            self.session = None;
        }
        is_done
    }

    pub fn tell(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).replace(|letter: char| letter.is_ascii_control(), " ");
        self.remember(format!("> {}", text.chars().take(200).collect::<String>()));
        if let Some(session) = &mut self.session {
            // If it can't be sent, there is an end to be read.
            let _ = session.client.send(bytes);
        }
    }

    pub fn hear(&mut self, ends: usize, has_cancelled: bool) -> Vec<Message> {
        let mut heard = Vec::new();
        while let Some(session) = &mut self.session {
            match session.client.receive() {
                Ok(message) => {
                    let judged = session.judge(&message, self.number, has_cancelled);
                    assert_eq!(judged, Ok(()), "client {}: {:#?} {}", self.number, self.trail, brief(&heard));
                    heard.push(message);
                }
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "I13: {heard:?}");
                    self.session = None;
                }
            }
            if heard.iter().filter(|message| message.tag == b'Z').count() == ends {
                break;
            }
        }
        self.remember(brief(&heard).chars().take(400).collect());
        heard
    }

    fn remember(&mut self, line: String) {
        self.trail.push_back(line);
        if self.trail.len() > TRAIL {
            self.trail.pop_front();
        }
    }

    /// Goes without a word.
    pub fn vanish(&mut self) {
        if let Some(session) = self.session.take() {
            session.client.vanish();
        }
    }
}

impl Session {
    /// What is wrong with a message, if anything is.
    fn judge(&mut self, message: &Message, number: usize, has_cancelled: bool) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{why}: {}", message.line()));
        match message.tag {
            b'A' => {
                let text = String::from_utf8_lossy(&message.body[4..]).into_owned();
                let (channel, payload) = text.split_once('\0').unwrap_or_default();
                if channel != format!("c{number}") || !self.listens {
                    return wrong("I5: another's notification");
                }
                if !self.payloads.insert(payload.to_owned()) {
                    return wrong("I5: notified twice");
                }
            }
            b'E' => {
                let code = message.sqlstate().unwrap_or_default();
                let is_cancelled = code == "57014" && has_cancelled;
                if !is_cancelled && !EXPECTED.contains(&&*code) {
                    return wrong("I2, I6");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether it ended without an error.
pub fn is_whole(heard: &[Message]) -> bool {
    heard.last().is_some_and(|last| last.tag == b'Z') && heard.iter().all(|message| message.tag != b'E')
}

/// The rows of an answer that is whole.
pub fn rows(heard: &[Message]) -> Option<Vec<Vec<String>>> {
    let rows = heard.iter().filter(|message| message.tag == b'D').map(Message::columns);
    is_whole(heard).then(|| rows.collect())
}
