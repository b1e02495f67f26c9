//! Building the process and ending it.

pub mod settings;
