//! Which entries must be in the ledger, and which may be (I3).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::super::kit::{Client, Message, errors};
use pgweir_testkit::frontend::query;

/// What a client knows of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// PostgreSQL has confirmed it.
    Committed,
    /// An error says that it isn't there.
    Failed,
    /// The connection, or the server, was lost while it was committed.
    Unknown,
}

impl Fate {
    /// Of what ends in a command with this tag, and a ReadyForQuery.
    pub fn of(heard: &[Message], tag: &str) -> Self {
        let errors = errors(heard);
        let is_done = heard.iter().any(|message| message.brief() == format!("C[{tag}]"));
        match errors.first().map(String::as_str) {
            // What a backend says that is terminated, and what pgweir says when it can't know.
            Some("57P01" | "08007") => Self::Unknown,
            Some(_) => Self::Failed,
            None if heard.last().is_none_or(|last| last.tag != b'Z') => Self::Unknown,
            None => {
                if is_done {
                    Self::Committed
                } else {
                    Self::Failed
                }
            }
        }
    }
}

#[derive(Default)]
pub struct Ledger(Mutex<BTreeMap<String, Fate>>);

impl Ledger {
    pub fn note(&self, op: String, fate: Fate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(op, fate);
    }

    /// What is otherwise in PostgreSQL than the clients know.
    pub fn audit(&self, director: &mut Client) -> Vec<String> {
        director.tell(&query("select op, count(*) from ledger group by op"));
        let answer = director.until_ready();
        let rows = answer.iter().filter(|message| message.tag == b'D').map(Message::columns);
        let there: BTreeMap<String, String> =
            rows.map(|mut row| (std::mem::take(&mut row[0]), std::mem::take(&mut row[1]))).collect();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut wrong, mut counts) = (Vec::new(), [0; 3]);
        for (op, fate) in &*known {
            counts[*fate as usize] += 1;
            let count = there.get(op).map_or("0", String::as_str);
            let is_right = match fate {
                Fate::Committed => count == "1",
                Fate::Failed => count == "0",
                Fate::Unknown => matches!(count, "0" | "1"),
            };
            if !is_right {
                wrong.push(format!("{op} {fate:?}, but there {count} times"));
            }
        }
        let strangers = there.keys().filter(|op| !known.contains_key(*op));
        wrong.extend(strangers.map(|op| format!("{op} was never asked for")));
        eprintln!("entries: {} committed, {} failed, {} unknown", counts[0], counts[1], counts[2]);
        wrong
    }
}
