//! Where the passwords for servers come from, and what happens when they change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use pgweir::demo::cluster::{Cluster, ROLE};
use pgweir::demo::pooler::Pooler;
use pgweir::net::tls::outbound::Mode;

use crate::authority::Folder;
use crate::kit::{Login, Outcome, count, recipe, run, start, tcp, tls, told};

/// PostgreSQL, and pgweir that lets everybody of this machine in.
struct House {
    cluster: Cluster,
    folder: Folder,
}

impl House {
    fn new() -> Self {
        Self { cluster: Cluster::new(&recipe()).unwrap(), folder: Folder::new() }
    }

    /// `keys`: further keys of the database `app`, `more` whatever follows.
    fn start(&self, keys: &str, more: &str) -> Pooler {
        // Each login is to find out anew: servers don't stay.
        let text = format!(
            "auth.method = 'trust'\npool.server_idle_timeout = '1ms'\npool.queue_timeout = '1s'\n\
             [databases.app]\nhost = '127.0.0.1'\nport = {}\nuser = 'app'\n{keys}\n{more}\n",
            self.cluster.address().port()
        );
        start(&self.folder, &text, &[])
    }

    async fn change_password(&self, to: &str) {
        // Servers that are logged in would stay so.
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'";
        run(&self.cluster, &format!("alter role app password '{to}'; {end}")).await;
    }
}

/// Logs in and runs a query, which is what takes a server.
async fn try_query(pooler: &Pooler, password: &str) -> Outcome {
    let (host, tls) = (tcp(pooler.address()), tls(Mode::Disable, false));
    Login { host, tls, database: ROLE, user: ROLE, password }.query().await
}

/// Tries until the outcome is as expected: a server that was ended may be noticed a moment later, and a refusal is
/// repeated for a while.
async fn eventually(pooler: &Pooler, expected: Result<(), &str>) {
    let began = Instant::now();
    loop {
        let outcome = try_query(pooler, "").await;
        match (&outcome, expected) {
            (Ok(()), Ok(())) => return,
            (Err((_, text)), Err(expected)) if text.ends_with(expected) => return,
            _ => assert!(began.elapsed().as_secs() < 20, "{outcome:?}\n{}", pooler.log()),
        }
    }
}

async fn gets_in(pooler: &Pooler) {
    eventually(pooler, Ok(())).await;
}

#[tokio::test]
async fn a_command_is_asked_again_when_its_password_is_refused() {
    let house = House::new();
    let path = |name: &str| house.folder.path(name).display().to_string();
    let script = house.folder.write(
        "token",
        &format!(
            "echo \"$PGUSER@$PGHOST:$PGPORT/$PGDATABASE\" >> {}; echo 'no word of this' >&2; cat {}",
            path("asked"),
            path("secret")
        ),
    );
    let asked = || fs::read_to_string(house.folder.path("asked")).unwrap_or_default();
    house.folder.write("secret", "first-token\n");
    house.change_password("first-token").await;
    let pooler = house.start(&format!("password_command = ['sh', {:?}]", script), "");
    let expected = format!("app@127.0.0.1:{}/app\n", house.cluster.address().port());
    gets_in(&pooler).await;
    assert_eq!(asked(), expected);
    gets_in(&pooler).await;
    assert_eq!(asked(), expected, "it is remembered");

    house.folder.write("secret", "second-token\n");
    house.change_password("second-token").await;
    gets_in(&pooler).await;
    assert_eq!(asked(), expected.repeat(2));

    house.change_password("third-token").await;
    eventually(&pooler, Err("password authentication failed for user \"app\"")).await;
    for secret in ["first-token", "second-token", "no word of this"] {
        assert!(!pooler.log().contains(secret), "{}", pooler.log());
    }
    fs::remove_file(house.folder.path("secret")).unwrap();
    eventually(&pooler, Err("the password command failed (exit status: 1)")).await;
}

