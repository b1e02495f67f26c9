//! Who gets which server, when, and who waits: pure decisions about one pool (a database and a user).
#![deny(clippy::disallowed_methods)]

pub mod settings;
pub mod snapshot;
