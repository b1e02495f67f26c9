//! Scripts by chance: a grammar of everything that a session may do, and a seed that chooses from it.
//!
//! ```text
//! line:
//!     *3 Query "<sql>"
//!     Query "begin; <sql>; rollback"
//!     @<me> drop><next>@until> select true
//! ```
//! A symbol has an alternative on each indented line; `*3` makes one three times as likely. `<sql>` stands for any
//! alternative of that symbol, `<me>` for the client whose turn it is, `<other>` for another one. A turn is one or
//! more lines of a script, with `<next>` between two; each is said by the client whose turn it is, unless it begins
//! with `@`; the lines of a turn with such a one belong together. All lines of `setup` begin each script. `--` begins
//! a comment. A line that is one word (`gaps`) begins a part, which is left out unless it is asked for.
//!
//! The same grammar and seed give the same script.

use std::collections::BTreeMap;

use crate::chance::Chance;

const CLIENTS: [char; 3] = ['a', 'b', 'c'];

/// Alternatives of each symbol, each with its weight.
pub struct Grammar<'a>(BTreeMap<&'a str, Vec<(u64, &'a str)>>);

impl<'a> Grammar<'a> {
    /// Reads a grammar; of its parts only those in `parts` belong to it.
    ///
    /// # Panics
    /// With the line, when the text isn't a grammar.
    pub fn read(text: &'a str, parts: &[&str]) -> Self {
        let mut symbols: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        let (mut symbol, mut left_out) = (None, false);
        for line in text.lines() {
            let text = line.trim();
            if text.is_empty() || text.starts_with("--") {
                continue;
            }
            if !line.starts_with(' ') {
                symbol = text.strip_suffix(':');
                if symbol.is_none() {
                    assert!(!text.contains(' '), "{text}: not a symbol");
                    left_out = !parts.contains(&text);
                }
                continue;
            }
            if left_out {
                continue;
            }
            let symbol = symbol.unwrap_or_else(|| panic!("{text}: no symbol yet"));
            symbols.entry(symbol).or_default().push(weighted(text));
        }
        Self(symbols)
    }

    fn alternatives(&self, symbol: &str) -> &[(u64, &'a str)] {
        self.0.get(symbol).unwrap_or_else(|| panic!("<{symbol}>: no such symbol"))
    }

    /// Half of the alternatives of each symbol: scripts that know less do the rest more often, and in more ways
    /// together.
    fn part(&self, chance: &mut Chance) -> Self {
        let half = |alternatives: &Vec<(u64, &'a str)>, chance: &mut Chance| {
            let mut half = alternatives.clone();
            half.retain(|_| chance.below(2) == 0);
            if half.is_empty() { vec![chance.one_of(alternatives)] } else { half }
        };
        Self(self.0.iter().map(|(symbol, alternatives)| (*symbol, half(alternatives, chance))).collect())
    }

    /// The steps of a script of about so many turns, behind the grammar's `setup`. A step is a line, or the lines of
    /// a turn that make no sense without each other, since one of them waits for what another one does.
    pub fn script(&self, seed: u64, turns: usize) -> Vec<String> {
        let mut chance = Chance::new(seed);
        let part = self.part(&mut chance);
        let mut writer = Writer { grammar: &part, chance, steps: Vec::new() };
        writer.steps.extend(self.alternatives("setup").iter().map(|(_, line)| (*line).to_owned()));
        for _ in 0..turns {
            let client = writer.chance.one_of(&CLIENTS);
            match writer.chance.below(10) {
                0..4 => writer.transaction(client),
                4 => writer.turn("parting", client),
                _ => writer.turn("line", client),
            }
        }
        writer.steps
    }
}

fn weighted(text: &str) -> (u64, &str) {
    let weight = text.strip_prefix('*').and_then(|rest| rest.split_once(' '));
    match weight.and_then(|(weight, rest)| Some((weight.parse().ok()?, rest))) {
        Some(weighted) => weighted,
        None => (1, text),
    }
}

struct Writer<'a> {
    grammar: &'a Grammar<'a>,
    chance: Chance,
    steps: Vec<String>,
}

impl Writer<'_> {
    /// Some lines between `begin` and `end`, and now and then one of another client between them.
    fn transaction(&mut self, client: char) {
        self.turn("begin", client);
        for _ in 0..=self.chance.below(5) {
            match self.chance.below(4) {
                0 => {
                    let other = self.chance.one_of(&CLIENTS);
                    self.turn("line", other);
                }
                _ => self.turn("inside", client),
            }
        }
        self.turn("end", client);
    }

    fn turn(&mut self, symbol: &str, me: char) {
        let others: Vec<char> = CLIENTS.into_iter().filter(|client| *client != me).collect();
        let other = self.chance.one_of(&others);
        let mut text = String::new();
        self.expand(symbol, me, other, &mut text);
        let lines = text.split("<next>").map(|line| match line.strip_prefix('@') {
            Some(whole) => whole.to_owned(),
            None => format!("{me}> {line}"),
        });
        if text.contains('@') {
            self.steps.push(lines.collect::<Vec<_>>().join("\n"));
        } else {
            self.steps.extend(lines);
        }
    }

    fn expand(&mut self, symbol: &str, me: char, other: char, out: &mut String) {
        let grammar = self.grammar;
        let mut rest = self.chance.weighted(grammar.alternatives(symbol));
        while let Some((before, name, after)) = next_symbol(rest) {
            out.push_str(before);
            match name {
                "me" => out.push(me),
                "other" => out.push(other),
                "next" => out.push_str("<next>"),
                name => self.expand(name, me, other, out),
            }
            rest = after;
        }
        out.push_str(rest);
    }
}

/// Text before the first `<symbol>`, the symbol, text behind it. Other signs of less and greater are SQL's.
fn next_symbol(text: &str) -> Option<(&str, &str, &str)> {
    for (start, _) in text.match_indices('<') {
        let inner = &text[start + 1..];
        let end = inner.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-').unwrap_or(0);
        if end > 0 && inner[end..].starts_with('>') {
            return Some((&text[..start], &inner[..end], &inner[end + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "setup:\n    setup> select 1\nbegin:\n    Query \"begin\"\nend:\n    Query \"commit\"\n\
        parting:\n    @<me> drop>\ninside:\n    <line>\nline:\n    *2 Query \"<sql>\"\n    @<other>> Sync<next>Sync\nsql:\n    select 1 < 2\n\
        -- comment\ngaps\nsql:\n    select 3\n";

    #[test]
    fn a_seed_gives_its_script_again() {
        let grammar = Grammar::read(TEXT, &[]);
        assert_eq!(grammar.script(7, 20), grammar.script(7, 20));
        assert_ne!(grammar.script(7, 20), grammar.script(8, 20));
    }

    #[test]
    fn gaps_are_left_out_unless_asked_for() {
        let says = |parts| {
            let lines = Grammar::read(TEXT, parts).script(1, 50);
            lines.iter().any(|line| line.contains("select 3"))
        };
        assert!(says(&["strict", "gaps"]) && !says(&["strict"]) && !says(&[]));
    }

    #[test]
    fn symbols_are_told_from_signs() {
        assert_eq!(next_symbol("1 < 2 <sql> <b>"), Some(("1 < 2 ", "sql", " <b>")));
        assert_eq!(next_symbol("a <> b, a<b, <X>"), None);
    }
}
