//! Cells to count in, and the table that says what each of them means.
//!
//! Only cold, process-wide events are counted in cells (logins, connections, errors, cancels). What happens per
//! query is [`work`], handed over with its server; it is an account of the pool and read from `pool::snapshot`. Counting never decides anything.
//! Depends on `wire` for the faults' SQLSTATEs alone. A new metric is one field in [`counters`] and one row in
//! [`table`].
#![deny(clippy::disallowed_methods)]

pub mod cell;
pub mod counters;
pub mod family;
pub mod limiter;
pub mod news;
pub mod table;
pub mod visit;
pub mod work;
