//! Prometheus' text format, version 0.0.4, of families and their sources.
//!
//! Sample lines are written here, since the exporter's own writer takes `\\` in a label value for an escape that
//! is there already: two names that differ only in backslashes would become one series. Its HELP and TYPE
//! lines fit and are used.
//!
//! Source: Prometheus documentation, "Exposition formats".

use std::fmt::{self, Write as _};
use std::time::Duration;

use metrics_exporter_prometheus::formatting::{write_help_line, write_type_line};

use crate::meter::family::{Distribution, Family, Read, Value};

/// The media type of [`Exposition::into_text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of one source, in order; values are escaped where they are written.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// The page while it is written.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Writes all `families`, each with its samples from all `sources`. No source, no lines. The labels of any
    /// two sources must differ.
    pub fn families<S>(&mut self, families: &[Family<S>], sources: &[(Labels<'_>, &S)]) {
        if sources.is_empty() {
            return;
        }
        for family in families {
            write_help_line(&mut self.0, family.name, None, None, family.help);
            write_type_line(&mut self.0, family.name, None, None, family.kind.text());
            for (labels, source) in sources {
                self.samples(family, labels, source);
            }
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }

    fn samples<S>(&mut self, family: &Family<S>, labels: Labels<'_>, source: &S) {
        match &family.read {
            Read::One(read) => self.line(family.name, "", labels, None, read(source)),
            Read::By(label, read) => {
                for (text, value) in read(source) {
                    self.line(family.name, "", labels, Some((label, text)), value);
                }
            }
            Read::Named(label, read) => {
                for (text, value) in read(source) {
                    self.line(family.name, "", labels, Some((label, &text)), value);
                }
            }
            Read::Spread(read) => self.spread(family.name, labels, &read(source)),
        }
    }

    /// A histogram: cumulative buckets, the last of them `+Inf` and equal to the count.
    fn spread(&mut self, name: &str, labels: Labels<'_>, spread: &Distribution) {
        debug_assert_eq!(spread.counts.len(), spread.bounds_us.len() + 1, "one count a bound and one beyond");
        let mut total = 0;
        for (i, count) in spread.counts.iter().enumerate() {
            total += count;
            let bound = spread.bounds_us.get(i).map(|us| Seconds(Duration::from_micros(*us)).to_string());
            let le = bound.as_deref().unwrap_or("+Inf");
            self.line(name, "_bucket", labels, Some(("le", le)), Value::Count(total));
        }
        self.line(name, "_sum", labels, None, Value::Time(spread.sum));
        self.line(name, "_count", labels, None, Value::Count(total));
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: Labels<'_>,
        extra: Option<(&str, &str)>,
        value: Value,
    ) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        let mut before = '{';
        for (label, text) in labels.iter().copied().chain(extra) {
            self.0.push(before);
            before = ',';
            write!(self.0, "{label}=\"{}\"", Escaped(text)).expect("a String takes everything");
        }
        if before == ',' {
            self.0.push('}');
        }
        match value {
            Value::Count(count) => writeln!(self.0, " {count}"),
            Value::Time(time) => writeln!(self.0, " {}", Seconds(time)),
            Value::Ratio(ratio) => writeln!(self.0, " {ratio:.6}"),
        }
        .expect("a String takes everything");
    }
}

/// A time in seconds, exact to the nanosecond, never with an exponent.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        if nanos == 0 {
            return write!(f, "{}", self.0.as_secs());
        }
        let digits = format!("{nanos:09}");
        write!(f, "{}.{}", self.0.as_secs(), digits.trim_end_matches('0'))
    }
}

/// A label value. Control characters, legal in the format, are spelled out for the terminals that show it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str(r"\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str(r"\n")?,
                c if c.is_control() => write!(f, r"\\x{:02x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Source {
        n: u64,
    }

    fn page(families: &[Family<Source>], sources: &[(Labels<'_>, &Source)]) -> String {
        let mut page = Exposition::default();
        page.families(families, sources);
        page.into_text()
    }

    #[test]
    fn a_family_has_one_head_and_a_line_a_source() {
        let row = [Family::counter("x_total", "What x is.", Read::One(|s: &Source| Value::Count(s.n)))];
        let (one, two) = (Source { n: 1 }, Source { n: 2 });
        assert_eq!(
            page(&row, &[(&[("user", "a")], &one), (&[("user", "b")], &two)]),
            "# HELP x_total What x is.\n# TYPE x_total counter\nx_total{user=\"a\"} 1\nx_total{user=\"b\"} 2\n"
        );
    }

    #[test]
    fn no_source_no_lines() {
        let row = [Family::gauge("x", "X.", Read::One(|s: &Source| Value::Count(s.n)))];
        assert_eq!(page(&row, &[]), "");
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let row = [Family::histogram("x_seconds", "X.", |_: &Source| Distribution {
            bounds_us: &[50, 2_500_000],
            counts: vec![1, 2, 3],
            sum: Duration::from_micros(7_000_001),
        })];
        let text = page(&row, &[(&[], &Source { n: 0 })]);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "x_seconds_bucket{le=\"0.00005\"} 1",
                "x_seconds_bucket{le=\"2.5\"} 3",
                "x_seconds_bucket{le=\"+Inf\"} 6",
                "x_seconds_sum 7.000001",
                "x_seconds_count 6",
            ]
        );
    }

    #[test]
    fn f120_names_from_the_network_stay_one_line_and_distinct() {
        let escaped = |text| Escaped(text).to_string();
        assert_eq!(escaped("a\nb\"c"), r#"a\nb\"c"#);
        assert_eq!(escaped("\x1b[2J\0"), r"\\x1b[2J\\x00");
        assert_eq!(escaped("größe"), "größe");
        let names = ["\\", "\\\\", "\\\"", "\""];
        for (i, one) in names.iter().enumerate() {
            assert!(names[..i].iter().all(|other| escaped(other) != escaped(one)), "{one}");
        }
    }
}
