//! Servers that end, hang, or speak while they rest.

use pgweir::demo::cluster::{Recipe, Stop};
use pgweir_testkit::frontend::*;
use rustix::process::{Pid, Signal, kill_process};

use super::kit::{House, Weather, brief, errors, eventually};

#[test]
fn f32_backend_is_terminated_while_it_rests() {
    let house = House::new(3);
    let mut clients: Vec<_> = (0..3).map(|_| house.client()).collect();
    for round in 0..5 {
        for client in &mut clients {
            client.tell(&query("select pg_sleep(0.05)"));
        }
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(brief(&client.until_ready()), "T D[] C[SELECT 1] Z[I]"));
        assert_eq!(house.terminate(), 3, "round {round}");
        for client in &mut clients {
            assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]", "round {round}");
        }
    }
    house.all_is_well();
}

#[test]
fn f33_backend_is_terminated_while_a_query_runs() {
    let house = House::new(1);
    let mut client = house.client();
    client.tell(&query("select pg_sleep(600)"));
    house.backends_become(1, "state = 'active' and query like '%pg_sleep%'");
    house.terminate();
    let heard = client.until_ready();
    let errors = errors(&heard);
    assert_eq!(errors.len(), 1, "{heard:?}");
    assert!(["57P01", "08007"].contains(&errors[0].as_str()), "{heard:?}");
    assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f34_backend_is_terminated_while_idle_in_a_transaction() {
    let house = House::new(1);
    house.client().ask("create table t (v int)");
    for statement in ["commit", "insert into t values (2)"] {
        let mut client = house.client();
        client.ask("begin");
        client.ask("insert into t values (1)");
        house.terminate();
        let heard = client.outcome(statement);
        assert_eq!(brief(&heard), "E[ERROR 08006] Z[I]", "{statement}: {heard:?}");
        // Nothing of it went to another server.
        assert_eq!(client.ask("select * from t"), "T C[SELECT 0] Z[I]", "{statement}");
    }
    house.all_is_well();
}

#[test]
fn f34_the_rest_of_a_lost_transaction_runs_nowhere() {
    let house = House::new(1);
    let mut client = house.client();
    client.ask("create table t (v int)");
    client.ask("begin");
    house.terminate();
    // Sent before the client has heard of it, in one piece: only the first has its error to wait for.
    let batch =
        [parse("", "insert into t values (1)", &[]), bind("", "", &[]), execute("", 0), sync()].concat();
    assert_eq!(client.say(&batch), "E[ERROR 08006] Z[I]");
    assert_eq!(client.ask("select * from t"), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

#[test]
fn f35_connection_is_cut_before_the_answer_to_commit() {
    let (network, house) = House::behind_network(1, "");
    let mut client = house.client();
    client.ask("create table t (v int)");
    let commits: [(&str, &[&str], &str); 3] = [
        ("commit", &["begin", "insert into t values (1)"], "commit"),
        ("implicit", &[], "insert into t values (1)"),
        ("batch", &[], "begin; insert into t values (1); commit"),
    ];
    for (number, (what, before, last)) in commits.into_iter().enumerate() {
        client.ask("select 'a server is there'");
        for sql in before {
            client.ask(sql);
        }
        network.is(Weather::Pass, Weather::CutAfter(0));
        let heard = client.outcome(last);
        network.is(Weather::Pass, Weather::Pass);
        assert_eq!(brief(&heard), "E[ERROR 08007] Z[I]", "{what}: {heard:?}");
        let error = heard[0].field('M');
        assert!(error.contains("unknown") && !error.contains("rolled back"), "{error}");
        // It was committed, once.
        house.backends_become(0, "state = 'active'");
        assert_eq!(house.direct().value("select count(*) from t"), (number + 1).to_string(), "{what}");
    }
    house.all_is_well();
}

#[test]
fn f37_server_crashes() {
    let settings = vec!["synchronous_commit = on".to_owned()];
    let mut house = House::of(Recipe { settings, ..Recipe::default() }, 2, "");
    let mut client = house.client();
    client.ask("create table t (v int)");
    let (mut running, mut open) = (house.client(), house.client());
    open.ask("begin");
    open.ask("insert into t values (1)");
    running.tell(&query("select pg_sleep(600)"));
    house.backends_become(1, "state = 'active' and query like '%pg_sleep%'");
    client.tell(&query("select count(*) from t"));
    house.metric_becomes("pgweir_pool_clients_waiting", 1);
    house.own_postgres().stop(Stop::Immediate).expect("it stops");
    let heard = running.until_ready();
    assert_eq!(errors(&heard).len(), 1, "{heard:?}");
    house.own_postgres().start().expect("it starts");
    assert_eq!(brief(&client.until_ready()), "T D[0] C[SELECT 1] Z[I]");
    let heard = open.outcome("commit");
    assert_eq!(brief(&heard), "E[ERROR 08006] Z[I]", "{heard:?}");
    assert_eq!(open.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    house.all_is_well();
}

#[test]
fn f38_backend_hangs() {
    let house = House::with(2, "timeouts.query = '500ms'");
    let mut client = house.client();
    let pid = client.value("select pg_backend_pid()").parse().ok().and_then(Pid::from_raw).expect("a pid");
    eventually("it rests", || house.servers("idle") == 1);
    kill_process(pid, Signal::STOP).expect("it runs");
    let heard = client.outcome("select 1");
    assert_eq!(errors(&heard), ["57014"], "{heard:?}");
    // Others are served by the other server meanwhile.
    assert_eq!(house.client().ask("select 2"), "T D[2] C[SELECT 1] Z[I]");
    kill_process(pid, Signal::CONT).expect("it is there");
    house.all_is_well();
}

#[test]
fn f44_all_backends_are_terminated() {
    let house = House::new(4);
    let mut active: Vec<_> = (0..2).map(|_| house.client()).collect();
    for client in &mut active {
        client.tell(&query("select pg_sleep(600)"));
    }
    let mut idle: Vec<_> = (0..10).map(|_| house.client()).collect();
    for client in &mut idle {
        client.ask("select 1");
    }
    house.backends_become(2, "state = 'active' and query like '%pg_sleep%'");
    house.terminate();
    for client in &mut active {
        let heard = client.until_ready();
        assert_eq!(errors(&heard).len(), 1, "{heard:?}");
    }
    for client in idle.iter_mut().chain(&mut active) {
        assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    }
    house.all_is_well();
}

#[test]
fn f45_server_speaks_while_it_rests() {
    let house = House::of(Recipe::default(), 1, "");
    let mut client = house.client();
    let pid = client.value("select pg_backend_pid()");
    let mut director = house.director();
    director.ask("alter system set timezone = 'Asia/Tokyo'");
    director.ask("select pg_reload_conf()");
    eventually("the server has the new value", || client.value("show timezone") == "Asia/Tokyo");
    assert_eq!(client.value("select pg_backend_pid()"), pid, "a reload is no reason to close");
    assert_eq!(house.client().value("show timezone"), "Asia/Tokyo");
    house.all_is_well();
}

#[test]
fn f48_a_backend_is_killed_and_the_cluster_recovers() {
    let settings = vec!["restart_after_crash = on".to_owned()];
    let house = House::of(Recipe { settings, ..Recipe::default() }, 3, "");
    let (mut victim, mut other) = (house.client(), house.client());
    victim.ask("begin");
    let pid = victim.value("select pg_backend_pid()").parse().ok().and_then(Pid::from_raw).expect("a pid");
    other.tell(&query("select pg_sleep(600)"));
    house.backends_become(1, "state = 'active' and query like '%pg_sleep%'");
    kill_process(pid, Signal::KILL).expect("it runs");
    let heard = other.until_ready();
    assert_eq!(errors(&heard).len(), 1, "{heard:?}");
    let heard = victim.outcome("commit");
    assert_eq!(brief(&heard), "E[ERROR 08006] Z[I]", "{heard:?}");
    for client in [&mut victim, &mut other] {
        assert_eq!(client.ask("select 1"), "T D[1] C[SELECT 1] Z[I]");
    }
    house.all_is_well();
}

#[test]
fn f49_every_server_is_blocked_by_a_lock() {
    let house = House::new(2);
    house.client().ask("create table t (v int)");
    let mut holder = house.direct();
    holder.ask("begin");
    holder.ask("lock table t");
    let mut blocked: Vec<_> = (0..2).map(|_| house.client()).collect();
    for client in &mut blocked {
        client.tell(&query("select * from t"));
    }
    house.backends_become(2, "wait_event_type = 'Lock'");
    let mut queued: Vec<_> = (0..5).map(|_| house.client()).collect();
    for client in &mut queued {
        client.tell(&query("select 1"));
    }
    house.metric_becomes("pgweir_pool_clients_waiting", 5);
    assert!(house.http("/healthz").starts_with("HTTP/1.1 200"));
    // A cancel needs no free server, and makes one.
    blocked[0].cancel();
    assert_eq!(brief(&blocked[0].until_ready()), "E[ERROR 57014] Z[I]");
    for client in &mut queued {
        assert_eq!(brief(&client.until_ready()), "T D[1] C[SELECT 1] Z[I]");
    }
    holder.ask("commit");
    assert_eq!(brief(&blocked[1].until_ready()), "T C[SELECT 0] Z[I]");
    house.all_is_well();
}

/// Its session changed, and before PostgreSQL was asked how, the server was gone: it must not go on without the change.
#[test]
fn f80_what_a_lost_server_knew_of_the_session_is_not_missed_in_silence() {
    let house = House::new(1);
    for change in ["set app.tenant = '7'", "select pg_advisory_lock(7)", "create temp table mine (a int)"] {
        let mut client = house.client();
        client.tell(&[query(change), query("select pg_terminate_backend(pg_backend_pid())")].concat());
        client.until_ready();
        let heard = client.until_closed();
        assert_eq!(heard.last().map(|last| last.field('V')), Some("FATAL".to_owned()), "{change}: {heard:?}");
    }
    house.all_is_well();
}
