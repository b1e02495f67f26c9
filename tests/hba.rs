//! Who gets in, by which method, from where: pgweir beside a PostgreSQL that was given the same rules; and the
//! passwords with which pgweir gets into servers.
#![allow(clippy::disallowed_methods, unreachable_pub, dead_code)]

#[path = "tls/authority.rs"]
mod authority;
#[path = "hba/credentials.rs"]
mod credentials;
#[path = "hba/kit.rs"]
mod kit;
#[path = "hba/lines.rs"]
mod lines;
#[path = "hba/matrix.rs"]
mod matrix;
#[path = "hba/peer.rs"]
mod peer;
#[path = "hba/reload.rs"]
mod reload;
