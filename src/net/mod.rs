//! Sockets: accepting them, dialling them, and one type for all kinds of them.
//!
//! Depends on tokio and socket2 and on no other room: nothing here knows PostgreSQL's protocol.

pub mod dial;
pub mod listen;
pub mod options;
pub mod resolve;
pub mod stream;
mod unsent;
