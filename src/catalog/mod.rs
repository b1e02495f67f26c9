//! What pgweir knows of a database beyond its connections: what settings reset to, which routines change session
//! state, and how old our knowledge of its schema and defaults is.
//!
//! Depends on `sql`. Invariant: all of it was told by PostgreSQL; nothing here asks, waits or expires by itself.
#![deny(clippy::disallowed_methods)]

mod baseline;
mod epoch;
pub mod queries;
mod routines;

pub use baseline::Baseline;
pub use epoch::{DefaultsEpoch, DefaultsWatch, Epochs, SchemaEpoch};
pub use routines::{Definition, Routines};
