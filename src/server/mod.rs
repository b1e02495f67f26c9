//! One backend connection: open it, lend it, close it.

pub mod upstream;
