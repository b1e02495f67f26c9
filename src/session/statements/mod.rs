//! Prepared statements in transaction mode.
//!
//! A statement text is one [`shared::Statement`], whoever prepared it. What a client prepared is in its own
//! map ([`client`]), what a server has is in the server's ([`server`]); the two meet when a message names a
//! statement. A client's Parse is always a real Parse: it is PostgreSQL that says whether the text is right
//! today. Only a server which lacks the statement later, or has an older copy, gets it again, in front of the
//! client's message and in the same write; whatever it has under that name is closed first.

pub mod client;
pub mod server;
pub mod shared;
