//! The table of pools: one line each, as wide as there is room.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::observe::status::{Pool, Steps};

use super::view::Theme;
use super::words::{curve, left, maybe_seconds, percent, right, short};

/// A curve of 15 minutes.
const CURVE: usize = 8;
/// The columns behind the name, the spaces between them included.
const REST: usize = VERDICT + SERVERS + UTILISATION + WAITING + WAIT + WAIT + RATE + 7;
const VERDICT: usize = 11;
const SERVERS: usize = 7;
const UTILISATION: usize = CURVE + 6;
const WAITING: usize = 5;
const WAIT: usize = 7;
const RATE: usize = 6;
/// Where there is room for the longest verdict.
const WIDE: usize = 110;
const MORE_FOR_VERDICT: usize = 15;

pub(super) fn head(width: usize) -> Line<'static> {
    let (name, verdict) = flexible(width);
    let columns = [
        "  ".to_owned() + &left("POOL", name - 2),
        left("VERDICT", verdict),
        right("SERVERS", SERVERS),
        right("UTILISATION", UTILISATION),
        right("WAIT", WAITING),
        right("P50", WAIT),
        right("P99", WAIT),
        right("TX/S", RATE),
    ];
    Line::styled(columns.join(" "), Style::new().add_modifier(Modifier::BOLD))
}

pub(super) fn row(pool: &Pool, steps: Steps, is_selected: bool, width: usize, theme: Theme) -> Line<'static> {
    let (name, verdict) = flexible(width);
    let in_use = pool.servers.active + pool.servers.idle_in_transaction + pool.servers.pinned;
    let points = (15.0 * 60.0 / steps.step_s).round().max(1.0) as usize;
    let history: Vec<_> = pool.history.utilisation.iter().map(|share| f64::from(*share)).collect();
    let curve = curve(&history, points, CURVE, 1.0);
    let mark = if is_selected { "▸ " } else { "  " };
    let style = Style::new().add_modifier(if is_selected { Modifier::BOLD } else { Modifier::empty() });
    let rest = [
        right(&format!("{in_use}/{}", pool.size), SERVERS),
        format!("{curve}{}", right(&percent(pool.now.utilisation), UTILISATION - CURVE)),
        right(&pool.clients.waiting.to_string(), WAITING),
        right(&maybe_seconds(pool.now.wait.p50_s), WAIT),
        right(&maybe_seconds(pool.now.wait.p99_s), WAIT),
        right(&short(pool.now.transactions_per_s), RATE),
    ];
    Line::from(vec![
        Span::styled(mark.to_owned() + &left(&super::view::name(pool), name - 2) + " ", style),
        Span::styled(left(&pool.standing.verdict.to_string(), verdict), theme.verdict(pool.standing.verdict)),
        Span::styled(format!(" {}", rest.join(" ")), style),
    ])
}

/// The widths of the name, its mark included, and of the verdict.
fn flexible(width: usize) -> (usize, usize) {
    let more = if width >= WIDE { MORE_FOR_VERDICT } else { 0 };
    (width.saturating_sub(REST + more).max(12), VERDICT + more)
}
