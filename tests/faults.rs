//! The fault catalogue: what goes wrong around a pooler, each case a test that is named by its number.
//!
//! Each provokes its fault with real sockets, a real PostgreSQL (or one that lies) and the real program, and says
//! what has to happen. Waits are for conditions; limits of time are guards against hangs. Cases that a direct
//! connection can judge are scenarios instead; docs/testing.md says which is where.
#![allow(clippy::disallowed_methods, unreachable_pub)]

#[path = "faults/bytes.rs"]
mod bytes;
#[path = "faults/cancels.rs"]
mod cancels;
#[path = "faults/catalog.rs"]
mod catalog;
#[path = "faults/chaos/mod.rs"]
mod chaos;
#[path = "faults/clients.rs"]
mod clients;
#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/kit/mod.rs"]
mod kit;
#[path = "faults/listeners.rs"]
mod listeners;
#[path = "faults/neighbours.rs"]
mod neighbours;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/pins.rs"]
mod pins;
#[path = "faults/process.rs"]
mod process;
#[path = "faults/replay.rs"]
mod replay;
#[path = "faults/sequences.rs"]
mod sequences;
#[path = "faults/servers.rs"]
mod servers;
#[path = "faults/state.rs"]
mod state;
#[path = "faults/upstream.rs"]
mod upstream;
