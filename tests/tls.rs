//! TLS on both sides, against real peers: psql in front, PostgreSQL behind, a CA of our own, and peers that lie.
#![allow(clippy::disallowed_methods, unreachable_pub)]

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/hostile.rs"]
mod hostile;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/servers.rs"]
mod servers;
