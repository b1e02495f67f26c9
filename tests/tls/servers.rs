//! Towards servers: every sslmode against real PostgreSQL with right and wrong certificates.

use std::sync::Arc;
use std::time::Duration;

use pgweir::auth::respond::ChannelBinding;
use pgweir::auth::secret::Secret;
use pgweir::demo::cluster::{Cluster, ROLE, Recipe};
use pgweir::net::dial::Dialer;
use pgweir::net::tls::outbound::{Mode, Outbound, Settings};
use pgweir::server::cancel;
use pgweir::server::connect::{ConnectError, Connector, Established, Target};
use pgweir::server::derive::Deriver;
use pgweir::server::upstream::{Host, SessionAttrs, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::authority::{Authority, Folder, Pair};

pub const MODES: [Mode; 6] =
    [Mode::Disable, Mode::Allow, Mode::Prefer, Mode::Require, Mode::VerifyCa, Mode::VerifyFull];

/// PostgreSQL with a certificate; `hba` stands ahead of the usual lines.
pub fn cluster(pair: &Pair, ca: &Authority, hba: &[&str]) -> Cluster {
    let files = [("server.crt", &pair.certificate), ("server.key", &pair.key), ("ca.crt", &ca.certificate())];
    let recipe = Recipe {
        programs: std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into),
        settings: vec!["ssl = on".into(), "ssl_ca_file = 'ca.crt'".into()],
        hba: hba.iter().map(|line| (*line).to_owned()).collect(),
        files: files.map(|(name, text)| (name.to_owned(), text.clone())).into(),
        ..Recipe::default()
    };
    Cluster::new(&recipe).unwrap()
}

pub fn connector() -> Connector {
    let deriver = Arc::new(Deriver::new(1));
    Connector { dialer: Dialer::default(), deriver, counters: Arc::default() }
}

pub fn upstream(host: &str, port: u16, tls: Settings) -> Upstream {
    let hosts = vec![Host::Tcp { name: host.to_owned(), port }];
    Upstream { hosts, tls, ..Upstream::default() }
}

pub async fn connect(upstream: &Upstream, password: &str) -> Result<Established, ConnectError> {
    let password = Secret::new(password);
    let tls = Outbound::new(&upstream.tls, upstream.tcp_hosts()).expect("usable files");
    let (password, tls) = (Some(&password), Some(&tls));
    let target = Target {
        upstream,
        database: ROLE,
        user: ROLE,
        password,
        passfile: None,
        keyring: None,
        profile: &[],
        minor: 0,
        tls,
    };
    connector().connect(&target, Instant::now() + Duration::from_secs(30)).await
}

/// The first column of the first row.
pub async fn ask(server: &mut Established, sql: &str) -> String {
    let mut query = b"Q".to_vec();
    query.extend((sql.len() as u32 + 5).to_be_bytes());
    query.extend(sql.as_bytes());
    query.push(0);
    server.stream.write_all(&query).await.unwrap();
    let mut value = String::new();
    loop {
        let tag = server.stream.read_u8().await.unwrap();
        let mut body = vec![0; server.stream.read_u32().await.unwrap() as usize - 4];
        server.stream.read_exact(&mut body).await.unwrap();
        match tag {
            b'D' => value = String::from_utf8(body[6..].to_vec()).unwrap(),
            b'E' => panic!("{}", body.escape_ascii()),
            b'Z' => return value,
            _ => {}
        }
    }
}

/// What became of a login.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Plain,
    Tls,
    Nothing,
}

