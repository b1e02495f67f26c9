//! Building the process and ending it.

pub mod certificates;
pub mod drain;
mod files;
mod pulse;
mod rules;
pub mod run;
pub mod signals;
mod vacate;
