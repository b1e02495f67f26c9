//! One line, cut into fields: blanks separate fields, commas the names within one.
//!
//! Quotes take a name's special meaning away and keep blanks and commas in it; `""` within them is one quote. `#` begins
//! a comment, unless it is quoted.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use super::error::{HbaError, Wrong};

/// A line of a file. Lines that are continued have the number of their first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    /// From 1; 0 is the file as a whole.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// A name as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Keywords lose their meaning then.
    pub(super) quoted: bool,
}

impl Token {
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

/// Never empty.
pub(super) type Field = Vec<Token>;

/// The fields of one line; none of an empty one.
pub(super) fn fields(line: &str, place: &Place) -> Result<Vec<Field>, HbaError> {
    let mut rest = line.chars().peekable();
    let mut fields = Vec::new();
    let mut field = Field::new();
    while let Some((token, goes_on)) = next(&mut rest, place)? {
        field.push(token);
        if !goes_on {
            fields.push(std::mem::take(&mut field));
        }
    }
    fields.extend((!field.is_empty()).then_some(field));
    Ok(fields)
}

/// The next name, and whether a comma behind it says that its field goes on.
fn next(rest: &mut Peekable<Chars<'_>>, place: &Place) -> Result<Option<(Token, bool)>, HbaError> {
    while rest.next_if(|c| is_blank(*c) || *c == ',').is_some() {}
    let mut text = String::new();
    let (mut in_quotes, mut quoted, mut saw_quotes) = (false, false, false);
    let mut goes_on = false;
    while let Some(c) = rest.next_if(|c| in_quotes || !is_blank(*c)) {
        match c {
            '#' if !in_quotes => {
                rest.by_ref().for_each(drop);
                break;
            }
            ',' if !in_quotes => {
                goes_on = true;
                break;
            }
            '"' if in_quotes && rest.next_if_eq(&'"').is_some() => text.push('"'),
            '"' => {
                in_quotes = !in_quotes;
                quoted |= text.is_empty();
                saw_quotes = true;
            }
            c => text.push(c),
        }
    }
    if in_quotes {
        return Err(Wrong::OpenQuote.at(place));
    }
    Ok((saw_quotes || !text.is_empty()).then_some((Token { text, quoted }, goes_on)))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}
