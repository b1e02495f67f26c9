//! Where settings come from, one file a source. Each turns what was typed into [`Setting`](super::layer::Setting)s
//! and interprets no value.

pub mod environment;
pub(in crate::config) mod exposed;
pub mod secret_file;
pub mod toml;
pub mod url;
