//! Making sure that a server has the statement that a client's message is about, by the time it reads the message.
//!
//! Invariant: whatever stands under a name of ours on a server is closed before the name is given to a copy, so that
//! what is known of a server may be too little without harm.

use std::sync::Arc;

use super::exchange::Exchange;
use super::names;
use super::replies::{About, Awaits, Fate, Slot, Undo};
use super::statements::client::Held;
use super::statements::server::{Rows, Unnamed};
use super::statements::shared::{Shape, Stamp, Statement, StatementId};
use crate::wire::tag::frontend;
use crate::wire::write;

/// Whether a client's statement may be used on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    Ready(StatementId),
    /// Not before the server has said what its rows look like.
    Asked,
    /// Its rows look otherwise than the client was told: "cached plan must not change result type".
    Changed,
}

// -- by name

impl Exchange<'_> {
    /// Makes sure that the server has `statement`, no older than `stamp`, by the time it reads what is
    /// written next.
    pub(super) fn ensure(&mut self, statement: &Statement, stamp: Stamp, fate: Fate) {
        let now = self.segments();
        if self.server.statements.serves(statement.id, stamp, now) {
            self.work.statements_found += 1;
        } else {
            self.parse_copy(statement, stamp, fate, None);
        }
    }

    /// Parses `statement` under its name on servers; `name` is the client's, if the client asked for it.
    ///
    /// What stands under that name is closed first: it may be older, and what we know of it may be wrong,
    /// since the server may skip what was sent before. PostgreSQL closes what isn't there without complaint.
    pub(super) fn parse_copy(
        &mut self,
        statement: &Statement,
        stamp: Stamp,
        fate: Fate,
        name: Option<Arc<[u8]>>,
    ) {
        self.work.statements_parsed += 1;
        let id = statement.id;
        let ours = if name.is_some() { Fate::Swallow } else { fate.clone() };
        self.close_copy(id, ours);
        write::parse(self.up.out(), &id.server_name(), &statement.definition);
        let about = name.clone().map_or(About::Nothing, |name| About::Statement(id, name));
        self.server.sent(Slot::new(Awaits::Parse, fate, about, Undo::Parsed { name, id }));
        let now = self.segments();
        self.server.statements.parsed(id, stamp, now);
        if !statement.speaks(self.client.settings.dialect) {
            // It doesn't mean here what it means to others.
            self.server.statements.doubt(id);
        }
        while let Some(evicted) = self.server.statements.evict(now) {
            self.work.statements_evicted += 1;
            self.close_copy(evicted, Fate::Swallow);
        }
    }

    pub(super) fn close_copy(&mut self, id: StatementId, fate: Fate) {
        write::close_statement(self.up.out(), &id.server_name());
        self.sent(Awaits::Close, fate, Undo::CopyClosed(id));
    }
}

// -- as the client knows it

impl Exchange<'_> {
    /// Makes sure that the server has a statement of the client's, with rows as the client was told.
    pub(super) fn ensure_as_told(&mut self, name: &[u8], held: Held) -> Ensured {
        let held = self.as_parsed_here(name, held);
        let copy = self.for_server(&held.statement);
        self.ensure(&copy, held.stamp, Fate::Swallow);
        self.as_told(copy.id, name, held.shape)
    }

    /// One that the server lacks, and that was analysed under settings which gave its text another meaning, is from now on the
    /// statement that its text is today. (A client that changes servers is brought the former, if that can still be parsed.)
    fn as_parsed_here(&mut self, name: &[u8], held: Held) -> Held {
        let now = self.segments();
        let Held { statement, stamp, shape } = &held;
        if statement.speaks(self.client.settings.dialect)
            || self.server.statements.serves(statement.id, *stamp, now)
        {
            return held;
        }
        let statement = self.statement_of(&statement.definition);
        let held = Held { stamp: statement.next_stamp(), statement, shape: *shape };
        self.client.statements.insert(name.into(), held.clone());
        held
    }

    /// Whether a statement's rows look as the client was told, however young the server's copy is; the client gets
    /// rows that look so or PostgreSQL's error.
    pub(super) fn as_told(&mut self, id: StatementId, name: &[u8], told: Option<Shape>) -> Ensured {
        let Some(told) = told else { return Ensured::Ready(id) };
        let unnamed = name.is_empty();
        match self.server.statements.rows(id, unnamed) {
            Rows::Are(shape) if shape == told => Ensured::Ready(id),
            Rows::Are(_) => {
                // It may look right when it is parsed under other settings.
                match unnamed {
                    true => self.server.statements.unnamed = Unnamed::Unknown,
                    false => self.server.statements.doubt(id),
                }
                Ensured::Changed
            }
            Rows::Asked => Ensured::Asked,
            Rows::Unknown => {
                let name_there = id.server_name();
                let name_there = if unnamed { b"" } else { &name_there[..] };
                write::describe_statement(self.up.out(), name_there);
                write::bare(self.up.out(), frontend::FLUSH);
                let about = About::Statement(id, name.into());
                let undo = Undo::Asked { id, unnamed };
                self.server.sent(Slot::new(Awaits::Describe, Fate::Swallow, about, undo));
                self.server.statements.set_rows(id, unnamed, Rows::Asked);
                Ensured::Asked
            }
        }
    }

    /// Makes the server's unnamed statement the client's, or nobody's if the client has none, and says which it is
    /// then. `None` while it isn't certain what they are.
    pub(super) fn ensure_unnamed(&mut self) -> Option<StatementId> {
        let held = self.client.statements.unnamed.clone();
        let needs_names = held.as_ref().is_some_and(|held| names::are_meant_by(&held.statement.analysis));
        let replies = &self.server.replies;
        if !replies.unnamed_is_certain() || needs_names && !replies.names_are_certain() {
            return None;
        }
        let Some(Held { statement, stamp, .. }) = held else {
            if self.server.statements.unnamed != Unnamed::Absent {
                write::close_statement(self.up.out(), b"");
                self.sent(Awaits::Close, Fate::Swallow, Undo::Unnamed { client: None });
                self.server.statements.unnamed = Unnamed::Absent;
            }
            return Some(StatementId::NOWHERE);
        };
        let copy = self.for_server(&statement);
        let serves = matches!(self.server.statements.unnamed, Unnamed::Is(id, there, _) if id == copy.id && there >= stamp);
        if !serves {
            write::parse(self.up.out(), b"", &copy.definition);
            self.sent(Awaits::Parse, Fate::Swallow, Undo::Unnamed { client: None });
            self.server.statements.unnamed = Unnamed::Is(copy.id, stamp, Rows::Unknown);
        }
        Some(copy.id)
    }
}
