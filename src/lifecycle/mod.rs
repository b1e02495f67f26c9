//! Building the process and ending it.

pub mod certificates;
pub mod drain;
mod pulse;
pub mod run;
pub mod signals;
mod vacate;
