//! Who listens to what on one connection that listens for many clients, and what each of them is owed.
//!
//! ```text
//!                 subscribe                 mark: open                 mark: shut
//!   (on its server) ───────▶ Shut, its ─────────────────▶ Open: gets ───────────────▶ Shut (on its server)
//!                            channels here                all that comes
//! ```
//! A client's channels are on the server that it works with, or here. Where the one side ends and the other
//! begins, a *mark* says: a notification to a channel of our own, sent by the client's server. PostgreSQL shows
//! its notifications to all who listen in the same order, so what stands before the mark is for one side and what
//! stands behind it for the other. Invariant: an ear opens and shuts only at a mark of its own client's server.

use std::collections::{BTreeMap, VecDeque};

use super::notifications::Notification;
use crate::sql::quote_identifier;

/// Channels in one statement of ours.
const BATCH: usize = 500;

/// One client on a switchboard. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// Whether a client is told what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    Shut,
    Open,
}

/// Where an ear opens or shuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub payload: Box<str>,
    /// The process that sends it; a mark from elsewhere means nothing.
    pid: i32,
    then: Ear,
}

/// Why a client can't be told everything that it has a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The connection is gone, and with it whatever would have come.
    Lost,
    /// More was waiting for the client than may.
    TooMuch { limit: usize },
}

/// `B` is what makes a client look here.
#[derive(Debug)]
pub struct Switchboard<B> {
    mark_channel: Box<str>,
    channels: BTreeMap<Box<str>, Channel>,
    listeners: BTreeMap<ListenerId, Listener<B>>,
    /// Channels whose state asks for a statement.
    changed: Vec<Box<str>>,
    /// Channels in the statement under way.
    asked: Vec<Box<str>>,
    bells: Vec<B>,
    issued: u64,
    /// Bytes that may wait for one client.
    limit: usize,
    /// What was put out for clients, in messages.
    pub delivered: u64,
    open: bool,
}

#[derive(Debug)]
struct Channel {
    listeners: Vec<ListenerId>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Wanted,
    /// A LISTEN is under way.
    Asked,
    Heard,
    /// An UNLISTEN is under way.
    Leaving,
}

#[derive(Debug)]
struct Listener<B> {
    bell: B,
    channels: Vec<Box<str>>,
    ear: Ear,
    marks: VecDeque<Mark>,
    outbox: Vec<u8>,
    gap: Option<Gap>,
}

impl<B: Clone> Switchboard<B> {
    pub fn new(mark_channel: &str, limit: usize) -> Self {
        Self {
            mark_channel: mark_channel.into(),
            channels: BTreeMap::new(),
            listeners: BTreeMap::new(),
            changed: Vec::new(),
            asked: Vec::new(),
            bells: Vec::new(),
            issued: 0,
            limit,
            delivered: 0,
            open: true,
        }
    }

    /// Where marks are sent.
    pub fn mark_channel(&self) -> &str {
        &self.mark_channel
    }
}

// -- clients come, change and go

impl<B: Clone> Switchboard<B> {
    /// A new client, with its ear shut; `None` once the switchboard is closed.
    pub fn subscribe(&mut self, bell: B) -> Option<ListenerId> {
        if !self.open {
            return None;
        }
        self.issued += 1;
        let id = ListenerId(self.issued);
        let (channels, marks, outbox) = Default::default();
        self.listeners.insert(id, Listener { bell, channels, ear: Ear::Shut, marks, outbox, gap: None });
        Some(id)
    }

    /// The client's channels from now on.
    pub fn listen(&mut self, id: ListenerId, wanted: Vec<Box<str>>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let before = std::mem::replace(&mut listener.channels, wanted.clone());
        wanted.iter().filter(|name| !before.contains(name)).for_each(|name| self.join(id, name));
        before.iter().filter(|name| !wanted.contains(name)).for_each(|name| self.leave(id, name));
    }

    fn join(&mut self, id: ListenerId, name: &str) {
        let wanted = || Channel { listeners: Vec::new(), state: State::Wanted };
        let channel = self.channels.entry(name.into()).or_insert_with(wanted);
        if channel.state == State::Leaving {
            channel.state = State::Wanted;
        }
        if channel.state == State::Wanted {
            self.changed.push(name.into());
        }
        channel.listeners.push(id);
    }

