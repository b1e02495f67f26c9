//! Values with a unit: durations and sizes.

use std::time::Duration;

use bytesize::ByteSize;

use super::value::{Kind, Raw, Wrong};

/// A length of time. Units end at hours: a day is not always 24 of them.
pub(super) struct Span {
    pub(super) min: Duration,
}

const UNITS: [&str; 6] = ["us", "ms", "s", "m", "min", "h"];
/// Beyond this a sum of deadlines could leave the clock's range.
const LONGEST: Duration = Duration::from_hours(24 * 365);

impl Kind for Span {
    type Value = Duration;

    fn accepts(&self) -> String {
        match self.min {
            Duration::ZERO => "a duration such as \"30s\"".to_owned(),
            min => format!("a duration of at least {}", spell_duration(min)),
        }
    }

    fn read(&self, raw: &Raw) -> Result<Duration, Wrong> {
        if raw.is_off() && self.min.is_zero() {
            return Ok(Duration::ZERO);
        }
        let text = raw.text().ok_or_else(|| self.wrong_type(raw))?.trim();
        let malformed = || Wrong::Form {
            text: text.to_owned(),
            expected: "a duration: write a number and a unit (us, ms, s, m, h), as in \"30s\"".to_owned(),
        };
        let mut units = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|unit| !unit.is_empty());
        if !units.all(|unit| UNITS.contains(&unit)) {
            return Err(malformed());
        }
        let value = humantime::parse_duration(text).map_err(|_| malformed())?;
        if value < self.min || value > LONGEST {
            return Err(Wrong::Range { value: text.to_owned(), range: self.accepts() });
        }
        Ok(value)
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(format!("\"{}\"", spell_duration(*value)))
    }
}

/// In the largest unit that needs no fraction.
pub(super) fn spell_duration(value: Duration) -> String {
    let us = value.as_micros();
    let units = [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
    match units.into_iter().find(|(_, unit)| us.is_multiple_of(*unit)) {
        Some(_) if us == 0 => "0s".to_owned(),
        Some((name, unit)) => format!("{}{name}", us / unit),
        None => unreachable!("one microsecond divides all"),
    }
}

/// A number of bytes. `64KiB` is 65536 and `64KB` is 64000.
pub(super) struct Bytes<T> {
    pub(super) min: T,
    pub(super) max: T,
}

impl<T: Copy + PartialOrd + Into<u64> + TryFrom<u64>> Kind for Bytes<T> {
    type Value = T;

    fn accepts(&self) -> String {
        let (min, max) = (spell_bytes(self.min.into()), spell_bytes(self.max.into()));
        format!("a size from \"{min}\" to \"{max}\"")
    }

    fn read(&self, raw: &Raw) -> Result<T, Wrong> {
        let (bytes, written) = match raw {
            Raw::Integer(value) => (u64::try_from(*value).ok(), value.to_string()),
            Raw::Untyped(text) | Raw::String(text) => {
                let size: ByteSize = text.trim().parse().map_err(|_| Wrong::Form {
                    text: text.clone(),
                    expected: "a size: write a number and a unit, as in \"64KiB\"".to_owned(),
                })?;
                (Some(size.as_u64()), text.clone())
            }
            _ => return Err(self.wrong_type(raw)),
        };
        bytes
            .and_then(|bytes| T::try_from(bytes).ok())
            .filter(|value| *value >= self.min && *value <= self.max)
            .ok_or_else(|| Wrong::Range { value: written, range: self.accepts() })
    }

    fn show(&self, value: &T) -> Option<String> {
        Some(format!("\"{}\"", spell_bytes((*value).into())))
    }
}

fn spell_bytes(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}
