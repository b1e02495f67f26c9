//! Statement texts, shared by all that prepared them.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hashlink::LruCache;
use parking_lot::Mutex;

use crate::catalog::{Lexicon, Moment};
use crate::session::settings::Settings;
use crate::sql::{Analysis, Dialect, Effects, Extent, analyse};
use crate::wire::read;

/// Names that a client may not use on a server, since the servers' own statements are called so.
pub const PREFIX: &[u8] = b"_pgweir_";
/// A statement that no server ever has.
pub const NOWHERE: &[u8] = b"_pgweir_0";

/// More names than any text deallocates.
const LAST_SCRATCH: u64 = 999;

/// Texts above this are kept by their clients alone.
const SHARED_SIZE: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementId(pub u64);

impl StatementId {
    /// The one of [`NOWHERE`].
    pub const NOWHERE: Self = Self(0);

    /// One of the names for statements that a server is given for one message only. They have no text, so that
    /// they can be parsed at any time, in a failed transaction too.
    pub fn scratch(index: usize) -> Self {
        Self((index as u64 + 1).min(LAST_SCRATCH))
    }

    pub fn is_scratch(self) -> bool {
        (1..=LAST_SCRATCH).contains(&self.0)
    }

    /// The name under which servers know the statement.
    pub fn server_name(self) -> ServerName {
        let mut name = ServerName { bytes: [0; ServerName::LONGEST], len: 0 };
        let mut rest = &mut name.bytes[..];
        write!(rest, "_pgweir_{}", self.0).expect("the longest name fits");
        name.len = ServerName::LONGEST - rest.len();
        name
    }
}

/// A statement's name on servers, on the stack.
#[derive(Clone, Copy)]
pub struct ServerName {
    bytes: [u8; Self::LONGEST],
    len: usize,
}

impl ServerName {
    const LONGEST: usize = PREFIX.len() + 20;

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self).expect("made of ASCII")
    }
}

impl Deref for ServerName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// When a statement was parsed, in its own count: a copy on a server serves a client if the copy is not older
/// than the client's own Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Older than any Parse: a copy known to be stale.
    pub const STALE: Self = Self(0);
}

/// What a statement's rows look like, as far as PostgreSQL minds when it reuses a plan: names, types and type
/// modifiers of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(NonZeroU64);

impl Shape {
    /// Of a statement that returns no rows.
    pub const NO_ROWS: Self = Self(NonZeroU64::new(2).expect("two"));

    /// Reads a RowDescription's body; `None` if it is malformed.
    pub fn of(body: &[u8]) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        let (count, mut rest) = body.split_first_chunk::<2>()?;
        for _ in 0..u16::from_be_bytes(*count) {
            let (name, after) = read::text(rest)?;
            // Table, column, type, length, modifier, format.
            let (fixed, after) = after.split_at_checked(18)?;
            (name, &fixed[6..10], &fixed[12..16]).hash(&mut hasher);
            rest = after;
        }
        // Odd, so that it is neither zero nor that of no rows.
        Some(Self(NonZeroU64::new(hasher.finish() | 1)?))
    }
}

/// How a text was read.
#[derive(Debug, Default)]
pub struct Reading {
    pub analysis: Analysis,
    /// What cut it into words; `None`: that wasn't certain, so it may do anything.
    pub dialect: Option<Dialect>,
    /// Of the dictionary by which it was judged.
    pub moment: Moment,
}

#[derive(Debug)]
pub struct Statement {
    pub id: StatementId,
    /// A Parse's body behind the name: query, NUL, parameter types.
    pub definition: Box<[u8]>,
    /// The settings under which it was analysed: the same text means something else under those of another dialect.
    /// `None`: some that held for a transaction, perhaps. Then nobody else has it.
    pub origin: Option<Arc<Settings>>,
    pub analysis: Analysis,
    words: Option<Dialect>,
    /// What it may do by the dictionary of a moment: the moment above, effects below.
    judged: AtomicU64,
    stamps: AtomicU64,
}

const fn judged(effects: Effects, moment: Moment) -> u64 {
    (moment.number() as u64) << 32 | effects.bits() as u64
}

