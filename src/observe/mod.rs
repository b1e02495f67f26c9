//! Showing the process to people and machines: metrics, status and health over HTTP, and the log.
//!
//! This room reads what the rooms below count and keep; nothing below knows it. The HTTP server runs on a
//! thread of its own, so that a scrape is answered even when every worker of the runtime is stuck.

pub mod board;
pub mod exposition;
mod history;
pub mod http;
pub mod log;
pub mod page;
pub mod pins;
pub mod pools;
pub mod process;
pub mod readiness;
pub mod scrape;
pub mod status;
pub mod watch;
