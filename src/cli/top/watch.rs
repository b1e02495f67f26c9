//! Asks `/status.json` once a second, on a thread of its own: a slow answer must not keep the keyboard waiting.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use hyper::StatusCode;

use crate::cli::endpoint;
use crate::config::TcpAddress;
use crate::observe::status::Status;

const EVERY: Duration = Duration::from_secs(1);

/// The status, or why there is none.
pub(super) type Answer = Result<Status, String>;

/// The answers, as they come; the thread ends when nobody listens any more.
pub(super) fn watch(address: TcpAddress) -> Receiver<Answer> {
    let (sender, answers) = channel();
    thread::spawn(move || {
        let mut last: Option<(f64, u64)> = None; // which process, and the point that comes next
        loop {
            let mut answer = ask(&address, last.map_or(0, |(_, next)| next));
            if let (Ok(status), Some((started, _))) = (&answer, last)
                && status.process.started != started
            {
                answer = ask(&address, 0);
            }
            if let Ok(status) = &answer {
                last = Some((status.process.started, status.history.next));
            }
            if sender.send(answer).is_err() {
                return;
            }
            thread::sleep(EVERY);
        }
    });
    answers
}

/// `since`: leaves out the points of the histories before this one.
fn ask(address: &TcpAddress, since: u64) -> Answer {
    let (code, body) =
        endpoint::get(address, &format!("/status.json?since={since}")).map_err(|why| why.to_string())?;
    if code != StatusCode::OK {
        return Err(format!("it answers {code}; is this pgweir, and of this version?"));
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("its answer is another version's, or not pgweir's: {error}"))
}
