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
use pgweir_testkit::play::{Busy, Transcript};
use pgweir_testkit::script::{Action, Line, Scenario};
use pgweir_testkit::shrink::shrink;

const GRAMMAR: &str = include_str!("oracle/grammar.txt");
/// Scripts of the run that is part of every test run.
const SEEDS: std::ops::Range<u64> = 0..20;
const TURNS: usize = 25;
/// How long a script is made smaller: each try takes long if nothing is what a client hears.
const SHRINKING: Duration = Duration::from_secs(60);

#[test]
fn scripts_by_chance_read_alike() {
    let report = Oracle::new(false).ask(SEEDS);
    assert!(report.is_empty(), "{report}");
}

#[test]
fn scripts_by_chance_read_alike_in_strict_mode() {
    let report = Oracle::new(true).ask(SEEDS);
    assert!(report.is_empty(), "{report}");
}

/// `PGWEIR_ORACLE_STRICT=1` plays in strict mode, `PGWEIR_ORACLE_SEED` is the first seed, `PGWEIR_ORACLE_SECONDS` how long it runs.
#[test]
#[ignore = "takes as long as it is told"]
fn minutes_of_scripts_by_chance() {
    let number = |name: &str, default| match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: not a number")),
        Err(_) => default,
    };
    let first = number("PGWEIR_ORACLE_SEED", 1000);
    let end = Instant::now() + Duration::from_secs(number("PGWEIR_ORACLE_SECONDS", 120));
    let report = Oracle::new(env::var_os("PGWEIR_ORACLE_STRICT").is_some())
        .ask((first..).take_while(|_| Instant::now() < end));
    assert!(report.is_empty(), "{report}");
}

struct Oracle {
    house: House,
    grammar: Grammar<'static>,
}

impl Oracle {
    fn new(strict: bool) -> Self {
        let gaps = env::var_os("PGWEIR_ORACLE_GAPS").is_some();
        let parts = [("strict", strict), ("gaps", gaps)];
        let parts: Vec<&str> =
            parts.into_iter().filter(|&(_, wanted)| wanted).map(|(part, _)| part).collect();
        let config = if strict { "[pool]\nsession_state = \"strict\"" } else { "" };
        Self { house: House::new(config), grammar: Grammar::read(GRAMMAR, &parts) }
    }

    /// Plays a script for each seed, on one server and on two by turns; says what differed.
    fn ask(&self, seeds: impl Iterator<Item = u64>) -> String {
        let (mut report, mut played, mut unsteady) = (String::new(), 0, 0);
        for seed in seeds {
            played += 1;
            let way = if seed % 2 == 0 { Way::OneServer } else { Way::TwoServersAndNoise };
            let script = self.fitting(way, self.grammar.script(seed, TURNS));
            match self.verdict(way, &script) {
                Verdict::Alike => {}
                Verdict::Unsteady => unsteady += 1,
                Verdict::Unlike(difference) => {
                    eprintln!("seed {seed} differs");
                    let told = format!("\n# seed {seed}\n{}", self.smallest(way, script, difference));
                    eprintln!("{told}");
                    report.push_str(&told);
                }
            }
        }
        eprintln!("{played} scripts, {unsteady} of them not steady on direct connections");
        assert!(unsteady * 10 <= played, "{unsteady} of {played} scripts prove nothing");
        report
    }

    /// The script without the steps for which there wouldn't be servers enough.
    fn fitting(&self, way: Way, mut script: Vec<String>) -> Vec<String> {
        loop {
            let scenario = scenario(&script).expect("the grammar knows the language");
            let misfits = misfits(way, &scenario, &self.house.play(&scenario, Way::Direct));
            if misfits.is_empty() {
                return script;
            }
            let mut step = 0..;
            script.retain(|_| !misfits.contains(&step.next().expect("endless")));
        }
    }

    fn smallest(&self, way: Way, script: Vec<String>, mut difference: String) -> String {
        let end = Instant::now() + SHRINKING;
        let script = shrink(script, |steps| {
            if Instant::now() > end {
                return false;
            }
            let Verdict::Unlike(smaller) = self.verdict(way, steps) else { return false };
            difference = smaller;
            true
        });
        format!("{}\n{difference}", script.join("\n"))
    }

    fn verdict(&self, way: Way, steps: &[String]) -> Verdict {
        let Some(scenario) = scenario(steps) else { return Verdict::Alike };
        let direct = self.house.play(&scenario, Way::Direct);
        if direct.iter().any(|heard| is_broken(heard)) {
            return Verdict::Unsteady;
        }
        if !misfits(way, &scenario, &direct).is_empty() {
            return Verdict::Alike;
        }
        match difference(&scenario, way, &direct, &self.house.play(&scenario, way)) {
            None => Verdict::Alike,
            Some(_) if self.house.play(&scenario, Way::Direct) != direct => Verdict::Unsteady,
            Some(difference) => Verdict::Unlike(difference),
        }
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

/// What reads otherwise and stays so. `docs/design/statements.md` and `docs/transaction-mode.md` say why.
const ACCEPTED: [fn(&str, &str) -> bool; 2] = [
    // A statement that the server lacks can't be parsed in a failed transaction.
    |direct, pooled| {
        pooled.starts_with("Error ERROR | 25P02")
            && (direct.starts_with("Error ERROR") || direct.starts_with("ParameterDescription"))
    },
    // A client keeps a sequence's value only while its server isn't needed.
    |direct, pooled| direct.starts_with("DataRow") && pooled.starts_with("Error ERROR | 55000"),
];

/// The lines of these steps, each with its step's number; `None` if they aren't of the language.
fn scenario(steps: &[String]) -> Option<Scenario> {
    let lines = steps.iter().enumerate().flat_map(|(at, step)| step.lines().map(move |line| (at, line)));
    let lines = lines.map(|(at, line)| Line::read(at, line)).collect::<Option<_>>()?;
    // What outlives a script's database.
    let cleanup = vec!["alter role app reset all".to_owned()];
    Some(Scenario { name: "by chance".into(), lines, cleanup })
}

/// Steps in which a client would wait for another's server: nobody may act while another is in a transaction or a
/// batch if there is one server, and one at a time may be in one if there are two, for the strangers need one.
fn misfits(way: Way, scenario: &Scenario, direct: &Transcript) -> BTreeSet<usize> {
    let (mut busy, mut misfits) = (Busy::default(), BTreeSet::new());
    for (line, heard) in scenario.lines.iter().zip(direct) {
        if let Action::Say { client, .. } | Action::Read { client } = line.action
            && busy.others(client)
            && (way == Way::OneServer || heard.last().is_none_or(|last| last != "ReadyForQuery I"))
        {
            misfits.insert(line.number);
        } else {
            busy.follow(line, heard);
        }
    }
    misfits
}
