//! `pgweir demo`: what pooling does, shown on this machine; and the throw-away PostgreSQL that the tests use too.
//!
//! Depends on PostgreSQL's programs and on pgweir's command line, since it runs pgweir as a user would.

mod binaries;
pub mod cluster;
mod home;

pub use binaries::{Binaries, NotFound};
