//! SQL that names prepared statements: servers know them by other names.
//!
//! `EXECUTE`, `DEALLOCATE` and `PREPARE` of a name that the client gave by protocol are rewritten where the
//! text is sent, or bound, so that they mean what the client's name means at that time. What a `DEALLOCATE`
//! drops leaves the client's map when it is sent, and comes back unless a tag confirms it.

use std::sync::Arc;

use super::exchange::Exchange;
use super::replies::{Awaits, Fate, Undo};
use super::requests::{query_text, whole};
use super::statements::client::Held;
use super::statements::shared::{NOWHERE, PREFIX, Statement};
use crate::sql::{Analysis, Effects, Use, rename_statements};
use crate::wire::tag::frontend as f;
use crate::wire::write;

/// Whether a text is about prepared statements, so that names must be certain when it is judged.
pub(super) fn are_meant_by(analysis: &Analysis) -> bool {
    !analysis.statements.is_empty() || analysis.effects.contains(Effects::DEALLOCATE_ALL)
}

impl Exchange<'_> {
    /// Sends a Query's text with the servers' names in place of the client's; false if there are none.
    pub(super) fn query_with_names_of_servers(&mut self, analysis: &Analysis) -> bool {
        let Some(frame) = whole(self.up) else { return false };
        let (total, mut renamed) = (frame.total, Vec::new());
        if !self.rename(query_text(frame), analysis, &mut renamed) {
            return false;
        }
        self.up.discard(total);
        self.send_referenced(analysis);
        write::query(self.up.out(), &renamed);
        true
    }

    /// Our Parse in front of a Query must not make the server skip it, so it ends with a Sync of its own; and
    /// its failure would only be in the way, since the text itself finds out what is missing. In an unfinished
    /// batch a Sync would commit what the client has sent so far.
    fn send_referenced(&mut self, analysis: &Analysis) {
        if self.server.unsynced {
            return self.ensure_referenced(analysis, Fate::Swallow);
        }
        self.ensure_referenced(analysis, Fate::Hide);
        if self.server.unsynced {
            write::bare(self.up.out(), f::SYNC);
            self.sent(Awaits::Sync, Fate::Hide, Undo::Nothing);
        }
    }

    fn rename(&self, text: &[u8], analysis: &Analysis, out: &mut Vec<u8>) -> bool {
        let name_on_servers = |name: &[u8]| match self.client.statements.get(name) {
            Some((_, held)) => Some(held.statement.id.server_name().as_str().to_owned()),
            None => name.starts_with(PREFIX).then(|| String::from_utf8_lossy(NOWHERE).into_owned()),
        };
        rename_statements(text, analysis, |reference| name_on_servers(&reference.name), out)
    }

    /// Makes sure that the server has what a text refers to.
    fn ensure_referenced(&mut self, analysis: &Analysis, fate: Fate) {
        for reference in &analysis.statements {
            let Some((_, held)) = self.client.statements.get(&reference.name) else { continue };
            let Held { statement, stamp } = held.clone();
            if reference.usage == Use::Execute {
                self.client.touch.add(&statement.analysis);
            }
            self.ensure(&statement, stamp, fate.clone());
        }
    }

    /// The statement as a server gets it: its text with the servers' names, and what it refers to in front.
    pub(super) fn for_server(&mut self, statement: &Arc<Statement>) -> Arc<Statement> {
        let mut definition = Vec::new();
        if statement.analysis.statements.is_empty()
            || !self.rename(statement.query(), &statement.analysis, &mut definition)
        {
            return statement.clone();
        }
        self.ensure_referenced(&statement.analysis, Fate::Swallow);
        definition.extend_from_slice(&statement.definition[statement.query().len()..]);
        self.shared.statements.intern(&definition, statement.dialect, |_| Analysis::default())
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
        let Some((name, held)) = self.client.statements.remove(name) else { return (name.into(), None) };
        self.server.statements.doubt(held.statement.id);
        (name, Some(held))
    }

    /// `portal` now runs `statement`: its execution may deallocate something.
    pub(super) fn bound(&mut self, portal: &[u8], statement: Option<&Arc<Statement>>) {
        self.client.deallocators.retain(|(known, _)| **known != *portal);
        if let Some(statement) = statement.filter(|statement| deallocates(&statement.analysis)) {
            self.client.deallocators.push((portal.into(), statement.clone()));
        }
    }
}

fn deallocates(analysis: &Analysis) -> bool {
    analysis.effects.contains(Effects::DEALLOCATE_ALL)
        || analysis.statements.iter().any(|reference| reference.usage == Use::Deallocate)
}
