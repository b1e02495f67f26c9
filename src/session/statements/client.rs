//! What one client prepared, by its own names.
//!
//! Entries are made and dropped when the client *asks*, in request order, and undone only for requests that
//! the server skipped: so a later request of the same pipeline finds the map as the server will.

use std::collections::HashMap;
use std::sync::Arc;

use super::shared::{Shape, Stamp, Statement, StatementId};

/// One name of one client.
#[derive(Clone, Debug)]
pub struct Held {
    pub statement: Arc<Statement>,
    /// When this client parsed it.
    pub stamp: Stamp,
    /// What the client was told of its rows since.
    pub shape: Option<Shape>,
}

type Named = HashMap<Box<[u8]>, Held, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub struct ClientStatements {
    /// Boxed and absent until the first named Parse: most idle clients have none.
    named: Option<Box<Named>>,
    /// Bytes of all definitions in `named`.
    bytes: u64,
    pub unnamed: Option<Arc<Statement>>,
}

impl ClientStatements {
    pub fn get(&self, name: &[u8]) -> Option<&Held> {
        self.named.as_ref()?.get(name)
    }

    pub fn insert(&mut self, name: Box<[u8]>, held: Held) {
        self.bytes += held.statement.definition.len() as u64;
        self.named.get_or_insert_default().insert(name, held);
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Held> {
        let held = self.named.as_mut()?.remove(name)?;
        self.bytes -= held.statement.definition.len() as u64;
        self.drop_empty();
        Some(held)
    }

    /// `DEALLOCATE ALL` succeeded: what `survives` says was prepared behind it is left.
    pub fn retain(&mut self, mut survives: impl FnMut(&[u8]) -> bool) {
        let Some(named) = &mut self.named else { return };
        named.retain(|name, _| survives(name));
        self.bytes = named.values().map(|held| held.statement.definition.len() as u64).sum();
        self.drop_empty();
    }

    /// The client was told what a statement's rows look like.
    pub fn learn_shape(&mut self, id: StatementId, shape: Shape) {
        let named = self.named.iter_mut().flat_map(|named| named.values_mut());
        named.filter(|held| held.statement.id == id).for_each(|held| held.shape = Some(shape));
    }

    fn drop_empty(&mut self) {
        if self.named.as_ref().is_some_and(|named| named.is_empty()) {
            self.named = None;
        }
    }

    /// Bytes of the definitions that the client holds by name.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The client's name of a statement; any of them if it has several.
    pub fn name_of(&self, id: StatementId) -> Option<&[u8]> {
        let (name, _) = self.named.as_ref()?.iter().find(|(_, held)| held.statement.id == id)?;
        Some(name)
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_none() && self.unnamed.is_none()
    }
}
