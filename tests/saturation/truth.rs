//! Figures against the arithmetic, and against what the clients themselves have counted.

use std::time::Duration;

use pgweir::advice::model::Model;
use pgweir::pool::spread::BOUNDS_US;

use super::kit::{House, eventually};
use super::load::{Load, QUICK, pool, takes};

const WORK: Duration = Duration::from_millis(20);

/// A counter of seconds, or the sum of a histogram.
fn seconds(page: &str, series: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[track_caller]
fn ratio(what: &str, found: f64, known: f64, low: f64, high: f64) {
    let ratio = found / known;
    assert!(ratio >= low && ratio <= high, "{what}: {found} for {known}, {ratio:.2} times");
}

/// Ten clients that think for 40 ms and work for 20 ms, over three servers: an offered load of about 3.3.
#[test]
fn utilisation_and_waits_are_what_the_arithmetic_says() {
    const CLIENTS: u32 = 10;
    let house = House::with(3, QUICK);
    let think = Duration::from_millis(40);
    let load = Load::start(&house, "known", CLIENTS.into(), think, takes(WORK));
    eventually("enough was done to judge", || house.metric("pgweir_pool_transactions_total") >= 500);
    let done = load.stop();
    house.metric_becomes("pgweir_pool_transactions_total", done.transactions);
    let page = house.http("/metrics");
    let [transactions, checkouts] =
        ["transactions_total", "checkouts_total"].map(|name| seconds(&page, &format!("pgweir_pool_{name}")));
    assert!(checkouts >= transactions);

    // The utilisation law: what is held is what is done, times the time that each takes.
    let held = seconds(&page, "pgweir_pool_server_seconds_total{")
        - seconds(
            &page,
            &format!(
                "pgweir_pool_server_seconds_total{{database=\"{0}\",user=\"app\",state=\"idle\"",
                house.database
            ),
        );
    let hold = held / checkouts;
    assert!(hold >= WORK.as_secs_f64(), "no sleep is shorter than it should be: {hold}");
    let queries = seconds(&page, "pgweir_pool_query_duration_seconds_sum");
    ratio("server time by state and by query", held, queries, 0.99, 1.5);

    // Little's law: what clients waited is the queue's length, summed over time.
    let waited = seconds(&page, "pgweir_pool_wait_duration_seconds_sum");
    let queued = seconds(&page, "pgweir_pool_waiting_client_seconds_total");
    ratio("waits by client and by queue", queued, waited, 0.999, 1.001);
    // Whatever a client's answer took longer than its work, it waited for a server or for the machine.
    let seen = done.time.as_secs_f64() - queries;
    assert!(waited <= seen * 1.05, "clients saw {seen} s of waits, pgweir {waited} s");

    // The model of exponential work knows no better for a fixed one than twice the wait, and a busy machine adds to it.
    let model = Model { clients: CLIENTS, think: think.as_secs_f64(), hold };
    let outcome = model.with(3);
    ratio("servers in use", held / done.span.as_secs_f64(), outcome.busy, 0.6, 1.4);
    ratio("mean wait", waited / checkouts, outcome.wait_mean, 0.2, 3.0);
}

#[test]
fn quantiles_are_those_that_clients_saw() {
    let house = House::with(4, QUICK);
    let load = Load::start(&house, "steady", 4, Duration::from_millis(5), takes(WORK));
    let mut shown = None;
    eventually("the figures of now are of this load", || {
        shown = Some(pool(&house));
        shown.as_ref().is_some_and(|pool| pool.now.transactions_per_s * pool.now.span_s > 50.0)
    });
    let done = load.stop();
    let query = shown.expect("just seen").now.query;
    let (p50, p99) = (query.p50_s.expect("there were some"), query.p99_s.expect("there were some"));
    // Right to within the bounds of the histogram.
    let bucket = BOUNDS_US.iter().rev().find(|bound| **bound <= 20_000).expect("10 ms is one");
    assert!(p50 >= *bucket as f64 / 1e6 && p99 >= p50, "{query:?}");
    let mean = done.time.as_secs_f64() / done.transactions as f64;
    ratio("the median and the clients' mean", p50, mean, 0.3, 2.0);
}
