//! Proving who someone is, in both directions: pure state machines over message bodies.
#![deny(clippy::disallowed_methods)]

pub mod secret;
pub mod users;
