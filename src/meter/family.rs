//! What a metric is: a name, a kind, a sentence, and how to read it from its source.
//!
//! Rows of this type describe every metric of pgweir, here ([`super::table`]) and in `observe` for the sources
//! that live above this room. Names follow Prometheus' rules ("Metric and label naming"): base units, `_total`
//! behind counters.

use std::time::Duration;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word in a `# TYPE` line.
    pub fn text(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One number; times become seconds where they are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Count(u64),
    Time(Duration),
    /// Not negative.
    Ratio(f64),
}

/// A histogram as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Inclusive upper bounds in microseconds.
    pub bounds_us: &'static [u64],
    /// One count a bound and one beyond; not cumulative.
    pub counts: Vec<u64>,
    pub sum: Duration,
}

/// How to read a metric from its source `S`.
pub enum Read<S> {
    One(fn(&S) -> Value),
    /// One number for each value of the label that is named here.
    By(&'static str, fn(&S) -> Vec<(&'static str, Value)>),
    /// The same for values that aren't known beforehand. They may come from the network.
    Named(&'static str, fn(&S) -> Vec<(String, Value)>),
    Spread(fn(&S) -> Distribution),
}

/// One row: one metric family.
pub struct Family<S> {
    /// The whole name, so that a search for it finds the row.
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    pub read: Read<S>,
}

impl<S> Family<S> {
    pub const fn counter(name: &'static str, help: &'static str, read: Read<S>) -> Self {
        Self { name, kind: Kind::Counter, help, read }
    }

    pub const fn gauge(name: &'static str, help: &'static str, read: Read<S>) -> Self {
        Self { name, kind: Kind::Gauge, help, read }
    }

    pub const fn histogram(name: &'static str, help: &'static str, read: fn(&S) -> Distribution) -> Self {
        Self { name, kind: Kind::Histogram, help, read: Read::Spread(read) }
    }
}
