//! pgweir, a PostgreSQL connection pooler.
//!
//! The rooms of the house, from the ground up. A room uses only rooms above it in this list
//! (`tests/tidy.rs` holds that); `docs/architecture.md` shows the way of a query through them.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)] // the pure rooms deny them

#[cfg(test)]
extern crate self as pgweir; // samples are shared with `tests/`

// Ground: bytes and words. No socket, clock, task or environment.
pub mod meter;
pub mod sql;
pub mod wire;

// Core: decisions. Time is a value.
pub mod advice;
pub mod auth;
pub mod catalog;
pub mod pool;
pub mod session;

// Shell: sockets and tasks; does what the core decides.
pub mod client;
pub mod net;
pub mod server;

// Roof: people and the process.
pub mod cli;
pub mod config;
pub mod demo;
pub mod lifecycle;
pub mod observe;
