//! Numbers and names as a terminal shows them.

use ratatui::text::Span;

/// Blocks of eighths, for curves.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `text` without what would move the cursor, cut to `width` columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if columns(&plain) <= width {
        return plain;
    }
    let mut cut = String::new();
    for c in plain.chars() {
        let longer = format!("{cut}{c}");
        if columns(&longer) >= width {
            break;
        }
        cut = longer;
    }
    if width > 0 { cut + "…" } else { cut }
}

/// [`fit`], and blanks up to `width` behind it…
pub(super) fn left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let blanks = " ".repeat(width.saturating_sub(columns(&text)));
    text + &blanks
}

/// …or before it.
pub(super) fn right(text: &str, width: usize) -> String {
    let text = fit(text, width);
    " ".repeat(width.saturating_sub(columns(&text))) + &text
}

pub(super) fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// `text` in lines of at most `width` columns, broken between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            *line = fit(word, width);
        } else if columns(line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(&fit(word, width));
        } else {
            lines.push(fit(word, width));
        }
    }
    lines
}

/// The curve of `values` in `width` columns, the newest at the right. Each column shows the highest of its values; a
/// full block is `top`, or the highest of all.
pub(super) fn curve(values: &[f64], points: usize, width: usize, top: f64) -> String {
    let top = values.iter().copied().fold(top, f64::max);
    let from = |column: usize| (column * points / width).saturating_sub(points - values.len().min(points));
    let column = |i: usize| {
        let (start, end) = (from(i), from(i + 1));
        let highest = values.get(start..end)?.iter().copied().reduce(f64::max)?;
        let eighth = (highest / top * 8.0).ceil().clamp(1.0, 8.0) as usize - 1;
        Some(BLOCKS[eighth])
    };
    (0..width).map(|i| column(i).unwrap_or(' ')).collect()
}

/// A time in seconds, in the unit that suits it.
pub(super) fn seconds(s: f64) -> String {
    let whole = s as u64;
    match s {
        0.0 => "0".to_owned(),
        s if s < 0.001 => format!("{} µs", short(s * 1e6)),
        s if s < 1.0 => format!("{} ms", short(s * 1e3)),
        s if s < 60.0 => format!("{} s", short(s)),
        s if s < 3600.0 => format!("{} min", whole / 60),
        s if s < 48.0 * 3600.0 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} days", whole / 86_400),
    }
}

pub(super) fn maybe_seconds(s: Option<f64>) -> String {
    s.map_or_else(|| "–".to_owned(), seconds)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Three digits, and more if they stand before the point.
pub(super) fn short(n: f64) -> String {
    let text = match n {
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => return format!("{n:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn bytes(n: u64) -> String {
    let power = if n < 1024 { 0 } else { (n.ilog2() / 10).min(4) };
    let unit = ["B", "KiB", "MiB", "GiB", "TiB"][power as usize];
    format!("{} {unit}", short(n as f64 / 1024_f64.powi(power as i32)))
}

/// A label as a sentence has it.
pub(super) fn words(label: &str) -> String {
    label.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_by_columns_and_moves_no_cursor() {
        assert_eq!(fit("größe", 5), "größe");
        assert_eq!(fit("größer", 5), "größ…");
        assert_eq!(fit("数据库", 5), "数据…");
        assert_eq!(fit("a\x1b[2J\nb", 10), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(
            (left("ab", 4), right("ab", 4), fit("ab", 0)),
            ("ab  ".into(), "  ab".into(), String::new())
        );
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable word", 6), ["unbre…", "word"]);
    }

    #[test]
    fn a_curve_misses_no_peak_and_ends_now() {
        let mut values = vec![0.0; 90];
        values[40] = 1.0;
        assert_eq!(curve(&values, 180, 12, 1.0), "      ▁▁█▁▁▁");
        assert_eq!(curve(&[0.5, 1.0, 2.0], 3, 3, 1.0), "▂▄█");
        assert_eq!(curve(&[], 180, 4, 1.0), "    ");
        assert_eq!(curve(&[1.0; 9], 3, 3, 1.0).chars().count(), 3);
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let times = [0.0, 0.000_05, 0.0123, 1.5, 59.96, 90.0, 7384.0, 200_000.0];
        let shown = ["0", "50 µs", "12.3 ms", "1.5 s", "60 s", "1 min", "2 h 3 min", "2 days"];
        assert_eq!(times.map(seconds), shown);
        assert_eq!([0, 1023, 1024, 24_117_248].map(bytes), ["0 B", "1023 B", "1 KiB", "23 MiB"]);
        assert_eq!(
            (percent(0.996), short(1449.6), maybe_seconds(None)),
            ("100 %".into(), "1450".into(), "–".into())
        );
    }
}
