//! Bytes and messages: the PostgreSQL frontend/backend protocol, versions 3.0 and 3.2, without sockets.
//!
//! Nothing here trusts a length: it is checked as the i32 that it is before anything is skipped, kept or
//! allocated by it. Source: PostgreSQL documentation, "Frontend/Backend Protocol".
#![deny(clippy::disallowed_methods)]

pub mod authentication;
pub mod error;
pub mod fault;
pub mod frame;
pub mod lane;
pub mod read;
pub mod sqlstate;
pub mod startup;
pub mod tag;
pub mod write;
