//! Why a client keeps its server beyond a transaction, and how each reason ends.
//!
//! Counted reasons end by themselves: PostgreSQL is asked and says zero. Sticky ones leave no trace that
//! could be asked for; they end with the client, and the server with them.

use std::fmt;

use super::sequences::Keep;
use crate::catalog::Lexicon;
use crate::sql::Effects;

/// What a session holds that can't be moved, as PostgreSQL counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residue {
    pub advisory_locks: u32,
    pub channels: u32,
    pub held_cursors: u32,
    pub sql_statements: u32,
    pub temporary_objects: u32,
    pub temporary_slots: u16,
    /// Of dblink, with a name.
    pub connections: u16,
}

impl Residue {
    /// The SQL that takes all of this from a session, and nothing that others need there. `None`: only `DISCARD ALL` does.
    pub fn release(&self) -> Option<String> {
        if self.sql_statements > 0 || self.temporary_slots > 0 {
            return None;
        }
        let parts = [
            (self.advisory_locks, "SELECT pg_catalog.pg_advisory_unlock_all();"),
            (self.channels, "UNLISTEN *;"),
            (self.held_cursors, "CLOSE ALL;"),
            (self.temporary_objects, "DISCARD TEMP;"),
        ];
        Some(parts.into_iter().filter(|&(count, _)| count > 0).map(|(_, sql)| sql).collect())
    }
}

/// One reason to pin; the order is that of [`Residue`], then the sticky ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    AdvisoryLock,
    Listen,
    HeldCursor,
    SqlPrepare,
    TemporaryObject,
    TemporarySlot,
    Seed,
    Library,
    ExternalConnection,
    ReplicationOrigin,
    Backup,
    PlGlobals,
    /// The state could not be asked for.
    Unknown,
    /// Values that `currval` and `lastval` give.
    Sequence,
}

impl Reason {
    pub const ALL: [Self; 14] = [
        Self::AdvisoryLock,
        Self::Listen,
        Self::HeldCursor,
        Self::SqlPrepare,
        Self::TemporaryObject,
        Self::TemporarySlot,
        Self::Seed,
        Self::Library,
        Self::ExternalConnection,
        Self::ReplicationOrigin,
        Self::Backup,
        Self::PlGlobals,
        Self::Unknown,
        Self::Sequence,
    ];

    /// The word for metrics, the console and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdvisoryLock => "advisory_lock",
            Self::Listen => "listen",
            Self::HeldCursor => "held_cursor",
            Self::SqlPrepare => "sql_prepare",
            Self::TemporaryObject => "temporary_object",
            Self::TemporarySlot => "temporary_slot",
            Self::Seed => "seed",
            Self::Library => "library",
            Self::ExternalConnection => "external_connection",
            Self::ReplicationOrigin => "replication_origin",
            Self::Backup => "backup",
            Self::PlGlobals => "pl_globals",
            Self::Unknown => "unknown",
            Self::Sequence => "sequence",
        }
    }
}

impl Reason {
    /// How an application does without the pin.
    pub fn hint(self) -> &'static str {
        match self {
            Self::AdvisoryLock => "pg_advisory_xact_lock() ends with its transaction, and so needs no pin",
            Self::Listen => "listeners that rest share a connection; this one can't have a place there now",
            Self::HeldCursor => "close WITH HOLD cursors early, or read within the transaction",
            Self::SqlPrepare => "statements that the driver prepares by protocol need no pin",
            Self::TemporaryObject => "ON COMMIT DROP, or DROP it as soon as it isn't needed any more",
            Self::TemporarySlot => "drop the slot as soon as it isn't needed any more",
            Self::Seed => "a seed can't be moved nor cleared: the server ends with its client",
            Self::Library => "preload the library (session_preload_libraries), so that nobody has to LOAD it",
            Self::ExternalConnection => "close named dblink connections early, or don't name them",
            Self::ReplicationOrigin | Self::Backup => "use a direct connection for this",
            Self::PlGlobals => "globals of PL/Python, PL/Perl or PL/Tcl can't be moved nor cleared",
            Self::Unknown => "PostgreSQL couldn't be asked for the session's state; it is asked again",
            Self::Sequence => "INSERT … RETURNING gives the value at once",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Effects that no question shows and no reset clears, with the reason each gives.
const STICKY: [(Effects, Reason); 6] = [
    (Effects::SEED, Reason::Seed),
    (Effects::LOAD, Reason::Library),
    (Effects::EXTCONN_UNNAMED, Reason::ExternalConnection),
    (Effects::ORIGIN, Reason::ReplicationOrigin),
    (Effects::BACKUP, Reason::Backup),
    (Effects::PL_GLOBALS, Reason::PlGlobals),
];

/// The reasons of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    pub residue: Residue,
    sticky: Effects,
    /// PostgreSQL could not be asked; it will be the next time.
    pub unknown: bool,
    /// Whether the server has values of its sequences.
    pub sequences: Keep,
}

/// What a client does with its server between two transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its session is there and nowhere else.
    Needed(Reason),
    /// It is there for the channels, which may go elsewhere.
    Channels,
    /// It can do without.
    Convenient(Keep),
}

