//! Who set a value, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file that was read, for showing places in it.
#[derive(Debug)]
pub struct SourceText {
    pub path: String,
    /// Everything that could be a secret is overwritten with `*`, byte by byte.
    pub masked: String,
    /// Whether lines of it may be quoted; not where secrets could not be told from the rest.
    pub shown: bool,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Place {
    pub source: Arc<SourceText>,
    pub span: Range<usize>,
}

impl Place {
    /// Both count from 1, the column in characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.source.masked.get(..self.span.start).unwrap_or(&self.source.masked);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Who set a value. The later in this list, the stronger.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    #[default]
    Default,
    File(Place),
    Environment(String),
    Flag(&'static str),
    /// The URL on the command line.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => write!(f, "{}:{}", place.source.path, place.line_and_column().0),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Argument => f.write_str("argument URL"),
        }
    }
}
