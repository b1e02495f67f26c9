//! The words in which a pool is judged. They are the labels of metrics and the values in `/status.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a pool is doing; one word at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody asks for anything.
    #[default]
    Idle,
    /// Nobody waits worth speaking of, and servers are to spare.
    Healthy,
    /// Nobody waits long, but little more work would make them.
    Tight,
    /// Clients wait because the servers are busy with work.
    Saturated,
    /// Far more servers are open than the work needs.
    Oversized,
    /// Clients wait, and would not without the pinned servers.
    StarvedByPins,
    /// Clients wait, and would not if transactions didn't pause.
    HeldByIdleTransactions,
    /// Clients wait, and would not if PostgreSQL answered as it did before.
    UpstreamSlow,
    /// Clients wait, and PostgreSQL or a limit over all pools gives no more servers.
    UpstreamLimit,
    /// No server can be opened.
    UpstreamDown,
}

impl Verdict {
    pub const ALL: [Self; 10] = [
        Self::Idle,
        Self::Healthy,
        Self::Tight,
        Self::Saturated,
        Self::Oversized,
        Self::StarvedByPins,
        Self::HeldByIdleTransactions,
        Self::UpstreamSlow,
        Self::UpstreamLimit,
        Self::UpstreamDown,
    ];

    /// The value of a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Healthy => "healthy",
            Self::Tight => "tight",
            Self::Saturated => "saturated",
            Self::Oversized => "oversized",
            Self::StarvedByPins => "starved_by_pins",
            Self::HeldByIdleTransactions => "held_by_idle_transactions",
            Self::UpstreamSlow => "upstream_slow",
            Self::UpstreamLimit => "upstream_limit",
            Self::UpstreamDown => "upstream_down",
        }
    }

    /// Whether clients suffer.
    pub fn is_shortage(self) -> bool {
        !matches!(self, Self::Idle | Self::Healthy | Self::Tight | Self::Oversized)
    }
}

/// As a sentence has it: `starved by pins`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label().replace('_', " "))
    }
}

/// What a share of the servers' time goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The work of one application, by its `application_name`.
    Application,
    /// What pins servers, by reason.
    Pin,
    /// Transactions that wait for their client.
    IdleTransactions,
    /// Transactions far longer than most.
    LongTransactions,
    /// Connections to PostgreSQL that others have: another pool by its user, or who isn't a client of pgweir.
    Connections,
}

/// One of the largest things that keep the servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub kind: CauseKind,
    /// Which application, which reason, which user; empty where there is but one.
    pub name: String,
    /// Of the servers' time (`connections`: of PostgreSQL's connections) in the window, 0 to 1. Causes overlap.
    pub share: f64,
    /// For people.
    pub text: String,
}

/// What to change, and what it would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// For people, complete in itself.
    pub text: String,
    /// The key to change, as `pool.size`; `None` if it isn't a setting of pgweir that helps.
    pub key: Option<String>,
    /// Its value now, and the one that is recommended.
    pub from: Option<u32>,
    pub to: Option<u32>,
    /// 99 % of waits are shorter now, and would be then, in seconds.
    pub wait_p99_s: Option<f64>,
    pub expected_wait_p99_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_json_says() {
        for verdict in Verdict::ALL {
            let json = serde_json::to_string(&verdict).expect("a word");
            assert_eq!(json, format!("\"{}\"", verdict.label()));
        }
    }
}
