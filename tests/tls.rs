//! TLS on both sides, against real peers: psql in front, PostgreSQL behind, a CA of our own, and peers that lie.
#![allow(clippy::disallowed_methods, unreachable_pub)]

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/drivers.rs"]
mod drivers;
#[path = "tls/hello.rs"]
mod hello;
#[path = "tls/hostile.rs"]
mod hostile;
#[path = "drivers/pair.rs"]
mod pair;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/servers.rs"]
mod servers;
