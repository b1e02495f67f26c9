//! The rules as files: promtool's judgement and its tests of them, and a section of the runbook for each alert.

use std::{collections::BTreeSet, fs};

use super::{path, prometheus::run_promtool, text};

pub const RECORDING: &str = "deploy/prometheus/recording.yml";
pub const ALERTS: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/tests";
const RUNBOOK: &str = "docs/runbook.md";

/// The values of a field, in the order in which they stand.
pub fn fields<'a>(rules: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    rules.lines().filter_map(move |line| line.trim_start().strip_prefix(field)?.strip_prefix(": "))
}

/// Headings of the runbook below its parts.
fn sections(runbook: &str) -> impl Iterator<Item = &str> {
    runbook.lines().filter_map(|line| line.strip_prefix("### "))
}

fn test_files() -> Vec<String> {
    let entries = fs::read_dir(path(TESTS)).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path().to_string_lossy().into_owned());
    let files: Vec<_> = files.collect();
    assert!(files.len() > 3, "the tests were found");
    files
}

#[test]
fn promtool_finds_nothing_wrong() {
    run_promtool(&["check", "rules", RECORDING, ALERTS]);
    run_promtool(&["check", "config", "deploy/prometheus/prometheus.yml"]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let files = test_files();
    let arguments = ["test", "rules"].into_iter().chain(files.iter().map(String::as_str));
    run_promtool(&arguments.collect::<Vec<_>>());
}

#[test]
fn every_alert_is_tested() {
    let tests: String = test_files().iter().map(|file| text(file)).collect();
    for alert in fields(&text(ALERTS), "- alert") {
        let fires = [format!("alertname=\"{alert}\""), format!("alertname: {alert}\n")];
        assert!(fires.iter().any(|line| tests.contains(line)), "{alert}: no test lets it fire");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let (alerts, runbook) = (text(ALERTS), text(RUNBOOK));
    let names: Vec<_> = fields(&alerts, "- alert").collect();
    let links: Vec<_> = fields(&alerts, "runbook_url").collect();
    let wanted: Vec<_> = names.iter().map(|name| format!("{RUNBOOK}#{}", name.to_lowercase())).collect();
    assert_eq!(links, wanted, "each alert links to its own section");
    for field in ["severity", "summary", "description"] {
        assert_eq!(fields(&alerts, field).count(), names.len(), "each alert has a {field}");
    }
    let described: BTreeSet<_> = sections(&runbook).collect();
    assert_eq!(described, names.iter().copied().collect(), "sections of {RUNBOOK}, and alerts");
    for section in runbook.split("\n### ").skip(1) {
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            assert!(section.contains(part), "{part} in {}", section.lines().next().unwrap_or_default());
        }
    }
}
