//! I11: counters agree with each other, with the clients, and with `pg_stat_activity`; gauges come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kit::{Client, House, eventually};
use super::load::{Load, QUICK, status, takes};

/// Series with their labels, as `name{labels}`.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| line.starts_with("pgweir_"));
    lines
        .filter_map(|line| {
            line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        })
        .collect()
}

/// The sum over the labels that aren't said.
fn sum(samples: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    let of_name = samples.iter().filter(|(series, _)| {
        series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            && series.contains(label)
    });
    of_name.map(|(_, value)| value).sum()
}

#[test]
fn i11_books_agree_under_load_and_after_it() {
    let house = House::with(4, QUICK);
    let loads = [
        Load::start(&house, "web", 6, Duration::from_millis(3), takes(Duration::from_millis(2))),
        Load::start(&house, "batch", 2, Duration::from_millis(3), |client: &mut Client| {
            client.ask("begin");
            client.ask("select 1");
            client.ask("commit");
        }),
    ];
    // Under load: what one page says has to be true at one moment.
    for round in 1..=20 {
        eventually("work goes on", || house.metric("pgweir_pool_transactions_total") >= round * 20);
        let now = samples(&house.http("/metrics"));
        let of = |name| sum(&now, name, "");
        let servers = of("pgweir_pool_servers");
        assert!(servers <= of("pgweir_pool_size"), "{servers} servers");
        assert_eq!(
            of("pgweir_pool_waits_total"),
            of("pgweir_pool_wait_duration_seconds_count") + of("pgweir_pool_clients_waiting")
        );
        let lent = sum(&now, "pgweir_pool_server_seconds_total", "")
            - sum(&now, "pgweir_pool_server_seconds_total", "state=\"idle\"");
        let by_application = of("pgweir_pool_application_server_seconds_total");
        assert!((lent - by_application).abs() < 1e-3, "{lent} s lent, {by_application} s by application");
        assert_eq!(of("pgweir_pool_transactions_total"), of("pgweir_pool_application_transactions_total"));
    }
    eventually("PostgreSQL counts as many backends", || {
        let shown = sum(&samples(&house.http("/metrics")), "pgweir_pool_servers", "");
        f64::from(house.backends("backend_type = 'client backend'")) == shown
    });
    let done: u64 = loads.map(Load::stop).map(|done| done.transactions).iter().sum();

    // After it.
    house.all_is_well();
    let last = house.client();
    drop(last);
    eventually("all clients are gone", || house.metric("pgweir_pool_clients") == 0);
    let rest = samples(&house.http("/metrics"));
    let of = |name| sum(&rest, name, "");
    // And the one by which all was found well.
    assert_eq!(of("pgweir_pool_transactions_total"), done as f64 + 1.0);
    let batches = sum(&rest, "pgweir_pool_application_transactions_total", "application=\"batch\"");
    assert_eq!(of("pgweir_pool_queries_total"), done as f64 + 1.0 + 2.0 * batches, "three in each batch");
    // A client that asks again at once doesn't pause; each pause there was makes one more of what is answered at a time.
    let pauses = of("pgweir_pool_idle_in_transaction_duration_seconds_count");
    assert!(pauses > 0.0 && pauses <= 2.0 * batches, "{pauses} pauses in {batches} batches");
    assert_eq!(of("pgweir_pool_transaction_duration_seconds_count"), done as f64 + 1.0);
    assert_eq!(of("pgweir_pool_query_duration_seconds_count"), done as f64 + 1.0 + pauses);
    assert_eq!(
        sum(&rest, "pgweir_pool_messages_total", "direction=\"to_server\""),
        of("pgweir_pool_queries_total")
    );
    for gauge in [
        "pgweir_pool_clients_waiting",
        "pgweir_pool_oldest_wait_seconds",
        "pgweir_pool_pins",
        "pgweir_pool_application_clients",
        "pgweir_logins_in_flight",
        "pgweir_client_connections",
    ] {
        assert_eq!(of(gauge), 0.0, "{gauge} comes to rest");
    }
    for state in ["connecting", "active", "idle_in_transaction", "pinned", "closing"] {
        assert_eq!(sum(&rest, "pgweir_pool_servers", &format!("state=\"{state}\"")), 0.0, "{state}");
    }
    let failed =
        sum(&rest, "pgweir_pool_errors_total", "") + sum(&rest, "pgweir_pool_server_errors_total", "");
    assert_eq!(failed, 0.0);
    assert_eq!(status(&house).process.clients, 0);
}

#[test]
fn errors_are_booked_by_pool_and_code() {
    let house = House::new(1);
    let mut client = house.client();
    assert_eq!(client.ask("select 1/0"), "E[ERROR 22012] Z[I]");
    assert_eq!(client.ask("select * from nowhere"), "E[ERROR 42P01] Z[I]");
    let mut page = BTreeMap::new();
    eventually("they are booked", || {
        page = samples(&house.http("/metrics"));
        sum(&page, "pgweir_pool_server_errors_total", "") == 2.0
    });
    for class in ["22", "42"] {
        assert_eq!(sum(&page, "pgweir_pool_server_errors_total", &format!("class=\"{class}\"")), 1.0);
    }
}

#[test]
fn an_application_that_is_renamed_takes_its_books_along() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("set application_name = 'before'");
    client.ask("select 1");
    client.ask("set application_name = 'after'");
    client.ask("select 1");
    // What is booked may come a moment after the answer.
    eventually("the SET of a name still counts for the one before", || {
        let page = samples(&house.http("/metrics"));
        let of = |name, application| sum(&page, name, &format!("application=\"{application}\""));
        let clients = ["before", "after"].map(|name| of("pgweir_pool_application_clients", name));
        let transactions =
            ["before", "after"].map(|name| of("pgweir_pool_application_transactions_total", name));
        clients == [0.0, 1.0] && transactions == [2.0, 1.0]
    });
}
