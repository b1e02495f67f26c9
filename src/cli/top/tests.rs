//! What the terminal shows of samples.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::advice::verdict::Verdict;
use crate::observe::status::Status;

#[path = "../../../tests/page/sample.rs"]
mod sample;

const COLOUR: Theme = Theme { colour: true };

fn known(status: Status) -> Known {
    Known::new("127.0.0.1:9632".to_owned(), status)
}

/// The terminal after one picture.
fn terminal(known: &Known, (width, height): (u16, u16), theme: Theme) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("no terminal is needed");
    let drawn = terminal.draw(|frame| draw(frame, known, theme));
    drawn.expect("memory takes everything");
    terminal.backend().clone()
}

/// Its lines, without blanks at their ends.
fn screen(known: &Known, size: (u16, u16)) -> Vec<String> {
    let backend = terminal(known, size, COLOUR);
    let rows = backend.buffer().content().chunks(size.0.into());
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let screen = screen(&known(sample::busy()), (80, 24));
    let wanted = [
        "pgweir 0.1.0 · 127.0.0.1:9632 · serving for 2 h 3 min · 412 of 10000 clients · …",
        "Clients suffer in 1 of 3 pools",
        "",
        "  POOL           VERDICT     SERVERS    UTILISATION  WAIT     P50     P99   TX/S",
        "▸ shop / app     saturated     20/20 ▂▄▄▆████ 100 %    34   41 ms  180 ms   1450",
        "  billing / inv… oversized      1/20 ▁▁▁▁▁▁▁▁   5 %     0       0       0   72.5",
        "  shop / reports healthy        8/20 ▄▄▄▃▄▄▄▄  40 %     0       0       0    580",
        "",
        "shop / app: saturated for 4 min",
    ];
    assert_eq!(screen[..wanted.len()], wanted, "{}", screen.join("\n"));
    let text = screen.join("\n");
    for wanted in ["size 20 → 26", "application checkout: 61 %", "checkout", "12 s ago", "q quit"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert_eq!(screen.len(), 24);
}

#[test]
fn many_pools_stand_worst_first_and_can_be_walked_through() {
    let mut known = known(sample::many(200));
    assert!(screen(&known, (80, 24))[4].contains("tenant025"));
    for _ in 0..30 {
        known.select(Move::By(10));
    }
    let last = screen(&known, (80, 24));
    assert!(last.iter().any(|line| line.starts_with("▸ tenant") && line.contains(" idle ")), "{last:?}");
    known.select(Move::Worst);
    assert!(screen(&known, (80, 24))[4].starts_with("▸ tenant025"));
}

#[test]
fn no_size_is_too_small() {
    for size in [(1, 1), (10, 3), (20, 5), (40, 10), (300, 100)] {
        screen(&known(sample::busy()), size);
        screen(&known(Status { pools: Vec::new(), ..sample::quiet() }), size);
    }
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let colours = |theme| {
        let backend = terminal(&known(sample::busy()), (80, 24), theme);
        backend
            .buffer()
            .content()
            .iter()
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert!(colours(COLOUR) > 0);
    assert_eq!(colours(Theme { colour: false }), 0);
}

#[test]
fn a_lost_connection_is_told_and_the_latest_status_stays() {
    let mut known = known(sample::busy());
    known.take(Err("Connection refused".to_owned()));
    let lost = screen(&known, (80, 24));
    assert_eq!(lost[1], "CONNECTION LOST, asking again: Connection refused");
    assert!(lost[4].contains("shop / app"), "{lost:?}");
    known.take(Ok(sample::quiet()));
    assert_eq!(screen(&known, (80, 24))[1], "Nobody waits worth speaking of (1 pool)");
}

#[test]
fn new_points_join_the_old_ones_of_the_same_process() {
    let first = sample::quiet();
    let mut known = known(first.clone());
    let mut next = first.clone();
    next.pools[0].history.first = 178;
    next.pools[0].history.utilisation = vec![1.0; 4];
    known.take(Ok(next.clone()));
    let history = &known.status.pools[0].history;
    assert_eq!((history.first, history.utilisation.len()), (2, 180));
    assert_eq!(history.utilisation[..176], first.pools[0].history.utilisation[2..178]);
    assert_eq!(history.utilisation[176..], [1.0; 4]);

    next.process.started += 1.0;
    known.take(Ok(next));
    assert_eq!(known.status.pools[0].history.utilisation, [1.0; 4]);
}

#[test]
fn a_selected_pool_stays_selected_when_others_come_before_it() {
    let mut known = known(sample::quiet());
    known.select(Move::By(1));
    let mut status = sample::quiet();
    status.pools.push(sample::pool("other", "app", Verdict::UpstreamDown, 1.0));
    known.take(Ok(status));
    let screen = screen(&known, (80, 24));
    assert!(screen[4].starts_with("  other / app"), "{screen:?}");
    assert!(screen[5].starts_with("▸ shop / app"), "{screen:?}");
}

#[test]
fn the_plain_text_has_everything_and_moves_no_cursor() {
    let mut status = sample::busy();
    status.pools[0].user = "a\x1b[2Jb".to_owned();
    let text = plain(&known(status));
    for wanted in ["PINNED BY", "cron", "4019", "idle in transaction"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(text.contains("a\u{fffd}[2Jb") && !text.contains('\x1b'), "{text}");
    assert!(text.contains("healthy → tight") && !text.contains("quit"), "{text}");
}
