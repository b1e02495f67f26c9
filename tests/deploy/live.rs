//! Prometheus scrapes two pgweirs, one saturated, one healthy, and sounds the alarm about the one.

use std::time::Duration;

use pgweir::advice::verdict::Verdict;

use super::kit::{House, eventually};
use super::load::{Load, QUICK, takes, verdict_becomes};
use super::names;
use super::prometheus::Prometheus;

const WORK: Duration = Duration::from_millis(20);
/// Metrics of what has not happened here.
const ABSENT: &[&str] = &[
    "pgweir_pool_pins_total",
    "pgweir_pool_pin_seconds_total",
    "pgweir_pool_server_errors_total",
    "pgweir_pool_server_connect_failures_total",
];
const THOUGHT: Duration = Duration::from_millis(10);

#[test]
fn the_alarm_is_about_the_saturated_pool_and_ends_with_it() {
    let (short, well) = (House::with(2, QUICK), House::with(6, QUICK));
    let crowd = Load::start(&short, "crowd", 8, THOUGHT, takes(WORK));
    let _few = Load::start(&well, "few", 2, THOUGHT, takes(WORK));
    let prometheus = Prometheus::start(&[short.pooler.http(), well.pooler.http()]);
    let of = |house: &House| format!("instance=\"{}\"", house.pooler.http());
    let alarms = |house: &House| prometheus.query(&format!("ALERTS{{{}}}", of(house)));
    let saturated =
        format!("ALERTS{{alertname=\"PgweirPoolSaturated\", alertstate=\"firing\", {}}}", of(&short));

    eventually("Prometheus finds the pool saturated", || !prometheus.query(&saturated).is_empty());
    let waiting =
        |house: &House| prometheus.query(&format!("pool:pgweir_pool_waiting:ratio_rate5m{{{}}}", of(house)));
    let is_waiting = |found: &[(_, f64)], wanted: bool| {
        !found.is_empty() && found.iter().all(|(_, share)| (*share > 0.1) == wanted)
    };
    eventually("the recorded share of time in which somebody waited says so", || {
        is_waiting(&waiting(&short), true)
    });
    // Two clients can't wait for six servers. It has been looked at: its figures are there.
    eventually("the healthy pool is seen", || is_waiting(&waiting(&well), false));
    let shown = prometheus.query(&format!("pgweir_pool_verdict{{{}}} == 1", of(&well)));
    let verdicts: Vec<_> = shown.iter().map(|(labels, _)| labels["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("healthy")]);
    assert_eq!(alarms(&well), [], "about the healthy pool");

    the_dashboard_is_answered(&prometheus);

    crowd.stop();
    verdict_becomes(&short, Verdict::Idle);
    eventually("the alarm ends", || prometheus.query(&saturated).is_empty());
    assert_eq!(alarms(&well), [], "about the healthy pool");
}

/// Whatever a panel asks is PromQL, and labels of both sides of its operators match.
fn the_dashboard_is_answered(prometheus: &Prometheus) {
    for question in names::questions() {
        let mut expression = question.replace("$__rate_interval", "10s");
        for variable in ["$instance", "$database", "$user"] {
            expression = expression.replace(variable, ".*");
        }
        let is_absent = ABSENT.iter().any(|metric| expression.contains(metric));
        assert_eq!(prometheus.query(&expression).is_empty(), is_absent, "{question}");
    }
}
