//! SQL that names prepared statements: servers know them by other names.
//!
//! `EXECUTE`, `DEALLOCATE` and `PREPARE` of a name that the client gave by protocol are rewritten where the
//! text is sent, or bound, so that they mean what the client's name means at that time. `DEALLOCATE` gets a
//! statement of its own to deallocate, for the server's copy is there for others too. What it drops leaves the
//! client's map when it is sent, and comes back unless a tag confirms it.

use std::sync::Arc;

use super::client::NamingPortal;
use super::exchange::Exchange;
use super::replies::{About, Awaits, Fate, Naming, Undo};
use super::requests::{query_text, whole};
use super::statements::client::Held;
use super::statements::shared::{PREFIX, Reading, Statement, StatementId};
use crate::sql::{Analysis, Effects, Renamed, StatementRef, Use, rename_statements};
use crate::wire::write;

/// Whether a text is about prepared statements, so that names must be certain when it is judged.
pub(super) fn are_meant_by(analysis: &Analysis) -> bool {
    !analysis.statements.is_empty() || analysis.effects.contains(Effects::DEALLOCATE_ALL)
}

/// A name in a text, and what stands for it on servers.
struct Meaning {
    name: Arc<[u8]>,
    id: StatementId,
    /// None where the client has no such statement, but must not name one of ours either.
    held: Option<Held>,
}

impl Exchange<'_> {
    /// All names of a text that servers know by others, each once.
    fn meanings(&self, analysis: &Analysis) -> Vec<Meaning> {
        let mut meanings = Vec::<Meaning>::new();
        for StatementRef { name, .. } in &analysis.statements {
            if meanings.iter().any(|known| *known.name == **name) {
                continue;
            }
            let (name, id, held) = match self.client.statements.get(name) {
                Some((name, held)) if uses(analysis, name, Use::Deallocate) => {
                    (name.clone(), StatementId::scratch(meanings.len()), Some(held.clone()))
                }
                Some((name, held)) => (name.clone(), held.statement.id, Some(held.clone())),
                None if name.starts_with(PREFIX) => ((**name).into(), StatementId::NOWHERE, None),
                None => continue,
            };
            meanings.push(Meaning { name, id, held });
        }
        meanings
    }
}

fn uses(analysis: &Analysis, name: &[u8], usage: Use) -> bool {
    analysis.statements.iter().any(|reference| reference.usage == usage && *reference.name == *name)
}

fn rename(text: &[u8], analysis: &Analysis, meanings: &[Meaning], out: &mut Vec<u8>) -> Renamed {
    let name_on_servers = |reference: &StatementRef| {
        let meaning = meanings.iter().find(|meaning| *meaning.name == *reference.name)?;
        Some(meaning.id.server_name().as_str().to_owned())
    };
    rename_statements(text, analysis, name_on_servers, out)
}

fn about(meanings: Vec<Meaning>, renamed: Renamed) -> About {
    let names = meanings.into_iter().map(|meaning| (meaning.id, meaning.name)).collect();
    About::Text(Box::new(Naming { names, renamed }))
}

// -- Query

impl Exchange<'_> {
    /// Sends a Query's text, whole and just judged to name statements, with the servers' names in place of the
    /// client's.
    pub(super) fn query_with_names_of_servers(&mut self, total: usize, analysis: &Analysis) -> About {
        let meanings = self.meanings(analysis);
        let text = whole(self.up).map_or(&[][..], query_text);
        let mut text_on_servers = Vec::new();
        let renamed = rename(text, analysis, &meanings, &mut text_on_servers);
        if renamed.is_empty() {
            self.up.forward(total);
            return About::Nothing;
        }
        self.up.discard(total);
        self.send_referenced(analysis, &meanings);
        write::query(self.up.out(), &text_on_servers);
        about(meanings, renamed)
    }

    /// A failure of our Parse would only be in the way, since the text itself finds out what is missing.
    fn send_referenced(&mut self, analysis: &Analysis, meanings: &[Meaning]) {
        let fate = self.front_begins();
        self.ensure_executed(meanings, &fate);
        for meaning in meanings.iter().filter(|meaning| meaning.id.is_scratch()) {
            match &meaning.held {
                Some(held) if uses(analysis, &meaning.name, Use::Execute) => {
                    self.close_copy(meaning.id, fate.clone());
                    write::parse(self.up.out(), &meaning.id.server_name(), &held.statement.definition);
                    self.sent(Awaits::Parse, fate.clone(), Undo::Nothing);
                }
                _ => self.parse_scratch(meaning.id, fate.clone()),
            }
        }
        self.front_ends(&fate);
    }

    fn ensure_executed(&mut self, meanings: &[Meaning], fate: &Fate) {
        for Meaning { id, held, .. } in meanings {
            if let Some(held) = held.as_ref().filter(|_| !id.is_scratch()) {
                self.touch_statement(&held.statement, fate);
                self.ensure(&held.statement, held.stamp, fate.clone());
            }
        }
    }

    /// A statement for one message, see [`StatementId::scratch`].
    pub(super) fn parse_scratch(&mut self, id: StatementId, fate: Fate) {
        write::close_statement(self.up.out(), &id.server_name());
        self.sent(Awaits::Close, fate.clone(), Undo::Nothing);
        write::parse(self.up.out(), &id.server_name(), &[0; 3]);
        self.sent(Awaits::Parse, fate, Undo::Nothing);
    }
}

