//! The fault catalogue as tests: each is named by its case number and says what must be true.
#![allow(clippy::disallowed_methods, unreachable_pub)]

#[path = "faults/bytes.rs"]
mod bytes;
#[path = "faults/catalog.rs"]
mod catalog;
#[path = "faults/clients.rs"]
mod clients;
#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/house.rs"]
mod house;
#[path = "faults/listeners.rs"]
mod listeners;
#[path = "faults/neighbours.rs"]
mod neighbours;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/network_proxy.rs"]
mod network_proxy;
#[path = "faults/pins.rs"]
mod pins;
#[path = "faults/process.rs"]
mod process;
#[path = "faults/servers.rs"]
mod servers;
#[path = "faults/state.rs"]
mod state;
