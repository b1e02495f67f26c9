//! PostgreSQL for the cases: one that those share that do it no harm, or one of a case's own.

use std::ops::Deref;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use pgweir::demo::cluster::{Cluster, ROLE, Recipe, SUPERUSER};
use pgweir_testkit::client::{Client, Place};

/// A cluster that a case works with.
pub enum Postgres {
    Shared(&'static Cluster),
    Own(Box<Cluster>),
}

impl Deref for Postgres {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

/// A new cluster by `recipe`, of the version that the tests are run against.
pub fn make(recipe: Recipe) -> Cluster {
    let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
    Cluster::new(&Recipe { programs, ..recipe }).expect("a cluster")
}

/// The cluster of all cases that do it no harm; each has a database of its own there.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<(Cluster, ChildStdin)> = OnceLock::new();
    let (cluster, _) = SHARED.get_or_init(|| {
        let cluster = make(Recipe { max_connections: Some(300), ..Recipe::default() });
        let heir = end_with_us(&cluster);
        (cluster, heir)
    });
    cluster
}

/// What is static is never dropped: a shell ends the server when the pipe to it breaks, which is when we end.
fn end_with_us(cluster: &Cluster) -> ChildStdin {
    let script = "cat >/dev/null; kill -QUIT $(head -1 \"$0/data/postmaster.pid\"); rm -rf \"$0\"";
    let mut heir = Command::new("sh");
    heir.args(["-c", script]).arg(cluster.socket_directory());
    heir.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    heir.spawn().expect("a shell").stdin.take().expect("stdin is a pipe")
}

/// A role's direct place in a database.
pub fn place(cluster: &Cluster, user: &str, database: &str) -> Place {
    let (user, database) = (user.to_owned(), database.to_owned());
    Place { address: cluster.address(), user, password: cluster.password().to_owned(), database }
}

/// Makes a database that no other case has; gives its name.
pub fn new_database(cluster: &Cluster) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("case_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    make_database(cluster, &name);
    name
}

pub fn make_database(cluster: &Cluster, name: &str) {
    let mut superuser = Client::connect(&place(cluster, SUPERUSER, SUPERUSER), &[]).expect("a login");
    let answer = superuser.ask(&format!("create database {name} owner {ROLE}"));
    assert_eq!(answer, "C[CREATE DATABASE] Z[I]");
}
