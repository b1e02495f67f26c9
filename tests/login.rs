//! Logins on both sides, with the real thing at the other end: PostgreSQL's server, psql, tokio-postgres.
#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener as StdListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pgweir::auth::hba::{Allowed, Hba};
use pgweir::auth::login::Authenticated;
use pgweir::auth::respond::Refusal;
use pgweir::auth::roster::Roster;
use pgweir::auth::secret::Secret;
use pgweir::auth::users::{Method, Users};
use pgweir::client::admission::Admission;
use pgweir::client::entrance::Entrance;
use pgweir::client::limits::ClientLimits;
use pgweir::client::login::{Arrival, HeldBack, Rules, receive, refuse, welcome};
use pgweir::net::dial::Dialer;
use pgweir::net::listen::{Address, Listener};
use pgweir::net::options::TcpOptions;
use pgweir::net::stream::Stream;
use pgweir::server::connect::{ConnectError, Connector, Established, Target};
use pgweir::server::derive::Deriver;
use pgweir::server::lookup::Lookups;
use pgweir::server::upstream::{AllowedMethods, Host, Upstream};
use pgweir::wire::fault::Fault;
use pgweir::wire::startup::{CancelKey, Startup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

// ---- pgweir as a client: a throw-away PostgreSQL ----

/// A PostgreSQL of our own, stopped when dropped.
struct Cluster {
    home: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

const HBA: &str = "\
local all all trust
host all scram_user 127.0.0.1/32 scram-sha-256
host all md5_user   127.0.0.1/32 md5
host all clear_user 127.0.0.1/32 password
host all trust_user 127.0.0.1/32 trust
";

const ROLES: &str = "
    set password_encryption = 'scram-sha-256';
    create role scram_user login password 'n\u{e4}ive'; create role clear_user login password 'secret';
    set password_encryption = 'md5'; create role md5_user login password 'secret';
    create role trust_user login;
";

impl Cluster {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { home, bin: binaries(), port };
        fs::set_permissions(cluster.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(cluster.home.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]);
        fs::write(Path::new(&data).join("pg_hba.conf"), HBA).unwrap();
        let home = cluster.home.path().display();
        let options = format!("-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off");
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", &format!("{home}/log"), "-o", &options, "start"]);
        let host = home.to_string();
        cluster.run("psql", &["-h", &host, "-p", &port.to_string(), "-U", "postgres", "-qc", ROLES]);
        cluster
    }

    fn data(&self) -> String {
        self.home.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir("/").env("LC_ALL", "C.UTF-8");
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        // pg_ctl leaves the server with the descriptors that it got: no pipes.
        let log = fs::File::create(self.home.path().join(format!("{program}.out"))).unwrap();
        let status = command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        let told = || fs::read_to_string(self.home.path().join(format!("{program}.out"))).unwrap_or_default();
        assert!(status.success(), "{program}: {}", told());
    }

    fn tcp(&self) -> Host {
        Host::Tcp { name: "127.0.0.1".into(), port: self.port }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }
}

fn binaries() -> PathBuf {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_default()
}

/// PostgreSQL doesn't run as root: whom to run it as instead.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    Some((ids.next().unwrap(), ids.next().unwrap()))
}

fn upstream(hosts: Vec<Host>) -> Upstream {
    let allowed = AllowedMethods { md5: true, cleartext: true, ..AllowedMethods::default() };
    Upstream { hosts, allowed, ..Upstream::default() }
}

