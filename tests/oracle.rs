//! Scripts by chance read the same on direct connections and through pgweir, as the scenarios do: three clients do
//! anything that `oracle/grammar.txt` knows.
//!
//! A script that differs is made small and printed, so that it can be pasted into `tests/scenarios/`.
#![allow(clippy::disallowed_methods)] // tests wait

#[path = "scenarios/house.rs"]
mod house;

use std::collections::BTreeSet;
use std::env;
use std::time::{Duration, Instant};

use house::{House, Way, is_broken};
use pgweir_testkit::grammar::Grammar;
use pgweir_testkit::play::Transcript;
use pgweir_testkit::script::{Action, Line, Scenario};
use pgweir_testkit::shrink::shrink;

const GRAMMAR: &str = include_str!("oracle/grammar.txt");
/// Scripts of the run that is part of every test run.
const SEEDS: std::ops::Range<u64> = 0..30;
const TURNS: usize = 12;

#[test]
fn scripts_by_chance_read_alike() {
    let report = Oracle::new().ask(SEEDS);
    assert!(report.is_empty(), "{report}");
}

/// `PGWEIR_ORACLE_SEED` is the first seed, `PGWEIR_ORACLE_SECONDS` how long it runs.
#[test]
#[ignore = "takes as long as it is told"]
fn minutes_of_scripts_by_chance() {
    let number = |name: &str, default| match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: not a number")),
        Err(_) => default,
    };
    let first = number("PGWEIR_ORACLE_SEED", 1000);
    let end = Instant::now() + Duration::from_secs(number("PGWEIR_ORACLE_SECONDS", 120));
    let report = Oracle::new().ask((first..).take_while(|_| Instant::now() < end));
    assert!(report.is_empty(), "{report}");
}

struct Oracle {
    house: House,
    grammar: Grammar<'static>,
}

impl Oracle {
    fn new() -> Self {
        let gaps = env::var_os("PGWEIR_ORACLE_GAPS").is_some();
        Self { house: House::new(), grammar: Grammar::read(GRAMMAR, gaps) }
    }

    /// Plays a script for each seed; says what differed.
    fn ask(&self, seeds: impl Iterator<Item = u64>) -> String {
        let (mut report, mut played, mut unsteady) = (String::new(), 0, 0);
        for seed in seeds {
            played += 1;
            let script = self.grammar.script(seed, TURNS);
            match self.verdict(&script) {
                Verdict::Alike => {}
                Verdict::Unsteady => unsteady += 1,
                Verdict::Unlike(first) => {
                    let mut told = first;
                    let script = shrink(script, |steps| match self.verdict(steps) {
                        Verdict::Unlike(difference) => {
                            told = difference;
                            true
                        }
                        _ => false,
                    });
                    let told = format!("\n# seed {seed}\n{}\n{told}", script.join("\n"));
                    eprintln!("{told}");
                    report.push_str(&told);
                }
            }
        }
        eprintln!("{played} scripts, {unsteady} of them not steady on direct connections");
        assert!(unsteady * 10 <= played, "{unsteady} of {played} scripts prove nothing");
        report
    }

    fn verdict(&self, steps: &[String]) -> Verdict {
        let Some(scenario) = scenario(steps) else { return Verdict::Alike };
        let direct = self.house.play(&scenario, Way::Direct);
        if direct.iter().any(|heard| is_broken(heard)) {
            return Verdict::Unsteady;
        }
        for way in ways(&scenario, &direct) {
            let pooled = self.house.play(&scenario, way);
            if let Some(difference) = difference(&scenario, way, &direct, &pooled) {
                let again = self.house.play(&scenario, Way::Direct);
                return if again == direct { Verdict::Unlike(difference) } else { Verdict::Unsteady };
            }
        }
        Verdict::Alike
    }
}

enum Verdict {
    Alike,
    /// It isn't sure to read alike on direct connections.
    Unsteady,
    /// With the first difference.
    Unlike(String),
}

/// The first line that reads otherwise, unless that is known and accepted; what comes behind may follow from it.
fn difference(scenario: &Scenario, way: Way, direct: &Transcript, pooled: &Transcript) -> Option<String> {
    let mut lines = scenario.lines.iter().zip(direct.iter().zip(pooled));
    let (line, (direct, pooled)) = lines.find(|(_, (direct, pooled))| direct != pooled)?;
    let first = direct.iter().zip(pooled).find(|(direct, pooled)| direct != pooled);
    if first.is_some_and(|(direct, pooled)| ACCEPTED.iter().any(|accepts| accepts(direct, pooled))) {
        return None;
    }
    let list = |lines: &[String]| lines.join("\n--     ");
    Some(format!(
        "-- {way:?}: {}\n--   direct:\n--     {}\n--   through pgweir:\n--     {}\n",
        line.text,
        list(direct),
        list(pooled)
    ))
}

/// What reads otherwise and stays so. `docs/design/statements.md` says why.
const ACCEPTED: [fn(&str, &str) -> bool; 1] = [
    // A statement that the server lacks can't be parsed in a failed transaction.
    |direct, pooled| {
        pooled.starts_with("Error ERROR | 25P02")
            && (direct.starts_with("Error ERROR") || direct.starts_with("ParameterDescription"))
    },
];

fn scenario(steps: &[String]) -> Option<Scenario> {
    let lines = steps
        .iter()
        .flat_map(|step| step.lines())
        .enumerate()
        .map(|(at, text)| Line::read(at + 1, text))
        .collect::<Option<_>>()?;
    Some(Scenario { name: "by chance".into(), lines, cleanup: Vec::new() })
}

/// Where a script can be played without a client that waits for another's server: nobody may act while another is in
/// a transaction or a batch if there is one server, and one at a time may be in one if there are two and a stranger.
fn ways(scenario: &Scenario, direct: &Transcript) -> Vec<Way> {
    let (mut busy, mut one, mut two) = (BTreeSet::new(), true, true);
    for (line, heard) in scenario.lines.iter().zip(direct) {
        let at_rest = heard.last().is_some_and(|last| last == "ReadyForQuery I" || last == "closed");
        match line.action {
            Action::Say { client, .. } | Action::Read { client } => {
                one &= busy.iter().all(|other| *other == client);
                if at_rest {
                    busy.remove(&client)
                } else {
                    busy.insert(client)
                };
            }
            Action::Drop { client } => drop(busy.remove(&client)),
            _ => {}
        }
        two &= busy.len() <= 1;
    }
    let ways = [(Way::OneServer, one), (Way::TwoServersAndNoise, two)];
    ways.into_iter().filter_map(|(way, fits)| fits.then_some(way)).collect()
}
