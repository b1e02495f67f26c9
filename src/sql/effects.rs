//! The set of effects that a text may have on its session.
//!
//! Depends on nothing. Invariant: each effect is one bit; the names below are the whole vocabulary.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// A set of signs found in a text.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Effects(u32);

macro_rules! effects {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Effects {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
        const NAMES: &[(Effects, &str)] = &[$((Effects::$name, stringify!($name)),)*];
    };
}

effects! {
    /// Settings may change; their names are in the analysis.
    GUC = 0;
    /// Settings may change and their names aren't known.
    GUC_ALL = 1;
    /// `SET ROLE`, `SET SESSION AUTHORIZATION` or what undoes them.
    IDENT = 2;
    /// A session-level advisory lock may be taken or released.
    ADVISORY = 3;
    /// Something may come to be in `pg_temp` (with `search_path = pg_temp` any `CREATE` does that), or go.
    TEMP = 4;
    /// `LISTEN` or `UNLISTEN`.
    LISTEN = 5;
    /// The dblink connection without a name may open. No question shows it.
    EXTCONN_UNNAMED = 6;
    /// `DECLARE … WITH HOLD`: a cursor that outlives its transaction. Plain cursors leave no sign.
    CURSOR = 7;
    /// `CLOSE`: a cursor, held or not, may end. `dblink_disconnect`: so may a connection.
    CLOSE = 8;
    /// SQL `PREPARE`.
    SQLPREP = 9;
    /// `EXECUTE` or `DEALLOCATE` of a name, which stands in the analysis. What an `EXECUTE` does is what the
    /// statement of that name does; whoever doesn't know that one must take it for [`OPAQUE`](Self::OPAQUE).
    STMT_REF = 10;
    /// `DEALLOCATE ALL` (also within `DISCARD ALL`).
    DEALLOCATE_ALL = 11;
    /// `DISCARD PLANS | SEQUENCES | TEMP`.
    DISCARD = 12;
    /// `DISCARD ALL`; comes with the effects of its parts.
    DISCARD_ALL = 13;
    /// `currval`, `lastval`: needs what this session's sequences gave before.
    SEQ_READ = 14;
    /// `nextval`, `setval`, and what may call them: `INSERT`, `MERGE`, `COPY`.
    SEQ_WRITE = 15;
    /// `setseed`, `SET SEED`. No question shows it and no reset clears it.
    SEED = 16;
    /// `LOAD`. Nothing unloads.
    LOAD = 17;
    /// A named dblink connection may open.
    EXTCONN = 18;
    /// A replication slot (perhaps a temporary one) may come or go.
    SLOT = 19;
    /// The session's replication origin may be set or reset.
    ORIGIN = 20;
    /// A base backup may begin or end.
    BACKUP = 21;
    /// A procedural language's session globals. No question shows them and no reset clears them.
    PL_GLOBALS = 22;
    /// `DO`, `CALL`, dynamic SQL, or a text that couldn't be read to its end: anything may have happened.
    OPAQUE = 23;
    /// The types of results may change.
    DDL = 24;
    /// What new sessions begin with may change, or who may begin one: roles, databases, privileges on databases.
    DEFAULTS = 25;
    /// `CREATE | ALTER | DROP DATABASE`: may want a database that nobody else uses.
    DATABASE = 26;
    /// `BEGIN` or `START TRANSACTION`.
    TX_BEGIN = 27;
    /// The text is one `COMMIT`, `ROLLBACK [TO]`, `ABORT`, `END` or `PREPARE TRANSACTION`: what a failed
    /// transaction still accepts.
    TX_EXIT = 28;
    /// With [`GUC_ALL`](Self::GUC_ALL): a custom setting (`app.x`) may get a value, and its name doesn't stand in the text.
    /// PostgreSQL lists none of those.
    NAMELESS = 29;
    /// More than one statement.
    MULTI = 30;
    /// `CREATE`, `ALTER` or `IMPORT` of something that runs SQL when it is used, or of a relation to which such things
    /// belong. What only goes (`DROP`) or is temporary doesn't count.
    CATALOG = 31;
}

impl Effects {
    pub const NONE: Self = Self(0);

    /// Effects after which the session's state has to be asked for, or taken into account some other way,
    /// before the server may go to someone else.
    pub const STATE: Self = Self(
        Self::GUC.0
            | Self::GUC_ALL.0
            | Self::IDENT.0
            | Self::ADVISORY.0
            | Self::TEMP.0
            | Self::LISTEN.0
            | Self::CURSOR.0
            | Self::SQLPREP.0
            | Self::DISCARD_ALL.0
            | Self::SEED.0
            | Self::LOAD.0
            | Self::EXTCONN.0
            | Self::EXTCONN_UNNAMED.0
            | Self::SLOT.0
            | Self::ORIGIN.0
            | Self::BACKUP.0
            | Self::PL_GLOBALS.0
            | Self::NAMELESS.0
            | Self::OPAQUE.0
            | Self::CATALOG.0,
    );

    /// Effects after which the session may have custom settings that nobody knows by name.
    pub const HIDES_NAMES: Self = Self::NAMELESS.or(Self::OPAQUE);

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in the set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set as a number, for an atomic.
    pub const fn bits(self) -> u32 {
        self.0
    }

    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// `|` for constants.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Effects {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Effects {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Set difference.
impl Sub for Effects {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The names, joined by `|`, as in `GUC|MULTI`; `-` for the empty set.
impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut between = "";
        for (effect, name) in NAMES {
            if self.contains(*effect) {
                write!(f, "{between}{name}")?;
                between = "|";
            }
        }
        Ok(())
    }
}
