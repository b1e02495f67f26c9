//! One entry of the reply queue: what a message that was sent awaits, for whom the reply is, and how to take
//! back what the message changed in our maps if the server skips it.

use std::sync::Arc;

use super::statements::client::{Held, Names};
use super::statements::shared::StatementId;
use crate::sql::Renamed;
use crate::wire::fault::Fault;

/// What a message that was sent awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    Query,
    FunctionCall,
    /// CopyDone or CopyFail: nothing comes for it, but Syncs in front of it were read as part of the copy.
    CopyEnd,
}

impl Awaits {
    /// Whether it ends a segment: ReadyForQuery comes for it, and the server flushes.
    pub fn ends_segment(self) -> bool {
        matches!(self, Self::Sync | Self::Query | Self::FunctionCall)
    }
}

/// For whom a reply is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The client's.
    Forward,
    /// Ours; an error is the client's all the same, for its own request can't go on without ours.
    Swallow,
    /// Ours, errors too: the client's request goes on and finds out for itself.
    Hide,
    /// The server was made to fail here so that it rolls back and skips; the client hears this fault.
    Fault(Box<Fault>),
}

/// How to take back what a request changed in the maps.
#[derive(Debug)]
pub enum Undo {
    Nothing,
    /// What the client's unnamed statement was, if the request was the client's. The server's is not known
    /// any more.
    Unnamed {
        client: Option<Option<Held>>,
    },
    /// A Parse of a copy, under the client's name if the client asked for it.
    Parsed {
        name: Option<Arc<[u8]>>,
        id: StatementId,
    },
    /// The server was asked what the rows of a copy, or of the unnamed statement, look like.
    Asked {
        id: StatementId,
        unnamed: bool,
    },
    /// The server's copy was closed.
    CopyClosed(StatementId),
    /// What the server's sequences gave was forgotten.
    SequencesDiscarded,
    /// The client's name was closed.
    NameClosed {
        name: Arc<[u8]>,
        held: Held,
    },
    /// SQL is about to deallocate these names, in this order; each tag confirms one. A name that isn't the
    /// client's is there to keep count.
    Deallocating(Vec<(Arc<[u8]>, Option<Held>)>),
    /// SQL is about to deallocate all names of the client, until a tag confirms it.
    DeallocatingAll(Box<Names>),
    /// A Query's: it drops the unnamed statement before it does anything else, then names.
    Both(Box<(Self, Self)>),
}

impl Undo {
    /// Whether the client's names were changed.
    pub fn is_of_names(&self) -> bool {
        match self {
            Self::Parsed { name, .. } => name.is_some(),
            Self::NameClosed { .. } | Self::Deallocating(_) | Self::DeallocatingAll(_) => true,
            Self::Both(both) => both.0.is_of_names() || both.1.is_of_names(),
            Self::Nothing
            | Self::Unnamed { .. }
            | Self::CopyClosed(_)
            | Self::SequencesDiscarded
            | Self::Asked { .. } => false,
        }
    }

    /// The part that is about the client's names.
    pub fn of_names(&mut self) -> &mut Self {
        match self {
            Self::Both(both) => &mut both.1,
            other => other,
        }
    }

    /// The state of the client's unnamed statement that would be restored.
    pub fn unnamed_of_client(&mut self) -> Option<&mut Option<Held>> {
        match self {
            Self::Unnamed { client } => client.as_mut(),
            Self::Both(both) => both.0.unnamed_of_client(),
            _ => None,
        }
    }

    /// Whether an unnamed statement was changed, the client's or the server's.
    pub fn is_of_unnamed(&self) -> bool {
        match self {
            Self::Unnamed { .. } => true,
            Self::Both(both) => both.0.is_of_unnamed(),
            _ => false,
        }
    }
}

/// The statements that a request is about, with the client's names for them: errors tell those.
#[derive(Clone, Debug)]
pub enum About {
    Nothing,
    Statement(StatementId, Arc<[u8]>),
    /// SQL that names statements.
    Text(Box<Naming>),
}

/// The statements that a text names, and where it was given their names on servers.
#[derive(Clone, Debug)]
pub struct Naming {
    pub names: Vec<(StatementId, Arc<[u8]>)>,
    pub renamed: Renamed,
}

impl About {
    /// The client's name for a statement.
    pub fn name_of(&self, id: StatementId) -> Option<&[u8]> {
        match self {
            Self::Statement(known, name) if *known == id => Some(name),
            Self::Text(naming) => {
                naming.names.iter().find(|(known, _)| *known == id).map(|(_, name)| &**name)
            }
            _ => None,
        }
    }

    /// The position in the client's text of a position that a server told.
    pub fn position_before(&self, position: usize) -> usize {
        match self {
            Self::Text(naming) => naming.renamed.position_before(position),
            Self::Nothing | Self::Statement(..) => position,
        }
    }
}

#[derive(Debug)]
pub struct Slot {
    pub awaits: Awaits,
    pub fate: Fate,
    /// A Query in an extended batch that has no Sync yet.
    pub in_batch: bool,
    pub about: About,
    pub undo: Undo,
}

impl Slot {
    pub fn new(awaits: Awaits, fate: Fate, about: About, undo: Undo) -> Self {
        Self { awaits, fate, in_batch: false, about, undo }
    }

    /// Settings are replayed, and the client's request follows at once.
    pub fn replay() -> Self {
        Self::new(Awaits::Query, Fate::Hide, About::Nothing, Undo::Nothing)
    }

    pub fn is_replay(&self) -> bool {
        self.awaits == Awaits::Query && self.fate == Fate::Hide
    }
}

/// Pipelines may be long.
const _: () = assert!(size_of::<Slot>() <= 112);