#[tokio::test]
async fn while_a_password_changes_both_are_right() {
    let house = House::new();
    let users = "[users.app]\npassword = 'new'\nother_passwords = ['old']";
    house.change_password("old").await;
    let pooler = house.start("", users);
    gets_in(&pooler).await;
    house.change_password("new").await;
    gets_in(&pooler).await;
    house.change_password("old").await;
    gets_in(&pooler).await;

    // And of clients either is accepted.
    drop(pooler);
    let pooler = start(
        &house.folder,
        &format!(
            "databases.app.host = '127.0.0.1'\ndatabases.app.port = {}\n{users}",
            house.cluster.address().port()
        ),
        &[],
    );
    assert_eq!(try_query(&pooler, "old").await, Ok(()));
    assert_eq!(try_query(&pooler, "new").await, Ok(()));
    assert_eq!(try_query(&pooler, "newer").await.unwrap_err().0, "28P01");
}

#[tokio::test]
async fn a_password_that_is_nowhere_else_is_looked_for_in_libpqs_file() {
    let house = House::new();
    let line = format!("127.0.0.1:*:app:app:{}\n", house.cluster.password());
    let file = house.folder.write("pgpass", &format!("other:*:*:*:wrong\n{line}*:*:*:*:wrong\n"));
    let pooler = house.start(&format!("passfile = {file:?}"), "");
    gets_in(&pooler).await;

    // Read anew for each connection, unless others may read it.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    house.change_password("other").await;
    eventually(&pooler, Err("pgweir: the server asks for a password and none is configured")).await;
    told(&pooler, "others may read it", 1);
    house.folder.write("pgpass", "127.0.0.1:*:app:app:other\n");
    gets_in(&pooler).await;
}

#[tokio::test]
async fn f117_what_is_not_in_require_auth_is_refused() {
    let house = House::new();
    let users = format!("[users.app]\npassword = '{}'", house.cluster.password());
    for (methods, told) in [
        ("scram-sha-256", None),
        ("md5,password", Some("pgweir: the server asks for SCRAM, which is not allowed for this upstream")),
        ("!none", None),
    ] {
        let pooler = house.start(&format!("require_auth = '{methods}'"), &users);
        let outcome = try_query(&pooler, "").await.map_err(|(_, text)| text);
        assert_eq!(outcome.err().as_deref(), told, "{methods}");
    }
}

/// Who looks users up logs in like any server, and so do its passwords change.
#[tokio::test]
async fn users_are_looked_up_with_passwords_from_the_same_places() {
    let house = House::new();
    run(&house.cluster, "create role asker superuser login; create role ann login password 'secret'").await;
    let app = house.cluster.password();
    let (folder, place) = (&house.folder, house.cluster.address());
    let set = async |password: &str| {
        folder.write("asker", password);
        folder.write("pgpass", &format!("127.0.0.1:*:postgres:asker:{password}\n*:*:*:app:{app}\n"));
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'asker'";
        run(&house.cluster, &format!("alter role asker password '{password}'; {end}")).await;
        while count(&house.cluster, "select count(*) from pg_stat_activity where usename = 'asker'").await > 0
        {
        }
    };
    folder.write("app", app);
    let command = format!("cat {}/$PGUSER", folder.root().display());
    for (database, users) in [
        (format!("password_command = ['sh', '-c', {command:?}]"), String::new()),
        (format!("passfile = {:?}", folder.path("pgpass")), String::new()),
        (
            String::new(),
            format!(
                "users.asker = {{ password = 'new', other_passwords = ['old'] }}\nusers.app.password = '{app}'"
            ),
        ),
    ] {
        set("old").await;
        let text = format!(
            "auth.user = 'asker'\nauth.dbname = 'postgres'\n{users}\n[databases.'*']\nhost = '127.0.0.1'\nport = {}\n\
             user = 'app'\n{database}\n",
            place.port()
        );
        let pooler = start(folder, &text, &[]);
        let ann = async |password| {
            let (host, tls) = (tcp(pooler.address()), tls(Mode::Disable, false));
            Login { host, tls, database: ROLE, user: "ann", password }.query().await
        };
        assert_eq!(ann("secret").await, Ok(()), "{database}\n{}", pooler.log());
        set("new").await;
        assert_eq!(ann("secret").await, Ok(()), "{database}\n{}", pooler.log());
        assert_eq!(ann("wrong").await.unwrap_err().0, "28P01");
    }
}
