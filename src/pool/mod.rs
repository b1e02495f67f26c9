//! Who gets which server, when, and who waits: pure decisions about one pool (a database and a user).
//!
//! [`core::Core`] is the pool. It is generic over what it lends and whom it wakes, so that the same code lends
//! sockets to tasks in production and numbers to a simulation in the tests. Time and randomness are arguments.
//! `docs/design/pool.md` draws the states of a server and says why.
#![deny(clippy::disallowed_methods)]

pub mod accounts;
pub mod applications;
mod codes;
pub mod core;
pub mod health;
mod idle;
pub mod key;
pub mod lifetime;
pub mod limits;
mod queue;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod spread;
pub mod stopwatch;
#[cfg(test)]
mod tests;
