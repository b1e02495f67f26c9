//! What the accounts of a pool mean: how busy it is, why, and what would help.
//!
//! Depends on `pool` for the accounts. Pure: two readings of the same accounts and the time between them are all that
//! it needs. The arithmetic, with its assumptions, is written down in `docs/saturation.md`.
#![deny(clippy::disallowed_methods)]

pub mod verdict;
