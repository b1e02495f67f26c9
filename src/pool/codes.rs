//! Counts by SQLSTATE, of which the first so many are told apart.

use std::collections::BTreeMap;

/// Codes that are told apart; the others count together.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Codes(BTreeMap<Box<str>, u64>);

impl Codes {
    pub(super) fn add(&mut self, code: &str) {
        if let Some(count) = self.0.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if self.0.len() < MOST { code } else { "other" };
        *self.0.entry(code.into()).or_default() += 1;
    }

    pub(super) fn read(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(code, count)| (code.to_string(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_beyond_the_bound_count_together() {
        let mut codes = Codes::default();
        (0..MOST + 3).for_each(|code| codes.add(&code.to_string()));
        codes.add("1");
        let read = codes.read();
        assert_eq!(read.len(), MOST + 1);
        assert!(read.contains(&("other".to_owned(), 3)) && read.contains(&("1".to_owned(), 2)));
    }
}
