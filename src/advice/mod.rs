//! What the accounts of a pool mean: how busy it is, why, and what would help.
//!
//! Depends on `pool` for the accounts. Pure: two readings of the same accounts and the time between them are all that
//! it needs. The arithmetic, with its assumptions, is written down in `docs/saturation.md`.
//!
//! ```text
//!  two readings ──load──▶ rates and means ──judge──▶ verdict ──standing──▶ the one that stands
//!                               └──model──▶ recommend, causes
//! ```
#![deny(clippy::disallowed_methods)]

pub mod causes;
pub mod judge;
pub mod load;
pub mod model;
pub mod recommend;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod verdict;
