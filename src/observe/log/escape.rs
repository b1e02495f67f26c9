//! Keeps one event one line, and terminals unharmed: control characters are spelled out.
//!
//! tracing-subscriber escapes some of them, newlines not among them. Invariant: each write is one whole event
//! that ends in a newline, which is how tracing-subscriber writes.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Passes text on with control characters escaped, but for the newline at the end of each write.
pub(super) struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn escaped(event: &str) -> String {
    let (line, end) = event.strip_suffix('\n').map_or((event, ""), |line| (line, "\n"));
    let mut safe = String::with_capacity(event.len());
    for c in line.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            // Also the separators that some viewers take for line ends.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a String takes everything");
            }
            c => safe.push(c),
        }
    }
    safe.push_str(end);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_newline_survives() {
        assert_eq!(escaped("a\nb\r\n"), "a\\nb\\r\n");
        assert_eq!(escaped("no end\n\n"), "no end\\n\n");
    }

    #[test]
    fn c0_and_c1_are_spelled_out_and_letters_are_not() {
        assert_eq!(escaped("\x1b[31m\u{9b}2J\0 größe\n"), "\\u{1b}[31m\\u{9b}2J\\u{0} größe\n");
    }
}
