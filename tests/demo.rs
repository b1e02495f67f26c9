//! The throw-away PostgreSQL keeps its promises, and `pgweir demo` tells its story to the end.
#![allow(clippy::disallowed_methods)]

use std::{fs, path::PathBuf, thread};

use pgweir::demo::cluster::{Cluster, Recipe, Stop};
use tokio_postgres::{Client, NoTls};

/// `PGWEIR_TEST_PGBIN` picks the PostgreSQL to test with.
fn recipe() -> Recipe {
    Recipe { programs: std::env::var_os("PGWEIR_TEST_PGBIN").map(PathBuf::from), ..Recipe::default() }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn ask(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

#[tokio::test]
async fn a_cluster_has_what_its_recipe_says() {
    let cluster = Cluster::new(&Recipe {
        max_connections: Some(30),
        settings: vec!["work_mem = '1234kB'".to_owned()],
        hba: vec!["host all nobody_enters 127.0.0.1/32 reject".to_owned()],
        ..recipe()
    })
    .expect("a cluster");

    let client = connect(&cluster.url()).await.expect("a login");
    assert_eq!(ask(&client, "select current_user || '@' || current_database()").await, "app@app");
    assert_eq!(ask(&client, "show max_connections").await, "30");
    assert_eq!(ask(&client, "show work_mem").await, "1234kB");
    client.batch_execute("create table public.t (i int)").await.expect("app owns its database");

    let superuser = connect(&cluster.superuser_url()).await.expect("a login");
    assert_eq!(ask(&superuser, "show is_superuser").await, "on");

    let refused = connect(&cluster.url().replacen("app:", "nobody_enters:", 1)).await;
    let error = refused.expect_err("rejected by the HBA line");
    assert_eq!(error.code().map(|code| code.code()), Some("28000"));
}

#[tokio::test]
async fn a_stopped_cluster_comes_back_on_its_port_with_its_data() {
    let mut cluster = Cluster::new(&recipe()).expect("a cluster");
    for how in [Stop::Fast, Stop::Immediate] {
        let client = connect(&cluster.url()).await.expect("a login");
        client.batch_execute("create table if not exists kept (i int)").await.expect("a table");
        cluster.stop(how).expect("it stops");
        assert!(connect(&cluster.url()).await.is_err(), "nobody listens");
        cluster.start().expect("it starts again");
        let client = connect(&cluster.url()).await.expect("a login");
        client.batch_execute("select * from kept").await.expect("the table is still there");
    }
}

#[test]
fn clusters_live_side_by_side_and_leave_nothing_behind() {
    let folders: Vec<PathBuf> = thread::scope(|scope| {
        let makers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let cluster = Cluster::new(&recipe()).expect("a cluster");
                    assert!(fs::exists(cluster.data_directory().join("PG_VERSION")).expect("a look"));
                    cluster.socket_directory().to_owned()
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().expect("no panic")).collect()
    });
    for folder in folders {
        assert!(!folder.exists(), "{} is still there", folder.display());
    }
}
