//! One backend connection: open it, lend it, close it.

pub mod connection;
mod keeper;
pub mod lease;
pub mod lend;
pub mod pools;
#[cfg(test)]
mod tests;
pub mod upstream;