// -- the extended protocol

impl Exchange<'_> {
    /// The statement as a server gets it: its text with the servers' names, and what it executes in front.
    pub(super) fn for_server(&mut self, statement: &Arc<Statement>) -> Arc<Statement> {
        if statement.analysis.statements.is_empty() {
            return statement.clone();
        }
        let meanings = self.meanings(&statement.analysis);
        let mut definition = Vec::new();
        if rename(statement.query(), &statement.analysis, &meanings, &mut definition).is_empty() {
            return statement.clone();
        }
        self.ensure_executed(&meanings, &Fate::Swallow);
        definition.extend_from_slice(&statement.definition[statement.query().len()..]);
        match &statement.origin {
            Some(origin) => self.shared.statements.intern(&definition, origin, |_| Reading::default()),
            None => self.shared.statements.private(definition.into(), None, |_| Reading::default()),
        }
    }

    /// `portal` now runs `statement`.
    pub(super) fn bound(&mut self, portal: &[u8], statement: Option<&Arc<Statement>>) {
        if let Some(portals) = &mut self.client.portals {
            portals.list.retain(|known| *known.name != *portal);
        }
        if let Some(statement) = statement.filter(|statement| are_meant_by(&statement.analysis)) {
            let meanings = self.meanings(&statement.analysis);
            let renamed = rename(statement.query(), &statement.analysis, &meanings, &mut Vec::new());
            let about = about(meanings, renamed);
            let bound = NamingPortal { name: portal.into(), statement: statement.clone(), about };
            self.client.portals.get_or_insert_default().list.push(bound);
        }
    }

    /// What the execution of a portal is about and changes; `None` while that isn't certain.
    pub(super) fn execution_of(&mut self, portal: &[u8]) -> Option<(About, Undo)> {
        let Some(known) =
            self.client.portals.iter().flat_map(|portals| &portals.list).find(|known| *known.name == *portal)
        else {
            return Some((About::Nothing, Undo::Nothing));
        };
        if !self.server.replies.names_are_certain() {
            return None;
        }
        let (about, statement) = (known.about.clone(), known.statement.clone());
        if let About::Text(naming) = &about {
            for (id, name) in naming.names.iter().filter(|(id, _)| id.is_scratch()) {
                match self.client.statements.contains(name) {
                    true => self.parse_scratch(*id, Fate::Swallow),
                    false => self.close_copy(*id, Fate::Swallow),
                }
            }
        }
        Some((about, self.deallocate(&statement.analysis)))
    }
}

// -- deallocating

impl Exchange<'_> {
    /// Takes what a text deallocates out of the client's map; the text is sent now.
    pub(super) fn deallocate(&mut self, analysis: &Analysis) -> Undo {
        if analysis.effects.contains(Effects::DEALLOCATE_ALL) {
            self.server.questions = 0;
            self.server.statements.doubt_all();
            return Undo::DeallocatingAll(self.client.statements.take_named());
        }
        let dropped = analysis.statements.iter().filter(|reference| reference.usage == Use::Deallocate);
        let dropped: Vec<_> = dropped.map(|reference| self.drop_name(&reference.name)).collect();
        if dropped.is_empty() { Undo::Nothing } else { Undo::Deallocating(dropped) }
    }

    fn drop_name(&mut self, name: &[u8]) -> (Arc<[u8]>, Option<Held>) {
        match self.client.statements.remove(name) {
            Some((name, held)) => (name, Some(held)),
            None => (name.into(), None),
        }
    }
}
