//! The throw-away PostgreSQL keeps its promises, and `pgweir demo` tells its story to the end.
#![allow(clippy::disallowed_methods)]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use pgweir::demo::cluster::{Cluster, Recipe, Stop};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
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

/// A folder for the demo's temporary files, which another user than root may enter.
fn temporary_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

fn demo(arguments: &[&str], folder: &TempDir) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.arg("demo").args(arguments).env("TMPDIR", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

fn assert_empty(folder: &TempDir) {
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("a look").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn the_demo_tells_its_story_to_the_end() {
    let folder = temporary_folder();
    let output = demo(&["--clients", "60", "--servers", "4", "--seconds", "1"], &folder).wait_with_output();
    let output = output.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    for part in ["60 clients straight to it", "were refused", "✓ every client got in"] {
        assert!(text.contains(part), "no \"{part}\" in\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours in a pipe");
    assert_empty(&folder);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let folder = temporary_folder();
    let mut demo = demo(&["--clients", "60", "--servers", "4", "--seconds", "3600"], &folder);
    let mut lines = BufReader::new(demo.stdout.take().expect("stdout is a pipe")).lines();
    let listens = lines.any(|line| line.expect("text").contains("pgweir listens"));
    assert!(listens, "it never came to the third act");
    kill_process(Pid::from_child(&demo), Signal::INT).expect("it runs");
    lines.for_each(drop);
    assert!(demo.wait().expect("it ends").success());
    assert_empty(&folder);
}