impl Pins {
    /// `None`: the server is anyone's.
    pub fn hold(&self) -> Option<Hold> {
        if self.is_empty() {
            return None;
        }
        Some(match self.reasons().next()? {
            Reason::Sequence => Hold::Convenient(self.sequences),
            Reason::Listen if self.of_others().are_only(Reason::Listen) => Hold::Channels,
            first => Hold::Needed(first),
        })
    }

    /// Without what the next client needn't care about.
    pub fn of_others(self) -> Self {
        Self { sequences: Keep::No, ..self }
    }

    /// Notes what only the end of the session clears. Connections of dblink are such where nobody may ask for them.
    pub fn stick(&mut self, effects: Effects, lexicon: &Lexicon) {
        if effects.contains(Effects::EXTCONN) && lexicon.edition().routines.dblink_schema().is_none() {
            self.sticky |= Effects::EXTCONN_UNNAMED;
        }
        for (effect, _) in STICKY {
            if effects.intersects(effect) {
                self.sticky |= effect;
            }
        }
    }

    /// With the residue as PostgreSQL just counted it.
    pub fn counted(self, residue: Residue) -> Self {
        Self { residue, unknown: false, ..self }
    }

    /// Whether `DISCARD ALL` leaves something of this in the session, so that only the session's end clears it.
    pub fn outlive_discard(&self) -> bool {
        !self.sticky.is_empty() || self.residue.temporary_slots > 0 || self.residue.connections > 0
    }

    /// Whether the session has texts of its own that nobody judged: statements prepared by SQL, triggers and defaults
    /// of temporary tables.
    pub fn hide_texts(&self) -> bool {
        self.residue.sql_statements > 0 || self.residue.temporary_objects > 0
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing but `reason` is there.
    pub fn are_only(&self, reason: Reason) -> bool {
        self.reasons().eq([reason])
    }

    pub fn reasons(&self) -> impl Iterator<Item = Reason> + '_ {
        let residue = &self.residue;
        let counted = [
            (residue.advisory_locks, Reason::AdvisoryLock),
            (residue.channels, Reason::Listen),
            (residue.held_cursors, Reason::HeldCursor),
            (residue.sql_statements, Reason::SqlPrepare),
            (residue.temporary_objects, Reason::TemporaryObject),
            (residue.temporary_slots.into(), Reason::TemporarySlot),
            (residue.connections.into(), Reason::ExternalConnection),
            (u32::from(self.unknown), Reason::Unknown),
        ];
        let told = |reason| reason == Reason::ExternalConnection && residue.connections > 0;
        let sticky =
            STICKY.into_iter().filter(move |&(effect, reason)| self.sticky.contains(effect) && !told(reason));
        counted
            .into_iter()
            .filter(|&(count, _)| count > 0)
            .map(|(_, reason)| reason)
            .chain(sticky.map(|(_, reason)| reason))
            .chain((self.sequences != Keep::No).then_some(Reason::Sequence))
    }
}

/// The reasons, as in `advisory_lock, temporary_object`.
impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<&str> = self.reasons().map(Reason::as_str).collect();
        f.write_str(&reasons.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(pins: Pins) -> Vec<Reason> {
        pins.reasons().collect()
    }

    #[test]
    fn only_what_nothing_shows_sticks() {
        let mut pins = Pins::default();
        let lexicon = Lexicon::default();
        pins.stick(Effects::GUC | Effects::ADVISORY | Effects::OPAQUE | Effects::TEMP, &lexicon);
        assert!(pins.is_empty() && !pins.outlive_discard());
        for (effect, reason) in STICKY {
            let mut pins = Pins::default();
            pins.stick(effect | Effects::GUC, &lexicon);
            assert_eq!(reasons(pins), [reason]);
            assert!(pins.outlive_discard());
            assert_eq!(reasons(pins.counted(Residue::default())), [reason], "no count ends it");
        }
    }

    #[test]
    fn a_client_can_do_without_the_values_of_sequences_only() {
        let mut pins = Pins { sequences: Keep::IfIdle, ..Pins::default() };
        assert_eq!(pins.hold(), Some(Hold::Convenient(Keep::IfIdle)));
        assert!(pins.of_others().is_empty());
        pins.residue.channels = 1;
        assert_eq!(pins.hold(), Some(Hold::Channels));
        pins.residue.temporary_objects = 1;
        assert_eq!(pins.hold(), Some(Hold::Needed(Reason::Listen)));
    }

    #[test]
    fn what_is_left_is_taken_away_by_its_own_statements_where_they_suffice() {
        let left = Residue { advisory_locks: 2, temporary_objects: 1, ..Residue::default() };
        assert_eq!(left.release().unwrap(), "SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;");
        assert_eq!(Residue { sql_statements: 1, ..left }.release(), None);
        assert_eq!(Residue { temporary_slots: 1, ..left }.release(), None);
    }

    #[test]
    fn every_reason_has_a_word_of_its_own_and_its_place() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
        let counts = Residue {
            advisory_locks: 1,
            channels: 1,
            held_cursors: 1,
            sql_statements: 1,
            temporary_objects: 1,
            temporary_slots: 1,
            connections: 1,
        };
        let mut pins = Pins { unknown: true, residue: counts, sequences: Keep::Yes, ..Pins::default() };
        STICKY.iter().for_each(|&(effect, _)| pins.stick(effect, &Lexicon::default()));
        let mut all = reasons(pins);
        all.sort_unstable();
        assert_eq!(all, Reason::ALL);
    }
}
