//! What one client prepared, by its own names.
//!
//! Entries are made and dropped when the client *asks*, in request order, and undone only for requests that
//! the server skipped: so a later request of the same pipeline finds the map as the server will.

use std::collections::HashMap;
use std::sync::Arc;

use super::shared::{Shape, Stamp, Statement, StatementId};

/// A statement that a client prepared.
#[derive(Clone, Debug)]
pub struct Held {
    pub statement: Arc<Statement>,
    /// When this client parsed it.
    pub stamp: Stamp,
    /// What the client was told of its rows since.
    pub shape: Option<Shape>,
}

impl Held {
    /// In which it was analysed; `None` if that isn't known.
    pub fn dialect(&self) -> Option<u32> {
        self.statement.origin.as_ref().map(|origin| origin.dialect)
    }
}

/// Statements by the client's names.
pub type Names = HashMap<Arc<[u8]>, Held, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub struct ClientStatements {
    /// Boxed and absent until the first named Parse: most idle clients have none.
    named: Option<Box<Names>>,
    /// Bytes of all definitions in `named`.
    bytes: u64,
    pub unnamed: Option<Held>,
}

impl ClientStatements {
    pub fn contains(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    pub fn get(&self, name: &[u8]) -> Option<(&Arc<[u8]>, &Held)> {
        self.named.as_ref()?.get_key_value(name)
    }

    pub fn insert(&mut self, name: Arc<[u8]>, held: Held) {
        self.bytes += size(&held);
        if let Some(replaced) = self.named.get_or_insert_default().insert(name, held) {
            self.bytes -= size(&replaced);
        }
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<(Arc<[u8]>, Held)> {
        let (name, held) = self.named.as_mut()?.remove_entry(name)?;
        self.bytes -= size(&held);
        if self.named.as_ref().is_some_and(|named| named.is_empty()) {
            self.named = None;
        }
        Some((name, held))
    }

    /// Those that mean something else if they are analysed under settings of `dialect`.
    pub fn in_other_dialects(&self, dialect: u32) -> impl Iterator<Item = &Held> {
        let named = self.named.iter().flat_map(|named| named.values());
        named.filter(move |held| {
            !held.statement.speaks(dialect) && held.statement.analysis.statements.is_empty()
        })
    }

    /// All that have a name; none is left.
    pub fn take_named(&mut self) -> Box<Names> {
        self.bytes = 0;
        self.named.take().unwrap_or_default()
    }

    /// The client was told what the rows of the statement of that name look like. (The unnamed one's is empty.)
    /// PostgreSQL holds no statement to that whose rows are a cursor's.
    pub fn learn_shape(&mut self, name: &[u8], id: StatementId, shape: Shape) {
        let held = match name {
            b"" => self.unnamed.as_mut(),
            name => self.named.as_mut().and_then(|named| named.get_mut(name)),
        };
        let bound = |held: &&mut Held| held.statement.id == id && !held.statement.analysis.fetches;
        if let Some(held) = held.filter(bound) {
            held.shape = Some(shape);
        }
    }

    /// Bytes of the definitions that the client holds by name.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &Held)> {
        self.named.iter().flat_map(|named| named.iter()).map(|(name, held)| (&**name, held))
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_none() && self.unnamed.is_none()
    }
}

fn size(held: &Held) -> u64 {
    held.statement.definition.len() as u64
}

#[cfg(test)]
mod tests {
    use super::super::shared::{Reading, Registry};
    use super::*;
    use crate::session::settings::Settings;

    #[test]
    fn bytes_are_those_of_what_is_held() {
        let registry = Registry::new(1000);
        let held = |text: &[u8]| {
            let statement = registry.intern(text, &Settings::of_dialect(0), |_| Reading::default());
            Held { stamp: statement.next_stamp(), statement, shape: None }
        };
        let mut statements = ClientStatements::default();
        statements.insert((*b"a").into(), held(b"12345\0\0\0"));
        statements.insert((*b"b").into(), held(b"1\0\0\0"));
        assert_eq!(statements.bytes(), 12);
        statements.insert((*b"b").into(), held(b"12\0\0\0"));
        assert_eq!(statements.bytes(), 13);
        let (_, held) = statements.get(b"a").unwrap();
        statements.learn_shape(b"b", held.statement.id, Shape::NO_ROWS);
        assert_eq!(statements.get(b"b").unwrap().1.shape, None, "b means another one by now");
        assert_eq!(statements.remove(b"a").unwrap().0[..], *b"a");
        assert!(statements.remove(b"a").is_none());
        assert_eq!(statements.bytes(), 5);
        assert_eq!(statements.take_named().len(), 1);
        assert!(statements.is_empty() && statements.bytes() == 0);
    }
}