    fn leave(&mut self, id: ListenerId, name: &str) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.listeners.retain(|other| *other != id);
        if channel.listeners.is_empty() {
            self.changed.push(name.into());
        }
    }

    /// The client is gone, or its channels are.
    pub fn unsubscribe(&mut self, id: ListenerId) {
        self.listen(id, Vec::new());
        self.listeners.remove(&id);
    }

    /// Closes a switchboard that nobody uses and on which nothing is under way; true if it is closed now.
    pub fn close_if_unused(&mut self) -> bool {
        self.open &= !(self.listeners.is_empty() && self.asked.is_empty());
        !self.open
    }

    /// The connection is gone. Whoever was to hear by it has missed something, for all that is known.
    pub fn lose(&mut self) {
        self.open = false;
        for listener in self.listeners.values_mut() {
            if listener.ear == Ear::Open || !listener.marks.is_empty() {
                listener.gap = Some(Gap::Lost);
                self.bells.push(listener.bell.clone());
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.open
    }
}

// -- what the connection is asked

impl<B: Clone> Switchboard<B> {
    /// The next text to send; none while one is under way.
    pub fn next_statement(&mut self) -> Option<Vec<u8>> {
        if !self.asked.is_empty() {
            return None;
        }
        let mut text = Vec::new();
        let batch = self.changed.len().min(BATCH);
        for name in self.changed.drain(..batch) {
            let Some(channel) = self.channels.get_mut(&name) else { continue };
            let (verb, state) = match (channel.state, channel.listeners.is_empty()) {
                (State::Wanted, false) => ("LISTEN ", State::Asked),
                (State::Wanted | State::Heard, true) => ("UNLISTEN ", State::Leaving),
                _ => continue,
            };
            channel.state = state;
            text.extend_from_slice(verb.as_bytes());
            quote_identifier(name.as_bytes(), &mut text);
            text.push(b';');
            self.asked.push(name);
        }
        (!text.is_empty()).then_some(text)
    }

    /// Whether a text is under way.
    pub fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The text was run.
    pub fn statement_done(&mut self) {
        for name in std::mem::take(&mut self.asked) {
            let Some(channel) = self.channels.get_mut(&name) else { continue };
            match channel.state {
                State::Asked => {
                    channel.state = State::Heard;
                    if channel.listeners.is_empty() {
                        self.changed.push(name);
                    }
                }
                State::Leaving => drop(self.channels.remove(&name)),
                State::Wanted | State::Heard => {}
            }
        }
    }

    /// Whether all of the client's channels are heard.
    pub fn is_ready(&self, id: ListenerId) -> bool {
        let is_heard =
            |name: &str| self.channels.get(name).is_some_and(|channel| channel.state == State::Heard);
        self.listeners.get(&id).is_some_and(|listener| listener.channels.iter().all(|name| is_heard(name)))
    }
}

// -- marks

impl<B: Clone> Switchboard<B> {
    /// A mark that process `pid` is about to send. On a connection that is gone already nobody will see it.
    pub fn expect(&mut self, id: ListenerId, pid: i32, then: Ear) -> Mark {
        self.issued += 1;
        let mark = Mark { payload: format!("{}.{}", id.0, self.issued).into(), pid, then };
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.marks.push_back(mark.clone());
            if !self.open {
                listener.gap = Some(Gap::Lost);
                self.bells.push(listener.bell.clone());
            }
        }
        mark
    }

    /// Nothing follows from the mark any more; false if something has already.
    pub fn forget(&mut self, id: ListenerId, mark: &Mark) -> bool {
        let Some(listener) = self.listeners.get_mut(&id) else { return false };
        let before = listener.marks.len();
        listener.marks.retain(|other| other != mark);
        listener.marks.len() < before
    }

    /// Whether the mark was seen, or never will be.
    pub fn is_over(&self, id: ListenerId, mark: &Mark) -> bool {
        !self.open || self.listeners.get(&id).is_none_or(|listener| !listener.marks.contains(mark))
    }

    fn marked(&mut self, sent: &Notification<'_>) {
        let text = std::str::from_utf8(sent.payload).ok();
        let Some(id) = text.and_then(|text| text.split_once('.')?.0.parse().ok()) else { return };
        let Some(listener) = self.listeners.get_mut(&ListenerId(id)) else { return };
        let is_it = |mark: &Mark| mark.payload.as_bytes() == sent.payload && mark.pid == sent.pid;
        if listener.marks.front().is_some_and(is_it)
            && let Some(mark) = listener.marks.pop_front()
        {
            listener.ear = mark.then;
        }
    }
}

// -- notifications

impl<B: Clone> Switchboard<B> {
    /// The connection was sent a notification; `message` is all of it.
    pub fn heard(&mut self, sent: &Notification<'_>, message: &[u8]) {
        if sent.channel == self.mark_channel.as_bytes() {
            return self.marked(sent);
        }
        let Some(channel) = std::str::from_utf8(sent.channel).ok().and_then(|name| self.channels.get(name))
        else {
            return;
        };
        for id in &channel.listeners {
            let Some(listener) = self.listeners.get_mut(id) else { continue };
            if listener.ear == Ear::Shut || listener.gap.is_some() {
                continue;
            }
            if listener.outbox.is_empty() {
                self.bells.push(listener.bell.clone());
            }
            listener.outbox.extend_from_slice(message);
            self.delivered += 1;
            if listener.outbox.len() > self.limit {
                listener.outbox = Vec::new();
                listener.gap = Some(Gap::TooMuch { limit: self.limit });
                self.bells.push(listener.bell.clone());
            }
        }
    }

    /// Whom to tell that something waits; to be asked for after each call.
    pub fn take_bells(&mut self) -> Vec<B> {
        std::mem::take(&mut self.bells)
    }

    /// Why nothing more can be told to the client, if so.
    pub fn gap(&self, id: ListenerId) -> Option<Gap> {
        self.listeners.get(&id)?.gap
    }

    /// What waits for the client.
    ///
    /// # Errors
    /// Something is missing: nothing else may be told to it.
    pub fn take(&mut self, id: ListenerId) -> Result<Vec<u8>, Gap> {
        let Some(listener) = self.listeners.get_mut(&id) else { return Ok(Vec::new()) };
        match listener.gap {
            None => Ok(std::mem::take(&mut listener.outbox)),
            Some(gap) => Err(gap),
        }
    }
}

#[cfg(test)]
#[path = "switchboard_tests.rs"]
mod tests;
