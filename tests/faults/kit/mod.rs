//! What the cases are made with: the real program and PostgreSQL, a network that breaks, a server that lies.
//! The client that says any bytes is the testkit's.

pub mod cluster;
pub mod fake;
pub mod house;
pub mod network;

use std::thread;
use std::time::{Duration, Instant};

pub use house::House;
pub use network::{Network, Weather};
pub use pgweir_testkit::client::{Client, PATIENCE};
pub use pgweir_testkit::message::{Message, brief};

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until something is true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// The SQLSTATEs of the errors in an answer.
pub fn errors(heard: &[Message]) -> Vec<String> {
    heard.iter().filter(|message| message.tag == b'E').filter_map(Message::sqlstate).collect()
}
