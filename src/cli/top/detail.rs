//! The pool that is looked at: what is the matter, what would help, who has its servers. The most important comes first,
//! since a small terminal shows no more.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::observe::status::{Pool, Servers};

use super::view::{Theme, name};
use super::words::{left, maybe_seconds, percent, right, seconds, short, words, wrap};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const INDENT: usize = 2;
/// Of each column behind the first one.
const COLUMN: usize = 9;

pub(super) fn lines(pool: &Pool, now: f64, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![title(pool, now, width, theme)];
    let mut say = |text: &str, style| {
        let wrapped = wrap(text, width.saturating_sub(INDENT));
        lines.extend(wrapped.into_iter().map(|line| Line::styled(format!("  {line}"), style)));
    };
    say(&pool.standing.text, Style::new());
    if let Some(advice) = &pool.advice {
        say(&advice.text, BOLD);
    }
    if !pool.causes.is_empty() {
        let causes: Vec<_> = pool.causes.iter().map(|cause| cause.text.as_str()).collect();
        say(&format!("Because of {}", causes.join("; ")), Style::new());
    }
    say(&servers_now(pool), Style::new());
    say(&clients_now(pool), Style::new());
    lines.extend(applications(pool, width));
    lines.extend(pins(pool, width));
    lines.extend(servers(pool, width));
    lines
}

fn title(pool: &Pool, now: f64, width: usize, theme: Theme) -> Line<'static> {
    let standing = &pool.standing;
    let verdict = format!("{} for {}", standing.verdict, seconds((now - standing.since).max(0.0)));
    let name = left(&name(pool), width.saturating_sub(verdict.len() + 2)).trim_end().to_owned();
    Line::from(vec![
        Span::styled(format!("{name}: "), BOLD),
        Span::styled(verdict, theme.verdict(standing.verdict)),
    ])
}

fn servers_now(pool: &Pool) -> String {
    let Servers { connecting, idle, active, idle_in_transaction, pinned, closing } = pool.servers;
    let states = [
        (active, "active"),
        (idle_in_transaction, "idle in transaction"),
        (pinned, "pinned"),
        (idle, "idle"),
        (connecting, "connecting"),
        (closing, "closing"),
    ];
    let states = states.into_iter().filter(|(n, _)| *n > 0).map(|(n, state)| format!("{n} {state}"));
    let states = states.collect::<Vec<_>>().join(", ");
    let connections = pool.connections.map_or_else(String::new, |connections| {
        format!("; PostgreSQL: {} of {} connections", connections.used, connections.max)
    });
    format!("Servers: {}{connections}", if states.is_empty() { "none" } else { &states })
}

fn clients_now(pool: &Pool) -> String {
    format!(
        "Clients: {}; oldest wait {}; p99 of queries {}, of transactions {}; {} of checkouts waited",
        pool.clients.connected,
        seconds(pool.queue.oldest_wait_s),
        maybe_seconds(pool.now.query.p99_s),
        maybe_seconds(pool.now.transaction.p99_s),
        percent(pool.now.waited_share),
    )
}

fn applications(pool: &Pool, width: usize) -> Vec<Line<'static>> {
    let rows = pool.applications.iter().map(|application| {
        let numbers = [
            application.clients.to_string(),
            short(application.servers),
            application.waits.to_string(),
            seconds(application.waited_s),
        ];
        (shown(&application.name).to_owned(), numbers)
    });
    table(["APPLICATION", "CLIENTS", "SERVERS", "WAITS", "WAITED"], rows.collect(), width)
}

/// An `application_name`, which may be empty.
fn shown(application: &str) -> &str {
    if application.is_empty() { "(no name)" } else { application }
}

fn pins(pool: &Pool, width: usize) -> Vec<Line<'static>> {
    let rows = pool
        .pins
        .iter()
        .map(|pin| (words(&pin.reason), [pin.now.to_string(), pin.total.to_string(), seconds(pin.held_s)]));
    table(["PINNED BY", "NOW", "IN TOTAL", "TIME"], rows.collect(), width)
}

fn servers(pool: &Pool, width: usize) -> Vec<Line<'static>> {
    let rows = pool.server_list.iter().map(|server| {
        let whose =
            server.application.as_deref().map_or_else(String::new, |name| format!(", {}", shown(name)));
        let pin = server.pin.as_deref().map_or_else(String::new, |pin| format!(", {}", words(pin)));
        let name = format!("{}{pin}{whose}", words(&server.state));
        (name, [server.pid.to_string(), seconds(server.for_s), seconds(server.age_s)])
    });
    table(["SERVER", "PID", "FOR", "AGE"], rows.collect(), width)
}

/// The first column takes what the others, of numbers, leave. No rows, no table.
fn table<const HEADS: usize, const N: usize>(
    heads: [&str; HEADS],
    rows: Vec<(String, [String; N])>,
    width: usize,
) -> Vec<Line<'static>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let first = width.saturating_sub(INDENT + N * COLUMN).clamp(8, 60);
    let line = |name: &str, others: Vec<String>| format!("  {}{}", left(name, first), others.concat());
    let head = line(heads[0], heads[1..].iter().map(|head| right(head, COLUMN)).collect());
    let mut lines = vec![Line::styled(head, BOLD)];
    lines.extend(rows.into_iter().map(|(name, numbers)| {
        let numbers = numbers.iter().map(|number| format!(" {}", right(number, COLUMN - 1))).collect();
        Line::raw(line(&name, numbers))
    }));
    lines
}