async fn got(upstream: &Upstream, password: &str) -> Got {
    match connect(upstream, password).await {
        Ok(mut server) => {
            let seen = ask(&mut server, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").await;
            assert_eq!(server.stream.is_tls(), seen == "t");
            if server.stream.is_tls() { Got::Tls } else { Got::Plain }
        }
        Err(_) => Got::Nothing,
    }
}

/// F111: what each sslmode makes of each certificate, in this order of [`MODES`].
#[tokio::test]
async fn f111_every_sslmode_with_every_certificate() {
    use Got::{Nothing, Plain, Tls};
    let (ca, other, folder) = (Authority::new("ca"), Authority::new("other"), Folder::new());
    let (right, wrong) =
        (folder.write("ca.crt", &ca.certificate()), folder.write("o.crt", &other.certificate()));
    let good = cluster(&ca.issue(&["localhost"]), &ca, &[]);
    let expired = cluster(&ca.issue_expired(&["localhost"]), &ca, &[]);
    // A CA file makes `require` verify the chain, as in libpq.
    for (what, cluster, host, ca_file, expected) in [
        ("right", &good, "localhost", Some(&right), [Plain, Plain, Tls, Tls, Tls, Tls]),
        ("wrong name", &good, "127.0.0.1", Some(&right), [Plain, Plain, Tls, Tls, Tls, Nothing]),
        ("wrong CA", &good, "localhost", Some(&wrong), [Plain, Plain, Tls, Nothing, Nothing, Nothing]),
        ("expired", &expired, "localhost", Some(&right), [Plain, Plain, Tls, Nothing, Nothing, Nothing]),
        ("system CAs", &good, "localhost", None, [Plain, Plain, Tls, Tls, Nothing, Nothing]),
    ] {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let settings = Settings { mode: Some(mode), ca_file: ca_file.cloned(), ..Settings::default() };
            if mode >= Mode::VerifyCa
                && ca_file.is_none()
                && Outbound::new(&settings, [host].into_iter()).is_err()
            {
                continue; // a machine without CA certificates
            }
            let upstream = upstream(host, cluster.address().port(), settings);
            assert_eq!(got(&upstream, cluster.password()).await, expected, "{what}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn what_pg_hba_demands_is_found_by_allow_and_prefer() {
    use Got::{Nothing, Plain, Tls};
    let ca = Authority::new("ca");
    let pair = ca.issue(&["localhost"]);
    let only_tls = cluster(&pair, &ca, &["hostnossl all all all reject"]);
    let only_plain = cluster(&pair, &ca, &["hostssl all all all reject"]);
    let no_tls = Cluster::new(&Recipe {
        programs: std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into),
        ..Recipe::default()
    });
    let no_tls = no_tls.unwrap();
    for (what, cluster, expected) in [
        ("only TLS", &only_tls, [Nothing, Tls, Tls, Tls]),
        ("only plain text", &only_plain, [Plain, Plain, Plain, Nothing]),
        ("no TLS", &no_tls, [Plain, Plain, Plain, Nothing]),
    ] {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let settings = Settings { mode: Some(mode), ..Settings::default() };
            let upstream = upstream("localhost", cluster.address().port(), settings);
            assert_eq!(got(&upstream, cluster.password()).await, expected, "{what}, {mode:?}");
        }
    }
    // Unix sockets never use TLS.
    let directory = only_tls.socket_directory().into();
    let hosts = vec![Host::Unix { directory, port: only_tls.address().port() }];
    let tls = Settings { mode: Some(Mode::Require), ..Settings::default() };
    let upstream = Upstream { hosts, tls, ..Upstream::default() };
    assert_eq!(got(&upstream, only_tls.password()).await, Plain);
}

#[test]
fn the_default_is_to_verify_all_but_this_machine() {
    let unset = Settings::default();
    for host in ["db", "10.0.0.1", "db.example.com", "127.evil.example", "0.0.0.0", "localhost.example.com"] {
        assert_eq!(unset.mode_for(host), Mode::VerifyFull, "{host}");
    }
    for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(unset.mode_for(host), Mode::Allow, "{host}");
    }
}

#[tokio::test]
async fn a_login_is_bound_to_the_certificate() {
    let ca = Authority::new("ca");
    let scram = cluster(&ca.issue(&["localhost"]), &ca, &[]);
    let trust = cluster(&ca.issue(&["localhost"]), &ca, &["host all all all trust"]);
    for (cluster, mode, binding, works) in [
        (&scram, Mode::Require, ChannelBinding::Require, true),
        (&scram, Mode::Require, ChannelBinding::Prefer, true),
        (&scram, Mode::Require, ChannelBinding::Disable, true),
        // Without TLS there is nothing to bind to; with trust, nobody has proved anything.
        (&scram, Mode::Disable, ChannelBinding::Require, false),
        (&trust, Mode::Require, ChannelBinding::Require, false),
        (&trust, Mode::Require, ChannelBinding::Prefer, true),
    ] {
        let tls = Settings { mode: Some(mode), ..Settings::default() };
        let upstream = upstream("localhost", cluster.address().port(), tls);
        let upstream = Upstream { channel_binding: binding, ..upstream };
        assert_eq!(connect(&upstream, cluster.password()).await.is_ok(), works, "{mode:?} {binding:?}");
    }
}

#[tokio::test]
async fn we_show_a_certificate_of_our_own() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    folder.write_pair("ours", &ca.issue(&["ours"]));
    let hba = ["hostssl all all all scram-sha-256 clientcert=verify-ca"];
    let cluster = cluster(&ca.issue(&["localhost"]), &ca, &hba);
    let tls = Settings { mode: Some(Mode::Require), ..Settings::default() };
    let without = upstream("localhost", cluster.address().port(), tls.clone());
    assert_eq!(got(&without, cluster.password()).await, Got::Nothing);
    let (cert_file, key_file) = (Some(folder.path("ours.crt")), Some(folder.path("ours.key")));
    let with = upstream("localhost", cluster.address().port(), Settings { cert_file, key_file, ..tls });
    assert_eq!(got(&with, cluster.password()).await, Got::Tls);
}

