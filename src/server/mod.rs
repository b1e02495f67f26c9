//! One backend connection: open it, lend it, close it.

pub mod ask;
pub mod cancel;
pub mod catalog;
pub mod connect;
pub mod connection;
pub mod credentials;
pub mod derive;
pub mod discard;
pub mod encrypt;
pub mod keeper;
pub mod known;
pub mod lease;
pub mod lend;
pub mod listener;
mod login;
pub mod lookup;
pub mod open;
pub mod password_command;
pub mod pools;
pub mod restore;
pub mod upstream;

#[cfg(test)]
mod tests;
