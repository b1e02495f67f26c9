//! Keywords and functions that tell of an effect: one row a word.
//!
//! Depends on `effects`. Invariant: rows are in lower case and each word has one (a test holds that).

use Sign::{Call, CallSets, Keyword as K, Statement};

use super::effects::Effects;
use super::effects::Effects as E;

/// A word, whatever its case, as a number. Two words may share one: that is a false sign and wastes a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WordHash(u64);

impl WordHash {
    /// The hash of no byte at all.
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// FNV-1a over bytes whose letters are folded (and some others, harmlessly).
    #[inline]
    pub(super) const fn with(self, byte: u8) -> Self {
        Self((self.0 ^ (byte | 0x20) as u64).wrapping_mul(0x0100_0000_01b3))
    }

    /// The hash of a word.
    pub const fn of(word: &[u8]) -> Self {
        let mut hash = Self::EMPTY;
        let mut at = 0;
        while at < word.len() {
            hash = hash.with(word[at]);
            at += 1;
        }
        hash
    }
}

/// Further words with effects: the stateful routines of a database and whatever reaches them.
pub trait Dictionary {
    /// The effects of a text that mentions this word.
    fn effects(&self, word: WordHash) -> Effects;
}

/// The empty dictionary.
pub struct NoWords;

impl Dictionary for NoWords {
    fn effects(&self, _: WordHash) -> Effects {
        Effects::NONE
    }
}

/// What a word tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// As a statement's first word: these effects.
    Statement(Effects),
    /// A word whose neighbours or place decide.
    Keyword(Keyword),
    /// A function's name: calling it has these effects.
    Call(Effects),
    /// A function's name: calling it sets this setting.
    CallSets(&'static str),
    /// `dblink_connect`: with a name, or without.
    Connect,
    /// `set_config`.
    SetConfig,
    /// The view whose `UPDATE` sets settings.
    PgSettings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Alter,
    As,
    Begin,
    Case,
    Commit,
    Create,
    Database,
    Deallocate,
    Declare,
    Discard,
    Do,
    Drop,
    End,
    Execute,
    Explain,
    Fetch,
    Grant,
    Insert,
    Into,
    Merge,
    Prepare,
    Reset,
    Set,
    Update,
    With,
}

/// The sign of a word, if it has one.
#[inline]
pub(super) fn sign(word: &[u8], hash: WordHash) -> Option<Sign> {
    let mut slot = hash.0 as usize % SLOTS;
    loop {
        let row = TABLE[slot].checked_sub(1)?;
        let (text, sign) = &WORDS[usize::from(row)];
        if word.eq_ignore_ascii_case(text.as_bytes()) {
            return Some(*sign);
        }
        slot = (slot + 1) % SLOTS;
    }
}

const SLOTS: usize = 1024;
const _: () = assert!(WORDS.len() < 255 && WORDS.len() * 4 < SLOTS);

/// Open addressing with linear probing; a slot holds its word's row, counted from 1, or 0.
static TABLE: [u8; SLOTS] = {
    let mut table = [0; SLOTS];
    let mut row = 0;
    while row < WORDS.len() {
        let mut slot = WordHash::of(WORDS[row].0.as_bytes()).0 as usize % SLOTS;
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        row += 1;
        table[slot] = row as u8;
    }
    table
};

