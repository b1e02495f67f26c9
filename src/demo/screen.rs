//! What the demo shows: headings, sentences, one line that changes while clients work, a table.
//!
//! Depends on anstream, which drops colour where the output is no terminal or `NO_COLOR` is set. A broken pipe is
//! not an error: whoever stopped reading has seen enough.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// Columns that the changing line takes.
const WIDTH: usize = 78;

/// Without a terminal the changing line is printed as a line of its own, this often.
const LINE_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Screen {
    out: anstream::Stdout,
    terminal: bool,
    last_line: Option<Instant>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { out: anstream::stdout(), terminal: std::io::stdout().is_terminal(), last_line: None }
    }

    pub(super) fn heading(&mut self, text: impl Display) {
        self.print(format_args!("\n{BOLD}{text}{PLAIN}\n"));
    }

    pub(super) fn line(&mut self, text: impl Display) {
        self.print(format_args!("  {text}\n"));
    }

    /// A sentence with a verdict before it.
    pub(super) fn verdict(&mut self, good: bool, text: impl Display) {
        let (colour, sign) = if good { (GREEN, "✓") } else { (RED, "✗") };
        self.print(format_args!("  {colour}{sign}{PLAIN} {text}\n"));
    }

    /// Replaces the changing line.
    pub(super) fn live(&mut self, text: impl Display) {
        if self.terminal {
            // Blanks cover what the last text leaves; an escape sequence would not pass NO_COLOR.
            self.print(format_args!("\r{:WIDTH$}", format!("  {text}")));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.line(text);
        }
    }

    /// The changing line is over.
    pub(super) fn settle(&mut self) {
        self.last_line = None;
        if self.terminal {
            self.print(format_args!("\r{:WIDTH$}\r", ""));
        }
    }

    pub(super) fn table(&mut self, rows: &[(&str, String)]) {
        let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let values = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or_default();
        for (name, value) in rows {
            self.line(format_args!("{name:names$}  {BOLD}{value:>values$}{PLAIN}"));
        }
    }

    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text).and_then(|()| self.out.flush());
    }
}
