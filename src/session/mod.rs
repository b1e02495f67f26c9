//! One exchange between a client and a server: what the client believes, what the server has, the one queue
//! of replies between them, and the proof that a server may be handed on.
//!
//! Two structs without a pointer to each other, [`client::ClientState`] and [`server::Ledger`], are borrowed
//! by an [`exchange::Exchange`] for one message. PostgreSQL makes every reply: pgweir forwards it, drops what
//! answers its own additions, or puts names back; it never invents one that PostgreSQL should give.
#![deny(clippy::disallowed_methods)]

pub mod answers;
pub mod clean;
pub mod client;
pub mod ensure;
pub mod exchange;
mod extended;
mod names;
pub mod notifications;
pub mod params;
pub mod pins;
pub mod replay;
pub mod replies;
pub mod requests;
pub mod segments;
pub mod sequences;
pub mod server;
pub mod settings;
pub mod settle;
mod slot;
pub mod statements;
pub mod switchboard;
mod undo;

#[cfg(test)]
mod exchange_tests;
#[cfg(test)]
mod messages_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod world;
