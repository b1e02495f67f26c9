//! What the tests share: a scripted client that speaks the protocol message by message, and the language in which
//! scenarios are written. Independent of pgweir's own code, so that a mistake there can't hide here.

#![allow(clippy::disallowed_methods)] // tests wait

pub mod chance;
pub mod client;
pub mod frontend;
pub mod grammar;
pub mod message;
pub mod play;
pub mod script;
pub mod shrink;
pub mod talk;
