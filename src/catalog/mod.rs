//! What pgweir knows of a database beyond its connections: what settings reset to, which routines change session
//! state, and how old our knowledge of that is.
//!
//! Depends on `sql`. Invariant: all of it was told by PostgreSQL; nothing here asks, waits or expires by itself.
#![deny(clippy::disallowed_methods)]

mod baseline;
mod epoch;
mod lexicon;
pub mod queries;
mod routines;
pub mod users;

pub use baseline::Baseline;
pub use epoch::{DefaultsEpoch, DefaultsWatch, Epochs};
pub use lexicon::{Change, Claim, Edition, Lexicon, Moment};
pub use routines::{Definition, Draft, Routines};

#[cfg(test)]
pub(crate) use routines::tests::routines;