impl Statement {
    /// The stamp of a Parse that is about to be sent.
    pub fn next_stamp(&self) -> Stamp {
        Stamp(self.stamps.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// What the text may do, and the moment of the dictionary that says so: the present one if there is one. Costs one
    /// comparison while nothing changes.
    pub fn effects(&self, lexicon: &Lexicon) -> (Effects, Moment) {
        let known = self.judged.load(Ordering::Relaxed);
        let (effects, moment) = (Effects::from_bits(known as u32), Moment::numbered((known >> 32) as u32));
        if moment == lexicon.moment() { (effects, moment) } else { self.judge(effects, moment, lexicon) }
    }

    #[cold]
    fn judge(&self, known: Effects, moment: Moment, lexicon: &Lexicon) -> (Effects, Moment) {
        let edition = lexicon.edition();
        if edition.moment == moment {
            return (known, moment);
        }
        let effects = match self.words {
            Some(words) => analyse(self.query(), words, Extent::Whole, &*edition.routines).effects,
            None => self.analysis.effects | Effects::OPAQUE,
        };
        self.judged.store(judged(effects, edition.moment), Ordering::Relaxed);
        (effects, edition.moment)
    }

    /// Whether it means the same under settings of this dialect, as far as is known.
    pub fn speaks(&self, dialect: u32) -> bool {
        self.origin.as_ref().is_none_or(|origin| origin.dialect == dialect)
    }

    pub fn query(&self) -> &[u8] {
        query(&self.definition)
    }
}

fn query(definition: &[u8]) -> &[u8] {
    read::text(definition).map_or(&[], |(query, _)| query)
}

/// The texts of one pool's clients, the least recently parsed forgotten beyond a budget of bytes.
/// A forgotten text lives on with the clients that hold it; it is only no longer shared with new ones.
#[derive(Debug)]
pub struct Registry {
    texts: Mutex<Texts>,
    hasher: RandomState,
    next: AtomicU64,
    #[cfg(test)]
    all: Mutex<Vec<Arc<Statement>>>,
}

#[derive(Debug)]
struct Texts {
    by_hash: LruCache<u64, Arc<Statement>, RandomState>,
    bytes: u64,
    budget: u64,
}

impl Registry {
    /// `budget` in bytes of definitions.
    pub fn new(budget: u64) -> Self {
        let by_hash = LruCache::with_hasher(usize::MAX >> 1, RandomState::default());
        Self {
            texts: Mutex::new(Texts { by_hash, bytes: 0, budget }),
            hasher: RandomState::default(),
            next: AtomicU64::new(LAST_SCRATCH + 1),
            #[cfg(test)]
            all: Mutex::default(),
        }
    }

    /// The statement of this definition in the dialect of these settings; `read` runs when it is new here.
    pub fn intern(
        &self,
        definition: &[u8],
        origin: &Arc<Settings>,
        read: impl FnOnce(&[u8]) -> Reading,
    ) -> Arc<Statement> {
        if definition.len() > SHARED_SIZE {
            return self.private(definition.into(), Some(origin), read);
        }
        let hash = self.hasher.hash_one((definition, origin.dialect));
        let known = self.texts.lock().by_hash.get(&hash).cloned();
        match known {
            Some(known) if *known.definition == *definition && known.speaks(origin.dialect) => known,
            _ => {
                let new = self.private(definition.into(), Some(origin), read);
                self.texts.lock().keep(hash, new.clone());
                new
            }
        }
    }

    /// A statement that is shared with nobody.
    pub fn private(
        &self,
        definition: Box<[u8]>,
        origin: Option<&Arc<Settings>>,
        read: impl FnOnce(&[u8]) -> Reading,
    ) -> Arc<Statement> {
        let Reading { analysis, dialect: words, moment } = read(query(&definition));
        let id = StatementId(self.next.fetch_add(1, Ordering::Relaxed));
        let judged = AtomicU64::new(judged(analysis.effects, moment));
        let origin = origin.cloned();
        let statement = Arc::new(Statement {
            id,
            definition,
            origin,
            analysis,
            words,
            judged,
            stamps: AtomicU64::new(0),
        });
        #[cfg(test)]
        self.all.lock().push(statement.clone());
        statement
    }
}

#[cfg(test)]
impl Registry {
    pub(crate) fn find(&self, id: StatementId) -> Option<Arc<Statement>> {
        self.all.lock().iter().find(|it| it.id == id).cloned()
    }
}

impl Texts {
    fn keep(&mut self, hash: u64, statement: Arc<Statement>) {
        self.bytes += statement.definition.len() as u64;
        if let Some(replaced) = self.by_hash.insert(hash, statement) {
            self.bytes -= replaced.definition.len() as u64;
        }
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.by_hash.remove_lru() else { break };
            self.bytes -= oldest.definition.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(registry: &Registry, text: &[u8], dialect: u32) -> StatementId {
        registry.intern(text, &Settings::of_dialect(dialect), |_| Reading::default()).id
    }

    #[test]
    fn equal_texts_are_one_statement_and_a_dialect_makes_another() {
        let registry = Registry::new(1000);
        let id = intern(&registry, b"select 1\0\0\0", 0);
        assert_eq!(intern(&registry, b"select 1\0\0\0", 0), id);
        assert_ne!(intern(&registry, b"select 1\0\0\0", 1), id);
        assert_ne!(intern(&registry, b"select 1\0\0\x01\0\0\0\x17", 0), id);
    }

    #[test]
    fn a_shape_is_names_types_and_modifiers() {
        let column = |name: &str, r#type: u8, modifier: u8, length: u8| {
            let fixed = [0, 0, 0, 9, 0, 1, 0, 0, 0, r#type, 0, length, 0, 0, 0, modifier, 0, 0];
            [name.as_bytes(), &[0], &fixed].concat()
        };
        let of =
            |columns: &[Vec<u8>]| Shape::of(&[&[0, columns.len() as u8][..], &columns.concat()].concat());
        let a = of(&[column("a", 23, 1, 4)]);
        assert!(a.is_some() && a == of(&[column("a", 23, 1, 8)]));
        for other in [column("b", 23, 1, 4), column("a", 25, 1, 4), column("a", 23, 2, 4)] {
            assert_ne!(of(&[other]), a);
        }
        assert_ne!(of(&[]), Some(Shape::NO_ROWS));
        assert_eq!(Shape::of(&[0, 1, b'a', 0, 0]), None);
    }

    #[test]
    fn the_budget_forgets_the_least_recent() {
        let registry = Registry::new(20);
        let a = intern(&registry, b"aaaaaaaa\0\0\0", 0);
        intern(&registry, b"bbbbbbbb\0\0\0", 0);
        assert!(registry.texts.lock().bytes <= 20);
        assert_ne!(intern(&registry, b"aaaaaaaa\0\0\0", 0), a);
    }
}
