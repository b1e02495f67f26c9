//! Other clients of the same pool, at work while an application is: each has a session of its own, which nobody else may
//! change, and puts a transaction between any two of the application's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{runtime, task::JoinSet, time};
use tokio_postgres::{Client, NoTls};

/// What a stranger's session is. Of the tables only temporary ones are asked for: the others are the application's.
const SESSION: &str = "select concat_ws(' ', session_user, current_user, current_setting('TimeZone'), \
    current_setting('search_path'), current_setting('application_name'), current_setting('statement_timeout'), \
    current_setting('lock_timeout'), current_setting('work_mem'), current_setting('default_transaction_isolation'), \
    current_setting('default_transaction_read_only'), nullif(current_setting('app.tenant', true), ''), \
    (select count(*) from pg_listening_channels()), (select count(*) from pg_cursors where is_holdable), \
    (select count(*) from pg_prepared_statements where from_sql), \
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), \
    (select count(*) from pg_class where relpersistence = 't' and pg_table_is_visible(oid)))";

/// What some of them set.
const TASTE: &str = "set time zone 'Asia/Tokyo'; set search_path = pg_catalog, public; set statement_timeout = '77s'; \
    set work_mem = '7MB'; set app.tenant = 'a stranger'";

/// Between two transactions of one stranger: the application is what shall have the time.
const PAUSE: Duration = Duration::from_millis(10);

/// Strangers at work, until [`Strangers::end`].
pub(super) struct Strangers {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Strangers {
    pub(super) fn begin(url: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (url, ends) = (url.to_owned(), Arc::clone(&over));
        let work = async move {
            let mut all = JoinSet::new();
            all.spawn(regular(url.clone(), "", Arc::clone(&ends)));
            all.spawn(regular(url.clone(), TASTE, Arc::clone(&ends)));
            all.spawn(visitors(url, ends));
            while let Some(one) = all.join_next().await {
                one.expect("a stranger found its session as it was");
            }
        };
        Self { over, thread: Some(thread::spawn(|| runtime().block_on(work))) }
    }

    /// Fails if one of them saw what wasn't its own.
    pub(super) fn end(mut self) {
        self.leave().expect("the strangers were left alone");
    }

    fn leave(&mut self) -> thread::Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), thread::JoinHandle::join)
    }
}

impl Drop for Strangers {
    /// If the application has failed, that is what shall be heard.
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

/// One who stays connected.
async fn regular(url: String, taste: &str, over: Arc<AtomicBool>) {
    let client = connect(&url).await;
    client.batch_execute(taste).await.expect("its settings");
    let at_first = session(&client).await;
    while !over.load(Ordering::Relaxed) {
        assert_eq!(session(&client).await, at_first);
        client.batch_execute("begin").await.expect("begin");
        assert_eq!(session(&client).await, at_first);
        client.batch_execute("commit").await.expect("commit");
        time::sleep(PAUSE).await;
    }
}

/// Some who come once, and leave in different ways.
async fn visitors(url: String, over: Arc<AtomicBool>) {
    let at_first = session(&connect(&url).await).await;
    let parting_words =
        ["", "begin", TASTE, "create temp table left_behind (i int)", "begin; set local role app_owner"];
    for words in parting_words.iter().cycle() {
        let visitor = connect(&url).await;
        assert_eq!(session(&visitor).await, at_first);
        visitor.batch_execute(words).await.expect("its last words");
        if over.load(Ordering::Relaxed) {
            break;
        }
        time::sleep(PAUSE * 3).await;
    }
}

async fn session(client: &Client) -> String {
    client.query_one(SESSION, &[]).await.expect("its session").get(0)
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Runs `sql`, before there is anything else.
pub(super) fn execute(url: &str, sql: &str) {
    runtime().block_on(async {
        for statement in sql.split("; ") {
            connect(url).await.batch_execute(statement).await.expect("it can be run");
        }
    });
}

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