pub(super) const WORDS: &[(&str, Sign)] = &[
    // Statements.
    ("abort", K(Keyword::Commit)),
    ("alter", K(Keyword::Alter)),
    ("begin", K(Keyword::Begin)),
    ("call", Statement(E::OPAQUE)),
    ("close", Statement(E::CLOSE)),
    ("commit", K(Keyword::Commit)),
    ("copy", Statement(E::SEQ_WRITE)),
    ("create", K(Keyword::Create)),
    ("database", K(Keyword::Database)),
    ("deallocate", K(Keyword::Deallocate)),
    ("declare", K(Keyword::Declare)),
    ("discard", K(Keyword::Discard)),
    ("do", K(Keyword::Do)),
    ("drop", K(Keyword::Drop)),
    ("end", K(Keyword::End)),
    ("execute", K(Keyword::Execute)),
    ("explain", K(Keyword::Explain)),
    ("fetch", K(Keyword::Fetch)),
    ("grant", K(Keyword::Grant)),
    ("import", Statement(E::DDL.or(E::CATALOG))),
    ("insert", K(Keyword::Insert)),
    ("listen", Statement(E::LISTEN)),
    ("load", Statement(E::LOAD)),
    ("merge", K(Keyword::Merge)),
    ("prepare", K(Keyword::Prepare)),
    ("reset", K(Keyword::Reset)),
    ("revoke", K(Keyword::Grant)),
    ("rollback", K(Keyword::Commit)),
    ("set", K(Keyword::Set)),
    ("start", Statement(E::TX_BEGIN)),
    ("unlisten", Statement(E::LISTEN)),
    ("update", K(Keyword::Update)),
    // Words within statements.
    ("as", K(Keyword::As)),
    ("case", K(Keyword::Case)),
    ("into", K(Keyword::Into)),
    ("with", K(Keyword::With)),
    // Settings.
    ("pg_settings", Sign::PgSettings),
    ("set_config", Sign::SetConfig),
    ("set_limit", CallSets("pg_trgm.similarity_threshold")),
    // Locks. pg_advisory_xact_lock and its kin end with their transaction.
    ("pg_advisory_lock", Call(E::ADVISORY)),
    ("pg_advisory_lock_shared", Call(E::ADVISORY)),
    ("pg_advisory_unlock", Call(E::ADVISORY)),
    ("pg_advisory_unlock_all", Call(E::ADVISORY)),
    ("pg_advisory_unlock_shared", Call(E::ADVISORY)),
    ("pg_try_advisory_lock", Call(E::ADVISORY)),
    ("pg_try_advisory_lock_shared", Call(E::ADVISORY)),
    // Sequences, random numbers.
    ("currval", Call(E::SEQ_READ)),
    ("lastval", Call(E::SEQ_READ)),
    ("nextval", Call(E::SEQ_WRITE)),
    ("setval", Call(E::SEQ_WRITE)),
    ("setseed", Call(E::SEED)),
    // dblink.
    ("dblink_connect", Sign::Connect),
    ("dblink_connect_u", Sign::Connect),
    ("dblink_disconnect", Call(E::CLOSE)),
    // Replication and backup; two of the last are PostgreSQL 14's.
    ("pg_copy_logical_replication_slot", Call(E::SLOT)),
    ("pg_copy_physical_replication_slot", Call(E::SLOT)),
    ("pg_create_logical_replication_slot", Call(E::SLOT)),
    ("pg_create_physical_replication_slot", Call(E::SLOT)),
    ("pg_drop_replication_slot", Call(E::SLOT)),
    ("pg_replication_origin_session_reset", Call(E::ORIGIN)),
    ("pg_replication_origin_session_setup", Call(E::ORIGIN)),
    ("pg_backup_start", Call(E::BACKUP)),
    ("pg_backup_stop", Call(E::BACKUP)),
    ("pg_start_backup", Call(E::BACKUP)),
    ("pg_stop_backup", Call(E::BACKUP)),
    // Functions that run SQL given as text.
    ("connectby", Call(E::OPAQUE)),
    ("crosstab", Call(E::OPAQUE)),
    ("crosstab2", Call(E::OPAQUE)),
    ("crosstab3", Call(E::OPAQUE)),
    ("crosstab4", Call(E::OPAQUE)),
    ("query_to_xml", Call(E::OPAQUE)),
    ("query_to_xml_and_xmlschema", Call(E::OPAQUE)),
    ("query_to_xmlschema", Call(E::OPAQUE)),
    ("ts_rewrite", Call(E::OPAQUE)),
    ("ts_stat", Call(E::OPAQUE)),
    ("xpath_table", Call(E::OPAQUE)),
    // Others.
];