#[tokio::test]
async fn a_revoked_server_is_refused() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    let (pair, other) = (ca.issue(&["localhost"]), ca.issue(&["localhost"]));
    let cluster = cluster(&pair, &ca, &[]);
    let ca_file = Some(folder.write("ca.crt", &ca.certificate()));
    for (revoked, expected) in [(&pair, Got::Nothing), (&other, Got::Tls)] {
        let crl_file = Some(folder.write("ca.crl", &ca.revoke(revoked)));
        let mode = Some(Mode::VerifyFull);
        let tls = Settings { mode, ca_file: ca_file.clone(), crl_file, ..Settings::default() };
        let upstream = upstream("localhost", cluster.address().port(), tls);
        assert_eq!(got(&upstream, cluster.password()).await, expected);
    }
}

#[tokio::test]
async fn another_name_may_stand_in_the_certificate() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    let cluster = cluster(&ca.issue(&["db.example.com"]), &ca, &[]);
    let ca_file = Some(folder.write("ca.crt", &ca.certificate()));
    for (name, expected) in [(None, Got::Nothing), (Some("db.example.com"), Got::Tls)] {
        let (mode, server_name) = (Some(Mode::VerifyFull), name.map(str::to_owned));
        let tls = Settings { mode, ca_file: ca_file.clone(), server_name, ..Settings::default() };
        let upstream = upstream("127.0.0.1", cluster.address().port(), tls);
        assert_eq!(got(&upstream, cluster.password()).await, expected, "{name:?}");
    }
}

/// F102: the request that names a secret goes the way of its session.
#[tokio::test]
async fn f102_a_cancel_request_is_encrypted_like_its_session() {
    let ca = Authority::new("ca");
    let cluster = cluster(&ca.issue(&["localhost"]), &ca, &[]);
    for mode in [Mode::Require, Mode::Disable] {
        let tls = Settings { mode: Some(mode), ..Settings::default() };
        let upstream = upstream("localhost", cluster.address().port(), tls);
        let mut server = connect(&upstream, cluster.password()).await.unwrap();
        assert_eq!(server.route.way.is_some(), mode == Mode::Require);
        server.stream.write_all(b"Q\0\0\0\x19select pg_sleep(600)\0").await.unwrap();
        let mut other = connect(&upstream, cluster.password()).await.unwrap();
        while ask(&mut other, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'").await
            != "1"
        {}
        let (connector, key) = (connector(), server.key.clone().unwrap());
        cancel::send(&connector.dialer, &server.route, &key).await.unwrap();
        assert_eq!(server.stream.read_u8().await.unwrap(), b'T', "{mode:?}");
        let mut rest = vec![0; 4096];
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("57014") {
            let count = server.stream.read(&mut rest).await.unwrap();
            assert!(count > 0, "an error was due");
            seen.extend_from_slice(&rest[..count]);
        }
    }
}

#[tokio::test]
async fn target_session_attrs_chooses_among_hosts() {
    let hba = vec!["host all all all trust".to_owned()];
    let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
    let recipe = Recipe { programs, hba, ..Recipe::default() };
    let (reads, writes) = (Cluster::new(&recipe).unwrap(), Cluster::new(&recipe).unwrap());
    let mut itself =
        connect(&upstream("127.0.0.1", reads.address().port(), Settings::default()), "").await.unwrap();
    ask(&mut itself, "alter role current_user set default_transaction_read_only = on").await;
    let host = |cluster: &Cluster| Host::Tcp { name: "127.0.0.1".into(), port: cluster.address().port() };
    for (attrs, expected) in [
        (SessionAttrs::Any, Some(&reads)),
        (SessionAttrs::ReadOnly, Some(&reads)),
        (SessionAttrs::ReadWrite, Some(&writes)),
        (SessionAttrs::Primary, Some(&reads)),
        (SessionAttrs::PreferStandby, Some(&reads)),
        (SessionAttrs::Standby, None),
    ] {
        let hosts = vec![host(&reads), host(&writes)];
        let upstream = Upstream { hosts, attrs, ..Upstream::default() };
        let met = match connect(&upstream, "").await {
            Ok(mut server) => Some(ask(&mut server, "show port").await),
            Err(ConnectError::Unfit) => None,
            Err(error) => panic!("{attrs:?}: {error}"),
        };
        assert_eq!(met, expected.map(|cluster| cluster.address().port().to_string()), "{attrs:?}");
    }
}
