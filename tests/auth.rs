//! Users that no configuration names: looked up in a real PostgreSQL, and passed through to its servers.
#![allow(clippy::disallowed_methods, unreachable_pub, dead_code, unused_imports)]

#[path = "tls/authority.rs"]
mod authority;
#[path = "auth/hostile.rs"]
mod hostile;
#[path = "auth/keys.rs"]
mod keys;
#[path = "faults/kit/mod.rs"]
mod kit;
#[path = "auth/lookups.rs"]
mod lookups;
#[path = "auth/means.rs"]
mod means;
#[path = "auth/people.rs"]
mod people;
#[path = "auth/secrets.rs"]
mod secrets;
#[path = "auth/storm.rs"]
mod storm;
#[path = "auth/timing.rs"]
mod timing;
