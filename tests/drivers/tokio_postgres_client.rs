//! tokio-postgres, as applications use it: one check after the other; the first that fails panics.

use std::{convert::Infallible, future::pending};

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, future::try_join_all};
use tokio_postgres::{CancelToken, Client, Error, NoTls, error::SqlState};

const CONNECTIONS: i32 = 60;
const TRANSACTIONS: i64 = 10;

pub(crate) async fn run(url: &str) {
    prepared_statements(url).await;
    a_pipeline(url).await;
    an_error_in_a_pipeline(url).await;
    portals(url).await;
    copy_in_and_out(url).await;
    a_cancel_hits_its_query_only(url).await;
    errors_in_transactions(url).await;
    types_that_the_driver_asks_about(url).await;
    many_connections(url).await;
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a login");
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

fn code<T>(outcome: Result<T, Error>) -> SqlState {
    let error = outcome.err().expect("an error");
    error.code().unwrap_or_else(|| panic!("no SQLSTATE: {error}")).clone()
}

async fn prepared_statements(url: &str) {
    let (one, two) = (connect(url).await, connect(url).await);
    let plus = one.prepare("select $1::int + 1").await.expect("prepare");
    let times = two.prepare("select $1::int * 2").await.expect("prepare");
    let same = two.prepare("select $1::int + 1").await.expect("prepare");
    for i in 0..20 {
        assert_eq!(one.query_one(&plus, &[&i]).await.expect("plus").get::<_, i32>(0), i + 1);
        assert_eq!(two.query_one(&times, &[&i]).await.expect("times").get::<_, i32>(0), i * 2);
        assert_eq!(two.query_one(&same, &[&i]).await.expect("same").get::<_, i32>(0), i + 1);
    }
}

async fn a_pipeline(url: &str) {
    let client = connect(url).await;
    let statement = client.prepare("select $1::int").await.expect("prepare");
    let parameters: Vec<i32> = (0..500).collect();
    let rows = try_join_all(parameters.iter().map(async |i| client.query_one(&statement, &[i]).await)).await;
    let answers: Vec<i32> = rows.expect("500 answers").iter().map(|row| row.get(0)).collect();
    assert_eq!(answers, parameters);
}

async fn an_error_in_a_pipeline(url: &str) {
    let client = connect(url).await;
    let (before, error, after) = tokio::join!(
        client.query_one("select 'before'", &[]),
        client.query_one("select 1/0", &[]),
        client.query_one("select 'after'", &[]),
    );
    assert_eq!(before.expect("before").get::<_, &str>(0), "before");
    assert_eq!(code(error), SqlState::DIVISION_BY_ZERO);
    assert_eq!(after.expect("after").get::<_, &str>(0), "after");
}

async fn portals(url: &str) {
    let mut client = connect(url).await;
    let transaction = client.transaction().await.expect("begin");
    let portal = transaction.bind("select generate_series(1, $1::int)", &[&10]).await.expect("bind");
    let other = transaction.bind("select generate_series(101, 110)", &[]).await.expect("bind");
    let mut seen: Vec<i32> = Vec::new();
    for portal in [&portal, &other, &portal, &other, &portal, &portal] {
        let rows = transaction.query_portal(portal, 4).await.expect("execute");
        seen.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    transaction.commit().await.expect("commit");
    assert_eq!(seen, [1, 2, 3, 4, 101, 102, 103, 104, 5, 6, 7, 8, 105, 106, 107, 108, 9, 10]);
}

async fn copy_in_and_out(url: &str) {
    let client = connect(url).await;
    client
        .batch_execute("drop table if exists tokio_copy; create table tokio_copy (i int)")
        .await
        .expect("a table");
    let sink = client.copy_in::<_, Bytes>("copy tokio_copy from stdin").await.expect("copy in");
    let mut sink = std::pin::pin!(sink);
    for i in 0..2000 {
        sink.send(Bytes::from(format!("{i}\n"))).await.expect("a line");
    }
    assert_eq!(sink.finish().await.expect("copy done"), 2000);

    let stream =
        client.copy_out("copy (select i from tokio_copy order by i) to stdout").await.expect("copy out");
    let lines: Vec<Bytes> = stream.try_collect().await.expect("lines");
    let wanted: String = (0..2000).map(|i| format!("{i}\n")).collect();
    assert_eq!(lines.concat(), wanted.as_bytes());

    // A sink that is dropped sends CopyFail; the client must be as good as new behind it.
    drop(client.copy_in::<_, Bytes>("copy tokio_copy from stdin").await.expect("copy in"));
    let sink = client.copy_in::<_, Bytes>("copy tokio_copy from stdin").await.expect("copy in");
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from_static(b"not a number\n")).await.expect("a line");
    assert_eq!(code(sink.finish().await), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(number(&client, "select count(*) from tokio_copy").await, 2000);
}

async fn a_cancel_hits_its_query_only(url: &str) {
    let (client, observer) = (connect(url).await, connect(url).await);
    let sleep = client.query("select pg_sleep(60) as tokio_sleeps", &[]);
    let slept = tokio::select! {
        slept = sleep => slept,
        never = cancel_when_it_runs(&observer, client.cancel_token()) => match never {},
    };
    assert_eq!(code(slept), SqlState::QUERY_CANCELED);
    for i in 0..20 {
        assert_eq!(number(&client, &format!("select {i}::bigint")).await, i);
        assert_eq!(number(&observer, &format!("select {i}::bigint")).await, i);
    }
}

async fn cancel_when_it_runs(observer: &Client, token: CancelToken) -> Infallible {
    let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%tokio_sleeps%' \
                   and pid <> pg_backend_pid()";
    while number(observer, running).await == 0 {}
    token.cancel_query(NoTls).await.expect("a cancel request");
    pending().await
}

async fn errors_in_transactions(url: &str) {
    let mut client = connect(url).await;
    client
        .batch_execute("drop table if exists tokio_unique; create table tokio_unique (i int primary key)")
        .await
        .expect("a table");
    let mut transaction = client.transaction().await.expect("begin");
    transaction.execute("insert into tokio_unique values (1)", &[]).await.expect("insert");
    let nested = transaction.transaction().await.expect("savepoint");
    let twice = nested.execute("insert into tokio_unique values ($1)", &[&1]).await;
    assert_eq!(code(twice), SqlState::UNIQUE_VIOLATION);
    assert_eq!(code(nested.query("select 1", &[]).await), SqlState::IN_FAILED_SQL_TRANSACTION);
    nested.rollback().await.expect("rollback to savepoint");
    transaction.execute("insert into tokio_unique values (2)", &[]).await.expect("insert");
    transaction.commit().await.expect("commit");

    // A transaction that is dropped rolls back.
    let transaction = client.transaction().await.expect("begin");
    transaction.execute("insert into tokio_unique values (3)", &[]).await.expect("insert");
    drop(transaction);
    assert_eq!(number(&client, "select count(*) from tokio_unique").await, 2);
    assert_eq!(code(client.simple_query("select no_such_column").await), SqlState::UNDEFINED_COLUMN);
}

async fn types_that_the_driver_asks_about(url: &str) {
    let client = connect(url).await;
    client
        .batch_execute("drop type if exists tokio_mood; create type tokio_mood as enum ('glad', 'sad')")
        .await
        .expect("a type");
    for _ in 0..3 {
        let statement = client.prepare("select $1::tokio_mood[], $2::text").await.expect("prepare");
        assert_eq!(statement.params()[0].name(), "_tokio_mood");
        let statement = client.prepare("select $1::text::tokio_mood::text").await.expect("prepare");
        assert_eq!(client.query_one(&statement, &[&"sad"]).await.expect("execute").get::<_, &str>(0), "sad");
    }
}

async fn many_connections(url: &str) {
    let client = connect(url).await;
    client
        .batch_execute("drop table if exists tokio_many; create table tokio_many (client int, n bigint)")
        .await
        .expect("a table");
    let clients: Vec<_> = (0..CONNECTIONS).map(|id| tokio::spawn(one_of_many(url.to_owned(), id))).collect();
    try_join_all(clients).await.expect("no client panicked");
    let rows = number(&client, "select count(*) from tokio_many").await;
    assert_eq!(rows, i64::from(CONNECTIONS) * TRANSACTIONS);
}

async fn one_of_many(url: String, id: i32) {
    let mut client = connect(&url).await;
    let insert = client.prepare("insert into tokio_many values ($1, $2)").await.expect("prepare");
    let count = client.prepare("select count(*) from tokio_many where client = $1").await.expect("prepare");
    for n in 0..TRANSACTIONS {
        let transaction = client.transaction().await.expect("begin");
        transaction.execute(&insert, &[&id, &n]).await.expect("insert");
        let rows: i64 = transaction.query_one(&count, &[&id]).await.expect("count").get(0);
        assert_eq!(rows, n + 1);
        transaction.commit().await.expect("commit");
    }
}
