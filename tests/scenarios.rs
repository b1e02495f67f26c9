//! Each scenario of `tests/scenarios/` reads the same on direct connections, through pgweir with one server, and
//! through pgweir with two servers and strangers who see to it that each line gets another one.
//!
//! `PGWEIR_SCENARIO=text` plays only the scenarios whose name contains the text.
#![allow(clippy::disallowed_methods)]

#[path = "scenarios/house.rs"]
mod house;

use house::{House, Way, is_broken};
use pgweir_testkit::script::{Line, Scenario, read};

/// Plays a file; panics with everything that differed.
fn all_alike(file: &str, text: &str, config: &str) {
    let wanted = std::env::var("PGWEIR_SCENARIO").unwrap_or_default();
    let scenarios: Vec<Scenario> = read(text).into_iter().filter(|one| one.name.contains(&wanted)).collect();
    if scenarios.is_empty() {
        return;
    }
    let house = House::new(config);
    let mut report = String::new();
    let version = house.version();
    for scenario in &scenarios {
        if version >= 18 && scenario.name.ends_with("(before 18)") {
            continue;
        }
        let direct = house.play(scenario, Way::Direct);
        // A scenario that doesn't read alike on direct connections proves nothing.
        for way in [Way::Direct, Way::OneServer, Way::TwoServersAndNoise] {
            let other = house.play(scenario, way);
            for (line, (direct, other)) in scenario.lines.iter().zip(direct.iter().zip(&other)) {
                let unlike = direct != other && (line.differs.is_none() || way == Way::Direct);
                if unlike || is_broken(direct) || is_broken(other) {
                    report.push_str(&difference(file, scenario, way, line, direct, other));
                }
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

fn difference(
    file: &str,
    scenario: &Scenario,
    way: Way,
    line: &Line,
    direct: &[String],
    pooled: &[String],
) -> String {
    let list = |lines: &[String]| lines.iter().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        "\n{file}, {way:?}: {}\n  line {}: {}\n    direct:\n{}    through pgweir:\n{}",
        scenario.name,
        line.number,
        line.text,
        list(direct),
        list(pooled)
    )
}

macro_rules! files {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            all_alike(stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt")), "");
        })*
    };
}

files! {
    statements names pipelines protocol cursors copy copies
    settings startup functions replaced identity
    pins temporary locks notifications sequences
}

#[test]
fn strict() {
    all_alike("strict", include_str!("scenarios/strict.txt"), "[pool]\nsession_state = \"strict\"");
}

/// What pgweir can't do yet: each file says what is missing. A scenario that reads alike moves up.
#[test]
#[ignore = "what pgweir can't do yet"]
fn later() {
    for file in std::fs::read_dir("tests/scenarios/later").expect("a folder of scenarios") {
        let file = file.expect("a scenario file").path();
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        all_alike(&file.display().to_string(), &text, "");
    }
}
