//! `peer`, by processes of root and of a user without any rights: PostgreSQL and pgweir, given the same rules, say the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};
use pgweir::demo::cluster::{Cluster, ROLE, Recipe};

use crate::authority::Folder;
use crate::kit::{recipe, run, start};

const NOBODY: &str = "nobody";
const HBA: &str = "\
local mapped   all         peer map=m
local by_regex all         peer map=r
local exact    all         peer
local all      postgres    trust
host  all      all    all  reject
";
const IDENT: &str = "\
m nobody app
r /^no(.*)$ \\1
";

/// Those whose processes this test may start.
fn system_users() -> Vec<String> {
    match geteuid().is_root() {
        true => vec!["root".to_owned(), NOBODY.to_owned()],
        false => vec![User::from_uid(geteuid()).unwrap().expect("we have a name").name],
    }
}

/// What psql says of a login, run by this user of the system.
fn login(system_user: &str, directory: &Path, port: u16, database: &str, user: &str) -> String {
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            let owner = User::from_name(system_user).unwrap().expect("every system has them");
            let (uid, gid) = (format!("--reuid={}", owner.uid), format!("--regid={}", owner.gid));
            command.args([&uid, &gid, "--clear-groups", "psql"]);
            command
        }
        false => Command::new("psql"),
    };
    let place = format!("host={} port={port} dbname={database} user={user}", directory.display());
    command.args(["-XAtqw", "-c", "select session_user", &place]).current_dir("/").env("LC_ALL", "C");
    let output = command.env("PGCONNECT_TIMEOUT", "20").output().unwrap();
    let text = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    text.trim().rsplit("FATAL:  ").next().unwrap_or_default().to_owned()
}

/// With the roles and databases that the rules name.
async fn filled(recipe: Recipe) -> Cluster {
    let cluster = Cluster::new(&recipe).unwrap();
    let roles = ["nobody", "root", "body"].map(|role| format!("create role {role} login"));
    let databases = ["mapped", "by_regex", "exact"].map(|name| format!("create database {name}"));
    run(&cluster, &[roles, databases].concat().join(";")).await;
    cluster
}

#[tokio::test]
async fn a_process_comes_in_as_whom_it_belongs_to() {
    let folder = Folder::new();
    let hba: Vec<_> = HBA.lines().map(str::to_owned).collect();
    let files = vec![("pg_ident.conf".to_owned(), IDENT.to_owned())];
    // The last rule would shut us out, too, who make the roles.
    let own = vec!["host all postgres 127.0.0.1/32 scram-sha-256".to_owned()];
    let judge = filled(Recipe { hba: [own, hba].concat(), files, ..recipe() }).await;
    let upstream = filled(Recipe { hba: vec!["host all all 127.0.0.1/32 trust".into()], ..recipe() }).await;
    let text = format!(
        "databases.'*'.url = 'postgres://{}'\nauth.hba_file = {:?}\nauth.ident_file = {:?}\n",
        upstream.address(),
        folder.write("hba", HBA),
        folder.write("ident", IDENT)
    );
    let pooler = start(&folder, &text, &["--listen", &format!("unix:{}", folder.root().display())]);
    // Others have to get to the sockets.
    for directory in [folder.root(), judge.socket_directory()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut let_in = Vec::new();
    for system_user in system_users() {
        for database in ["mapped", "by_regex", "exact"] {
            for user in [ROLE, NOBODY, "body", "root", "nowhere"] {
                let (directory, port) = (judge.socket_directory(), judge.address().port());
                let expected = login(&system_user, directory, port, database, user);
                let got = login(&system_user, folder.root(), 6432, database, user);
                assert_eq!(got, expected, "{system_user} as {user} in {database}\n{}", pooler.log());
                if got == user {
                    let_in.push((system_user.clone(), database, user));
                }
            }
        }
    }
    if geteuid().is_root() {
        let expected = [
            ("root", "exact", "root"),
            (NOBODY, "mapped", ROLE),
            (NOBODY, "by_regex", "body"),
            (NOBODY, "exact", NOBODY),
        ];
        let expected = expected.map(|(system, database, user)| (system.to_owned(), database, user));
        assert_eq!(let_in, expected);
    }
}
