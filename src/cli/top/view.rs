//! What is known, as lines: pure, so that a test can read them.
//!
//! From top to bottom: the process, how things are, the pools, the pool that is looked at, the latest events. With a
//! height, each part gets its share and the last line tells the keys; without, all is there.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use crate::advice::verdict::Verdict;
use crate::observe::status::{Event, Phase, Pool, Status};

use super::known::Known;
use super::words::{bytes, fit, right, seconds};
use super::{detail, pools};

const KEYS: &str = "q quit · ↑ ↓ choose a pool · Home the worst";
/// Lines that events may take where the height is given.
const EVENTS: usize = 4;
/// Beside the pools and the details: process, headline, two blanks, head of the table, keys.
const FIXED: usize = 6;

/// What there is room for, in columns and lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub width: usize,
    pub height: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub colour: bool,
}

impl Theme {
    pub(super) fn verdict(self, verdict: Verdict) -> Style {
        match verdict {
            Verdict::Healthy => self.in_colour(Color::Green),
            Verdict::Idle => Style::new(),
            Verdict::Tight | Verdict::Oversized => self.in_colour(Color::Yellow),
            _ => self.in_colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn in_colour(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

pub(super) fn name(pool: &Pool) -> String {
    format!("{} / {}", pool.database, pool.user)
}

pub(super) fn lines(known: &Known, room: Room, theme: Theme) -> Vec<Line<'static>> {
    let Room { width, height } = room;
    let status = &known.status;
    let mut events = events(status, width);
    let mut details = status
        .pools
        .get(known.selected_row())
        .map_or_else(Vec::new, |pool| detail::lines(pool, status.now, width, theme));
    let mut shown = status.pools.len();
    if height.is_none() && !events.is_empty() {
        details.push(Line::default());
    }
    if let Some(height) = height {
        events.truncate(EVENTS);
        let free = height.saturating_sub(FIXED + events.len());
        // The pools may have half of it, and what the details leave.
        shown = shown.min((free / 2).max(free.saturating_sub(details.len()))).max(1);
        details.truncate(free.saturating_sub(shown));
    }
    let mut lines = vec![process(known, width), headline(known, width, theme), Line::default()];
    lines.push(pools::head(width));
    let first = (known.selected_row() + 1).saturating_sub(shown);
    for (i, pool) in status.pools.iter().enumerate().skip(first).take(shown) {
        lines.push(pools::row(pool, status.history, i == known.selected_row(), width, theme));
    }
    lines.push(Line::default());
    lines.extend(details);
    lines.extend(events);
    if let Some(height) = height {
        lines.truncate(height.saturating_sub(1));
        lines.resize(height.saturating_sub(1), Line::default());
        lines.push(Line::styled(fit(KEYS, width), Style::new().add_modifier(Modifier::DIM)));
    }
    lines
}

fn process(known: &Known, width: usize) -> Line<'static> {
    let process = &known.status.process;
    let phase = match process.phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    };
    let memory =
        process.usage.map_or_else(String::new, |usage| format!(" · {}", bytes(usage.resident_bytes)));
    let facts = format!(
        "pgweir {} · {} · {phase} for {} · {} of {} clients{memory}",
        process.version,
        known.address,
        seconds(process.uptime_s),
        process.clients,
        process.clients_limit
    );
    Line::raw(fit(&facts, width))
}

fn headline(known: &Known, width: usize, theme: Theme) -> Line<'static> {
    let pools = &known.status.pools;
    let short = pools.iter().filter(|pool| pool.standing.verdict.is_shortage()).count();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (text, style) = match (&known.lost, short, pools.len()) {
        (Some(why), ..) => (format!("CONNECTION LOST, asking again: {why}"), theme.in_colour(Color::Red)),
        (None, _, 0) => ("No pool yet: nobody has logged in".to_owned(), Style::new()),
        (None, 0, n) => {
            (format!("Nobody waits worth speaking of ({})", some(n)), theme.in_colour(Color::Green))
        }
        (None, short, n) => {
            (format!("Clients suffer in {short} of {}", some(n)), theme.in_colour(Color::Red))
        }
    };
    Line::styled(fit(&text, width), style.patch(bold))
}

fn some(pools: usize) -> String {
    if pools == 1 { "1 pool".to_owned() } else { format!("{pools} pools") }
}

/// Newest first.
fn events(status: &Status, width: usize) -> Vec<Line<'static>> {
    let line = |event: &Event| {
        let pool = match (&event.database, &event.user) {
            (Some(database), Some(user)) => format!("{database} / {user}: "),
            _ => String::new(),
        };
        let ago = right(&seconds((status.now - event.at).max(0.0).round()), 11);
        Line::raw(fit(&format!("{ago} ago  {pool}{}", event.text), width))
    };
    status.events.iter().rev().map(line).collect()
}
