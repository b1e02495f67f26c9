//! `pgweir top`: the status of a running pgweir in a terminal, live; or once as plain text where there is none.
//!
//! `watch` asks `/status.json`, `known` keeps what was answered, `view` makes lines of it. Only this file touches the
//! terminal.

mod detail;
mod known;
mod pools;
mod view;
mod watch;
mod words;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::text::Text;
use ratatui::{DefaultTerminal, Frame};

use crate::config::{self, Environment};

use super::args::Options;
use super::{NO_ENDPOINT, fail, inputs, say};

use known::{Known, Move};
use view::{Room, Theme};
use watch::Answer;

/// How soon a key, or an answer, is noticed.
const TICK: Duration = Duration::from_millis(50);
/// Of the plain text.
const PLAIN_WIDTH: usize = 120;

/// As for `healthcheck`, only the address of the endpoint counts.
pub(super) fn top(options: Options, environment: Environment) -> ExitCode {
    let theme = Theme { colour: environment.get("NO_COLOR").is_none_or(String::is_empty) };
    let Some(address) = config::http_address(inputs(options, environment)) else {
        return fail(NO_ENDPOINT);
    };
    let answers = watch::watch(address.clone());
    let first = answers.recv().expect("it sends as long as we listen");
    let known = match first {
        Ok(status) => Known::new(address.to_string(), status),
        Err(why) => return fail(&format!("http://{address}/status.json: {why}")),
    };
    if !io::stdout().is_terminal() {
        return say(plain(&known).as_bytes());
    }
    match live(known, &answers, theme) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the terminal: {error}")),
    }
}

/// All of it, once.
fn plain(known: &Known) -> String {
    let lines = view::lines(known, Room { width: PLAIN_WIDTH, height: None }, Theme { colour: false });
    lines.iter().map(|line| format!("{}\n", line.to_string().trim_end())).collect()
}

fn live(known: Known, answers: &Receiver<Answer>, theme: Theme) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let ended = follow(&mut terminal, known, answers, theme);
    ratatui::try_restore()?;
    ended
}

fn follow(
    terminal: &mut DefaultTerminal,
    mut known: Known,
    answers: &Receiver<Answer>,
    theme: Theme,
) -> io::Result<()> {
    let mut is_drawn = false;
    loop {
        if !is_drawn {
            terminal.draw(|frame| draw(frame, &known, theme))?;
        }
        is_drawn = true;
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) if is_end(key) => return Ok(()),
                Event::Key(key) => known.select(movement(key)),
                _ => {} // most likely another size
            }
            is_drawn = false;
        }
        for answer in answers.try_iter() {
            known.take(answer);
            is_drawn = false;
        }
    }
}

fn draw(frame: &mut Frame<'_>, known: &Known, theme: Theme) {
    let area = frame.area();
    let room = Room { width: area.width.into(), height: Some(area.height.into()) };
    frame.render_widget(Text::from(view::lines(known, room, theme)), area);
}

fn is_end(key: KeyEvent) -> bool {
    let is_control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release && (key.code == KeyCode::Char('q') || is_control_c)
}

fn movement(key: KeyEvent) -> Move {
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => Move::By(-1),
        KeyCode::Down | KeyCode::Char('j') => Move::By(1),
        KeyCode::PageUp => Move::By(-10),
        KeyCode::PageDown => Move::By(10),
        KeyCode::Home => Move::Worst,
        _ => Move::By(0),
    }
}

#[cfg(test)]
mod tests;
