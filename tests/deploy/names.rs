//! Rules and dashboard against `docs/metrics.md`, which another test compares with the endpoint.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::{rules, text};

const DASHBOARD: &str = "deploy/grafana/pgweir.json";
/// Labels whose values come from lists.
const LISTED: &[&str] = &["verdict", "state", "kind", "side", "outcome", "reason", "direction", "event"];

/// What may be asked for.
struct Known {
    /// Metric → its type and labels.
    metrics: BTreeMap<String, (String, BTreeSet<String>)>,
    recorded: BTreeSet<String>,
    document: String,
}

impl Known {
    fn read() -> Self {
        let document = text("docs/metrics.md");
        let rows = document.lines().filter(|line| line.starts_with("| `pgweir_"));
        let metrics = rows.map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].trim_matches('`').to_owned();
            let mut labels: BTreeSet<_> = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            labels.extend(["instance".to_owned(), "job".to_owned()]);
            if name.starts_with("pgweir_pool_") {
                labels.extend(["database".to_owned(), "user".to_owned()]);
            }
            if cells[1] == "histogram" {
                labels.insert("le".to_owned());
            }
            (name, (cells[1].to_owned(), labels))
        });
        let metrics: BTreeMap<_, _> = metrics.collect();
        assert!(metrics.len() > 50, "the tables were found");
        let recorded = rules::fields(&text(rules::RECORDING), "- record").map(str::to_owned).collect();
        Self { metrics, recorded, document }
    }

    /// Labels of a series; `None` if there is no such series.
    fn labels(&self, series: &str) -> Option<&BTreeSet<String>> {
        let of = |name: &str, wanted: bool| {
            let (kind, labels) = self.metrics.get(name)?;
            ((kind == "histogram") == wanted).then_some(labels)
        };
        let parts = ["_bucket", "_sum", "_count"];
        of(series, false).or_else(|| parts.iter().find_map(|part| of(series.strip_suffix(part)?, true)))
    }

    /// What is wrong with an expression of PromQL.
    fn complaints(&self, expression: &str) -> Vec<String> {
        let series = Regex::new(r#"((?:pool:)?pgweir_[a-z0-9_:]+)(?:\{([^}]*)\})?"#).expect("a pattern");
        let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).expect("a pattern");
        let mut complaints = Vec::new();
        for found in series.captures_iter(expression) {
            let name = &found[1];
            if name.contains(':') {
                if !self.recorded.contains(name) {
                    complaints.push(format!("{name} is not recorded"));
                }
                continue;
            }
            let Some(labels) = self.labels(name) else {
                complaints.push(format!("{name} does not exist"));
                continue;
            };
            for said in matcher.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
                let (label, values) = (&said[1], &said[2]);
                if !labels.contains(label) {
                    complaints.push(format!("{name} has no label {label}"));
                } else if LISTED.contains(&label) {
                    let unknown = values.split('|').filter(|v| !self.document.contains(&format!("`{v}`")));
                    complaints.extend(unknown.map(|value| format!("{name} has no {label} {value}")));
                }
            }
        }
        complaints
    }
}

/// Every string of a document under one of these keys, wherever it stands.
fn strings<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| strings(item, keys, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text),
                    field => strings(field, keys, found),
                }
            }
        }
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).expect("JSON")
}

#[test]
fn rules_name_only_what_exists() {
    let known = Known::read();
    for file in [rules::RECORDING, rules::ALERTS] {
        assert_eq!(known.complaints(&text(file)), [""; 0], "{file}");
    }
}

/// What the panels ask Prometheus.
pub fn questions() -> Vec<String> {
    let (dashboard, mut asked) = (dashboard(), Vec::new());
    strings(&dashboard["panels"], &["expr"], &mut asked);
    asked.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_dashboard_names_only_what_exists() {
    let (known, dashboard) = (Known::read(), dashboard());
    let mut asked = Vec::new();
    strings(&dashboard, &["expr", "query", "definition"], &mut asked);
    assert!(asked.len() > 20, "its panels were found");
    for expression in asked {
        assert_eq!(known.complaints(expression), [""; 0], "{expression}");
    }
}

/// Grafana takes a dashboard apart by these: an identifier of its own for each panel, a place, a source, a variable that exists.
#[test]
fn the_dashboard_is_one_that_grafana_loads() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut identifiers = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(identifiers.insert(panel["id"].as_u64()), "{title}: its id is another's, too");
        let place = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24 && place("h") > 0, "{title}: beyond the edge");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}: says nothing");
        let targets = panel["targets"].as_array().expect("targets");
        let references: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str()).collect();
        assert!(!targets.is_empty() && references.len() == targets.len(), "{title}: its targets");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variables: BTreeSet<_> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, BTreeSet::from(["database", "datasource", "instance", "user"]));
    let used = Regex::new(r"\$(\w+)").expect("a pattern");
    for expression in questions() {
        for name in used.captures_iter(&expression).map(|found| found[1].to_owned()) {
            assert!(variables.contains(&*name) || name == "__rate_interval", "{name} in {expression}");
        }
        assert!(expression.contains("instance=~\"$instance\""), "of one instance: {expression}");
        let is_of_pools = expression.contains("pgweir_pool_");
        assert_eq!(
            is_of_pools,
            expression.contains("database=~\"$database\", user=~\"$user\""),
            "{expression}"
        );
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let known = Known::read();
    for (expression, wanted) in [
        ("rate(pgweir_pool_waits[5m])", "pgweir_pool_waits does not exist"),
        ("pgweir_pool_size_bucket", "pgweir_pool_size_bucket does not exist"),
        ("pgweir_pool_wait_duration_seconds", "pgweir_pool_wait_duration_seconds does not exist"),
        ("pgweir_panics_total{user=\"a\"}", "pgweir_panics_total has no label user"),
        ("pgweir_pool_verdict{verdict=~\"tight|sad\"}", "pgweir_pool_verdict has no verdict sad"),
        ("pool:pgweir_pool_waits:sum", "pool:pgweir_pool_waits:sum is not recorded"),
    ] {
        assert_eq!(known.complaints(expression), [wanted]);
    }
}
