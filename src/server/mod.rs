//! One backend connection: open it, lend it, close it.

pub mod connect;
pub mod derive;
pub mod upstream;
