//! The latest things worth knowing, for those who look at the process; the log has them all.
//!
//! Bounded: an old one makes way for a new one. Time is given as what has passed since the epoch.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// As many are kept.
const KEPT: usize = 200;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Counts up from 1.
    pub number: u64,
    pub at: Duration,
    pub kind: EventKind,
    pub severity: Severity,
    /// Database and user of the pool that it is about.
    pub pool: Option<(String, String)>,
    /// For people.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    SaturationBegan,
    SaturationEnded,
    VerdictChanged,
    UpstreamDown,
    UpstreamUp,
    /// Clients were refused, or waited in vain.
    LimitHit,
    SlowTransaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
}

/// The ring in which they stand.
#[derive(Debug, Default)]
pub struct NewsRing(Mutex<(u64, VecDeque<News>)>);

impl NewsRing {
    /// The number is given here.
    pub fn add(&self, mut news: News) {
        let (last, ring) = &mut *self.0.lock();
        *last += 1;
        news.number = *last;
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(news);
    }

    /// Oldest first.
    pub fn read(&self) -> Vec<News> {
        self.0.lock().1.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_way() {
        let ring = NewsRing::default();
        for at in 0..KEPT as u64 + 3 {
            ring.add(News {
                number: 0,
                at: Duration::from_secs(at),
                kind: EventKind::LimitHit,
                severity: Severity::Info,
                pool: None,
                text: String::new(),
            });
        }
        let read = ring.read();
        assert_eq!((read.len(), read[0].number, read[0].at.as_secs()), (KEPT, 4, 3));
    }
}