fn target<'a>(upstream: &'a Upstream, user: &'a str, password: Option<&'a Secret>) -> Target<'a> {
    Target {
        upstream,
        database: "postgres",
        user,
        password,
        passfile: None,
        keyring: None,
        profile: &[],
        minor: 0,
        tls: None,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// The first column of the first row.
async fn ask(server: &mut Established, sql: &str) -> String {
    let mut query = b"Q".to_vec();
    query.extend((sql.len() as u32 + 5).to_be_bytes());
    query.extend(sql.as_bytes());
    query.push(0);
    server.stream.write_all(&query).await.unwrap();
    let mut value = String::new();
    loop {
        let (tag, body) = message(&mut server.stream).await.unwrap();
        match tag {
            b'D' => value = String::from_utf8(body[6..].to_vec()).unwrap(),
            b'E' => panic!("{}", body.escape_ascii()),
            b'Z' => return value,
            _ => {}
        }
    }
}

async fn message(stream: &mut Stream) -> Option<(u8, Vec<u8>)> {
    let tag = stream.read_u8().await.ok()?;
    let mut body = vec![0; stream.read_u32().await.ok()? as usize - 4];
    stream.read_exact(&mut body).await.ok()?;
    Some((tag, body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_logged_in_to() {
    let cluster = Cluster::start();
    let connector =
        Connector { dialer: Dialer::default(), deriver: Arc::new(Deriver::new(2)), counters: Arc::default() };
    each_method(&cluster, &connector).await;
    what_a_session_is_made_of(&cluster, &connector).await;
    hosts_in_order(&cluster, &connector).await;
    errors_of_the_server(&cluster, &connector).await;
    f117_methods_that_are_not_allowed(&cluster, &connector).await;
}

async fn each_method(cluster: &Cluster, connector: &Connector) {
    let (good, naive) = (Secret::new("secret"), Secret::new("n\u{e4}ive"));
    let unix = Host::Unix { directory: cluster.home.path().into(), port: cluster.port };
    for (host, user, password) in [
        (cluster.tcp(), "scram_user", Some(&naive)),
        (cluster.tcp(), "scram_user", Some(&naive)),
        (cluster.tcp(), "md5_user", Some(&good)),
        (cluster.tcp(), "clear_user", Some(&good)),
        (cluster.tcp(), "trust_user", None),
        (unix, "postgres", None),
    ] {
        let upstream = upstream(vec![host]);
        let mut server = connector.connect(&target(&upstream, user, password), soon()).await.unwrap();
        assert_eq!(ask(&mut server, "select current_user").await, user);
    }
}

async fn what_a_session_is_made_of(cluster: &Cluster, connector: &Connector) {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let upstream = Upstream {
        user: Some("trust_user".into()),
        parameters: pairs(&[("application_name", "pgweir"), ("options", "-c a.b=1 -c work_mem=1234kB")]),
        ..upstream(vec![cluster.tcp()])
    };
    let profile = pairs(&[("TimeZone", "Asia/Tokyo"), ("options", "-c a.b=2"), ("search_path", "x, y")]);
    let target = Target { profile: &profile, minor: 2, ..target(&upstream, "someone", None) };
    let mut server = connector.connect(&target, soon()).await.unwrap();
    let reported = |name: &str| {
        let found = server.parameters.iter().find(|(reported, _)| reported == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(reported("TimeZone"), "Asia/Tokyo");
    assert_eq!(reported("application_name"), "pgweir");
    let version: u32 = reported("server_version").split('.').next().unwrap().parse().unwrap();
    assert_eq!(server.minor, if version >= 18 { 2 } else { 0 });
    let key = server.key.clone().unwrap();
    assert_eq!(ask(&mut server, "select pg_backend_pid()").await, key.pid.to_string());
    for (setting, value) in [("a.b", "2"), ("work_mem", "1234kB"), ("search_path", "x, y")] {
        assert_eq!(ask(&mut server, &format!("show {setting}")).await, value);
    }
}

async fn hosts_in_order(cluster: &Cluster, connector: &Connector) {
    let closed = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = [
        Host::Tcp { name: "127.0.0.1".into(), port: closed },
        Host::Unix { directory: "/nonexistent".into(), port: 1 },
        Host::Tcp { name: "name.invalid".into(), port: 1 },
    ];
    let alive = upstream([&dead[..], &[cluster.tcp()]].concat());
    connector.connect(&target(&alive, "trust_user", None), soon()).await.unwrap();
    let error = connector.connect(&target(&upstream(dead.to_vec()), "x", None), soon()).await;
    assert!(matches!(error, Err(ConnectError::Unreachable(_))), "{error:?}");
}

async fn errors_of_the_server(cluster: &Cluster, connector: &Connector) {
    let upstream = upstream(vec![cluster.tcp()]);
    let wrong = Secret::new("wrong");
    for (user, database, code) in [
        ("scram_user", "postgres", "28P01"),
        ("md5_user", "postgres", "28P01"),
        ("clear_user", "postgres", "28P01"),
        ("trust_user", "nowhere", "3D000"),
        ("nobody", "postgres", "28000"),
    ] {
        let target = Target { database, ..target(&upstream, user, Some(&wrong)) };
        match connector.connect(&target, soon()).await {
            Err(ConnectError::Refused { sqlstate, .. }) => assert_eq!(sqlstate.as_str(), code, "{user}"),
            other => panic!("{user}: {other:?}"),
        }
    }
}

async fn f117_methods_that_are_not_allowed(cluster: &Cluster, connector: &Connector) {
    let secret = Secret::new("secret");
    let upstream = Upstream { allowed: AllowedMethods::default(), ..upstream(vec![cluster.tcp()]) };
    for user in ["md5_user", "clear_user"] {
        let error = connector.connect(&target(&upstream, user, Some(&secret)), soon()).await;
        assert!(matches!(error, Err(ConnectError::Auth(Refusal::NotAllowed(_)))), "{error:?}");
    }
    let error = connector.connect(&target(&upstream, "scram_user", None), soon()).await;
    assert!(matches!(error, Err(ConnectError::Auth(Refusal::NoPassword))), "{error:?}");
}

// ---- pgweir as a server: real clients ----

const KEY: (i32, [u8; 4]) = (4_194_305, [1, 2, 3, 4]);

/// What the front door saw.
#[derive(Debug)]
enum Seen {
    Session(Authenticated, Startup),
    Cancel(CancelKey),
    Refused(Fault),
    Closed,
}

/// A server with nothing behind it: it logs clients in and answers each query with nothing.
struct FrontDoor {
    port: u16,
    seen: mpsc::UnboundedReceiver<Seen>,
}

async fn front_door(method: Method, secrets: &[(&str, &str)]) -> FrontDoor {
    let secrets: HashMap<_, _> =
        secrets.iter().map(|(user, secret)| (user.to_string(), Secret::new(*secret))).collect();
    let roster = Arc::new(Roster::new(&Users { secrets, ..Users::default() }, [5; 32]).unwrap());
    let deriver = Arc::new(Deriver::new(1));
    let timeout = Duration::from_secs(30);
    let admission = Arc::new(Admission::new(Hba::of_method(method, Allowed::default())));
    let rules = Rules {
        admission,
        roster,
        lookups: Lookups::default(),
        keyring: Arc::default(),
        deriver,
        timeout,
        tls: None,
        counters: Arc::default(),
        held_back: HeldBack::default(),
    };
    let rules = Arc::new(rules);
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 0 };
    let mut listener = Listener::bind(&[address], TcpOptions::default()).await.unwrap();
    let port = listener.tcp_addresses().next().unwrap().port();
    let (report, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while !report.is_closed() {
            let (stream, rules, report) = (listener.accept().await, Arc::clone(&rules), report.clone());
            tokio::spawn(async move {
                let entrance = Entrance::new(&ClientLimits::default());
                let mut slot = entrance.enter(stream.peer().into(), Instant::now().into_std()).unwrap();
                let seen = match receive(stream, &rules, &mut slot).await {
                    Ok(Arrival::Session(guest)) if guest.startup.database == "nowhere" => {
                        let fault = Fault::UnknownDatabase("nowhere".into());
                        refuse(*guest, &fault).await;
                        Seen::Refused(fault)
                    }
                    Ok(Arrival::Session(mut guest)) => {
                        let parameters = [("server_version", "15.0"), ("client_encoding", "UTF8")];
                        welcome(&mut guest, parameters.into_iter(), KEY.0, &KEY.1).await.unwrap();
                        tokio::spawn(answer_nothing(guest.stream));
                        Seen::Session(guest.authenticated, guest.startup)
                    }
                    Ok(Arrival::Cancel(key, _)) => Seen::Cancel(key),
                    Ok(Arrival::Closed) => Seen::Closed,
                    Err(fault) => Seen::Refused(fault),
                };
                let _ = report.send(seen);
            });
        }
    });
    FrontDoor { port, seen }
}

async fn answer_nothing(mut stream: Stream) {
    while let Some((b'Q', _)) = message(&mut stream).await {
        if stream.write_all(b"I\0\0\0\x04Z\0\0\0\x05I").await.is_err() {
            return;
        }
    }
}

/// Runs psql; gives what it said on its standard error, empty if all went well.
async fn psql(door: &FrontDoor, user: &str, password: &str, more: &str) -> String {
    let conninfo = format!("host=127.0.0.1 port={} user={user} {more}", door.port);
    let mut command = client_program("psql");
    command.args(["-XAtc", "select 1", &conninfo]).env("PGPASSWORD", password).env("LC_ALL", "C");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

fn client_program(program: &str) -> Command {
    let ours = binaries().join(program);
    Command::new(if ours.exists() { ours } else { program.into() })
}

fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

#[tokio::test]
async fn psql_logs_in_by_each_method() {
    let md5 = postgres_protocol::password::md5(b"secret", "ann");
    let verifier = verifier("secret");
    for (method, secret, proved_by) in [
        (Method::Trust, "-", Method::Trust),
        (Method::Cleartext, "secret", Method::Cleartext),
        (Method::Cleartext, &verifier, Method::Cleartext),
        (Method::Md5, "secret", Method::Md5),
        (Method::Md5, &md5, Method::Md5),
        (Method::Md5, &verifier, Method::ScramSha256),
        (Method::ScramSha256, "secret", Method::ScramSha256),
        (Method::ScramSha256, &verifier, Method::ScramSha256),
    ] {
        let mut door = front_door(method, &[("ann", secret)]).await;
        assert_eq!(psql(&door, "ann", "secret", "dbname=shop").await, "", "{method:?} {secret}");
        let Some(Seen::Session(who, startup)) = door.seen.recv().await else { panic!() };
        assert_eq!((who.user(), who.method()), ("ann", proved_by));
        assert_eq!((startup.database.as_str(), startup.application_name.as_deref()), ("shop", Some("psql")));
    }
}

#[tokio::test]
async fn f114_psql_hears_one_text_for_every_failed_login() {
    for method in [Method::Cleartext, Method::Md5, Method::ScramSha256] {
        let mut door = front_door(method, &[("ann", "secret")]).await;
        for (user, database) in [("ann", "shop"), ("bob", "shop"), ("ann", "nowhere"), ("bob", "nowhere")] {
            let said = psql(&door, user, "wrong", &format!("dbname={database}")).await;
            let expected = format!("FATAL:  password authentication failed for user \"{user}\"\n");
            assert!(said.ends_with(&expected), "{said}");
            assert!(matches!(door.seen.recv().await, Some(Seen::Refused(Fault::LoginFailed { .. }))));
        }
        let said = psql(&door, "ann", "secret", "dbname=nowhere").await;
        assert!(said.ends_with("FATAL:  database \"nowhere\" does not exist\n"), "{said}");
    }
}

#[tokio::test]
async fn psql_asks_for_encryption_first() {
    let door = front_door(Method::ScramSha256, &[("ann", "secret")]).await;
    for mode in ["sslmode=prefer gssencmode=prefer", "sslmode=disable", "sslmode=allow"] {
        assert_eq!(psql(&door, "ann", "secret", mode).await, "", "{mode}");
    }
    let said = psql(&door, "ann", "secret", "sslmode=require").await;
    assert!(said.contains("server does not support SSL"), "{said}");
}

#[tokio::test]
async fn f20_psql_hears_that_replication_is_not_supported() {
    let door = front_door(Method::ScramSha256, &[("ann", "secret")]).await;
    let said = psql(&door, "ann", "secret", "replication=database").await;
    assert!(said.ends_with("FATAL:  pgweir: replication is not supported\n"), "{said}");
}

#[tokio::test]
async fn tokio_postgres_logs_in_and_cancels() {
    for method in [Method::Trust, Method::Cleartext, Method::Md5, Method::ScramSha256] {
        let mut door = front_door(method, &[("ann", "n\u{e4}ive")]).await;
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(door.port).user("ann").password("n\u{e4}ive").options("-c a.b=1");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let Some(Seen::Session(who, startup)) = door.seen.recv().await else { panic!() };
        assert_eq!((who.user(), who.method()), ("ann", method));
        let options = ("options".to_owned(), "-c a.b=1".to_owned());
        assert!(startup.profile.contains(&options), "{:?}", startup.profile);
        client.simple_query("select 1").await.unwrap();
        client.cancel_token().cancel_query(tokio_postgres::NoTls).await.unwrap();
        let Some(Seen::Cancel(key)) = door.seen.recv().await else { panic!() };
        assert_eq!(key, CancelKey { pid: KEY.0, secret: KEY.1.into() });
        drop(client);
        connection.await.unwrap().unwrap();

        config.password("naive");
        if method != Method::Trust {
            let error = config.connect(tokio_postgres::NoTls).await.err().unwrap();
            assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
        }
    }
}
