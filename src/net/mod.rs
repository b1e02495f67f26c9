//! Sockets: accepting them, dialling them, TLS, and one type for all kinds of them.
//!
//! Depends on tokio, socket2 and rustls and on no other room: nothing here knows PostgreSQL's protocol.

pub mod dial;
pub mod listen;
pub mod options;
pub mod resolve;
pub mod stream;
pub mod tls;
mod unsent;
