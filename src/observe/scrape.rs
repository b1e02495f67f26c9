//! The page at `/metrics`: all tables, each with its sources.

use super::board::Board;
use super::exposition::{Exposition, Labels};
use super::pools::POOLS;
use super::process::{ABOUT, USAGE, Usage};
use super::watch::{Figures, WATCHED};
use crate::meter::table::COUNTERS;
use crate::pool::snapshot::PoolSnapshot;

/// Reads everything on the board and writes the page.
pub fn page(board: &Board) -> String {
    if let Some(dropped) = &board.dropped_lines {
        board.counters.log_lines_dropped.raise_to(dropped.get());
    }
    let mut page = Exposition::default();
    page.families(ABOUT, &[(&[], &board.about)]);
    if let Some(usage) = Usage::read() {
        page.families(USAGE, &[(&[], &usage)]);
    }
    page.families(COUNTERS, &[(&[], &*board.counters)]);
    pools(&mut page, &(board.pools)());
    watched(&mut page, &board.watch.figures());
    page.into_text()
}

fn watched(page: &mut Exposition, figures: &[Figures]) {
    let labels: Vec<_> = figures.iter().map(|f| [("database", &*f.database), ("user", &*f.user)]).collect();
    let sources: Vec<(Labels<'_>, _)> = labels.iter().map(|l| &l[..]).zip(figures).collect();
    page.families(WATCHED, &sources);
}

fn pools(page: &mut Exposition, pools: &[PoolSnapshot]) {
    let labels: Vec<_> = pools.iter().map(|p| [("database", &*p.database), ("user", &*p.user)]).collect();
    let sources: Vec<(Labels<'_>, _)> = labels.iter().map(|l| &l[..]).zip(pools).collect();
    page.families(POOLS, &sources);
}
