//! Towards clients: psql by every sslmode, direct TLS, client certificates, and what is refused.

use std::process::Command;
use std::sync::Arc;

use pgweir::demo::cluster::{Cluster, ROLE, Recipe};
use pgweir::demo::pooler::{Error, Pooler};
use pgweir::net::tls::outbound::{Mode, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::authority::{Authority, Folder};
use crate::servers::{ask, connect, upstream};

/// PostgreSQL without TLS, pgweir with it, and the files of both ends.
pub struct House {
    pub ca: Authority,
    pub folder: Folder,
    // Dropped in this order.
    pub pooler: Pooler,
    pub cluster: Cluster,
}

impl House {
    /// `settings`: further lines of `[tls.client]`.
    pub fn new(settings: &str) -> Self {
        let ca = Authority::new("ca");
        let folder = Folder::new();
        folder.write("ca.crt", &ca.certificate());
        folder.write_pair("pgweir", &ca.issue(&["localhost"]));
        let programs = std::env::var_os("PGWEIR_TEST_PGBIN").map(Into::into);
        let cluster = Cluster::new(&Recipe { programs, ..Recipe::default() }).unwrap();
        let pooler = start(&folder, &cluster.url(), settings).unwrap();
        Self { ca, folder, pooler, cluster }
    }

    pub fn psql(&self, host: &str, parameters: &str) -> Result<String, String> {
        let conninfo = format!(
            "host={host} port={} user={ROLE} dbname={ROLE} password={} {parameters}",
            self.pooler.address().port(),
            self.cluster.password()
        );
        psql(&conninfo, "select 'in'")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    pub fn metric(&self, line: &str) -> u64 {
        let mut stream = TcpStream::connect(self.pooler.http()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let value = page.lines().find_map(|found| found.strip_prefix(line));
        value.unwrap_or_else(|| panic!("no {line} in\n{page}")).trim().parse().unwrap()
    }
}

/// Starts pgweir with the certificate `pgweir` of the folder.
pub fn start(folder: &Folder, url: &str, settings: &str) -> Result<Pooler, Error> {
    start_with(folder, url, settings, &[])
}

fn start_with(folder: &Folder, url: &str, settings: &str, arguments: &[&str]) -> Result<Pooler, Error> {
    let (certificate, key) = (folder.path("pgweir.crt"), folder.path("pgweir.key"));
    let text = format!("[tls.client]\ncert_file = {certificate:?}\nkey_file = {key:?}\n{settings}\n");
    let file = folder.write("pgweir.toml", &text);
    let file = file.display().to_string();
    let arguments = [&["--config", &file], arguments].concat();
    let program = Path::new(env!("CARGO_BIN_EXE_pgweir"));
    Pooler::start(program, url, &arguments, &folder.path("pgweir.log"))
}

/// What psql prints, or its complaint.
pub fn psql(conninfo: &str, sql: &str) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-c", sql, conninfo]).env("PGCONNECT_TIMEOUT", "20").env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Each mode of ours with each of libpq's: who gets in, in this order of [`SSLMODES`].
#[test]
fn every_mode_with_every_sslmode() {
    let with_ca =
        |folder: &Folder, mode: &str| format!("mode = \"{mode}\"\nca_file = {:?}", folder.path("ca.crt"));
    let mut house = House::new("");
    for (mode, expected) in [
        ("disable", "yyynnn"),
        ("allow", "yyyyyy"),
        ("prefer", "yyyyyy"),
        ("require", "nyyyyy"),
        // Nobody shows a certificate here.
        ("verify-ca", "nnnnnn"),
        ("verify-full", "nnnnnn"),
    ] {
        let settings = with_ca(&house.folder, mode);
        house.pooler = start(&house.folder, &house.cluster.url(), &settings).unwrap();
        let root = house.file("ca.crt");
        let got = |sslmode: &str| {
            let entered = house.psql("localhost", &format!("sslmode={sslmode} sslrootcert={root}"));
            if entered.is_ok() { "y" } else { "n" }
        };
        assert_eq!(SSLMODES.map(got).concat(), expected, "{mode}");
    }
}

/// Over a Unix socket nobody needs TLS, and nobody gets it.
#[test]
fn unix_sockets_stay_plain() {
    let mut house = House::new("");
    let directory = house.folder.root().display().to_string();
    let settings = format!("mode = \"verify-full\"\nca_file = {:?}", house.folder.path("ca.crt"));
    house.pooler = start_with(
        &house.folder,
        &house.cluster.url(),
        &settings,
        &["--listen", &format!("unix:{directory}")],
    )
    .unwrap();
    let place =
        format!("host={directory} port=6432 user={ROLE} dbname={ROLE} password={}", house.cluster.password());
    assert_eq!(psql(&place, "select 'in'").as_deref(), Ok("in"));
    let mut stream = std::os::unix::net::UnixStream::connect(house.folder.path(".s.PGSQL.6432")).unwrap();
    let mut answer = [0; 1];
    stream
        .write_all(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])
        .and_then(|()| stream.read_exact(&mut answer))
        .unwrap();
    assert_eq!(answer, *b"N");
}

#[test]
fn libpq_verifies_us() {
    let house = House::new("mode = \"require\"");
    let root = house.file("ca.crt");
    let bound = format!("sslmode=verify-full sslrootcert={root} channel_binding=require");
    assert_eq!(house.psql("localhost", &bound).as_deref(), Ok("in"));
    assert!(house.psql("127.0.0.1", &bound).unwrap_err().contains("does not match host name"));
    let other = house.folder.write("other.crt", &Authority::new("other").certificate());
    let complaint = house.psql("localhost", &format!("sslmode=verify-ca sslrootcert={}", other.display()));
    assert!(complaint.unwrap_err().contains("certificate verify failed"));
    let complaint = house.psql("localhost", "sslmode=disable").unwrap_err();
    assert!(complaint.contains("pgweir: connection refused by rule: TLS is required"), "{complaint}");
    assert!(house.metric("pgweir_client_tls_handshakes_total{outcome=\"ok\"}") >= 2);
    assert!(house.metric("pgweir_client_tls_handshakes_total{outcome=\"failed\"}") >= 1);
    let ends = house.metric("pgweir_tls_certificate_not_after_seconds{side=\"client\"}");
    assert_eq!(ends, 4_102_444_800, "2100-01-01");
}

#[test]
fn f111_clients_certificates() {
    let mut house = House::new("");
    let stranger = Authority::new("stranger").issue(&["app"]);
    let (app, revoked, expired) =
        (house.ca.issue(&["app"]), house.ca.issue(&["app"]), house.ca.issue_expired(&["app"]));
    for (name, pair) in [("app", &app), ("revoked", &revoked), ("expired", &expired), ("stranger", &stranger)]
    {
        house.folder.write_pair(name, pair);
    }
    house.folder.write("ca.crl", &house.ca.revoke(&revoked));
    let settings = format!(
        "mode = \"verify-ca\"\nca_file = {:?}\ncrl_file = {:?}",
        house.folder.path("ca.crt"),
        house.folder.path("ca.crl")
    );
    house.pooler = start(&house.folder, &house.cluster.url(), &settings).unwrap();
    for (name, enters) in [("app", true), ("revoked", false), ("expired", false), ("stranger", false)] {
        let (certificate, key) = (house.file(&format!("{name}.crt")), house.file(&format!("{name}.key")));
        let shown = format!("sslmode=require sslcert={certificate} sslkey={key}");
        assert_eq!(house.psql("localhost", &shown).is_ok(), enters, "{name}");
    }
    assert!(house.psql("localhost", "sslmode=require").unwrap_err().contains("certificate required"));
}

/// What is large arrives whole, in both directions and through TLS on both sides.
#[test]
fn bulk_goes_through_both_sides() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    folder.write("ca.crt", &ca.certificate());
    folder.write_pair("pgweir", &ca.issue(&["localhost"]));
    let cluster = crate::servers::cluster(&ca.issue(&["localhost"]), &ca, &[]);
    let address = cluster.address();
    let url = format!(
        "postgres://{ROLE}:{}@localhost:{}/{ROLE}?sslmode=verify-full&channel_binding=require&sslrootcert={}",
        cluster.password(),
        address.port(),
        folder.path("ca.crt").display()
    );
    let pooler = start(&folder, &url, "").unwrap();
    let conninfo = format!(
        "host=localhost port={} user={ROLE} dbname={ROLE} password={} sslmode=verify-full sslrootcert={}",
        pooler.address().port(),
        cluster.password(),
        folder.path("ca.crt").display()
    );
    let rows = psql(&conninfo, "select string_agg(i::text, ',') from generate_series(1, 400000) i").unwrap();
    let expected: Vec<_> = (1..=400_000).map(|i| i.to_string()).collect();
    assert!(rows == expected.join(","), "{} bytes", rows.len());
    let rows = psql(&conninfo, "select repeat('x', 100) from generate_series(1, 50000)").unwrap();
    assert_eq!((rows.lines().count(), rows.len()), (50_000, 50_000 * 101 - 1));
    // One large statement; and the server side is encrypted indeed.
    let literal = "y".repeat(100_000);
    let sql =
        format!("select length('{literal}')::text || ssl from pg_stat_ssl where pid = pg_backend_pid()");
    assert_eq!(psql(&conninfo, &sql).as_deref(), Ok("100000true"));
}

/// Waiting doesn't bring TLS about, so clients hear it at once.
#[test]
fn what_is_wrong_with_servers_tls_is_told() {
    let mut house = House::new("");
    let port = house.cluster.address().port();
    let root = house.file("ca.crt");
    let url = format!(
        "postgres://{ROLE}:{}@localhost:{port}/{ROLE}?sslmode=verify-full&sslrootcert={root}",
        house.cluster.password()
    );
    house.pooler = start(&house.folder, &url, "").unwrap();
    let complaint = house.psql("localhost", "").unwrap_err();
    assert!(complaint.contains("pgweir: the server offers no TLS"), "{complaint}");
    let stranger = Authority::new("stranger");
    let cluster = crate::servers::cluster(&stranger.issue(&["localhost"]), &stranger, &[]);
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", cluster.address().port()));
    house.pooler = start(&house.folder, &url, "").unwrap();
    let complaint = house.psql("localhost", "").unwrap_err();
    assert!(complaint.contains("pgweir: TLS to the server: invalid peer certificate"), "{complaint}");
}

/// A TLS client by hand.
pub fn hello(
    house: &House,
    alpn: &[&[u8]],
    fragment: Option<usize>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(house.ca.certificate().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.max_fragment_size = fragment;
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(house.pooler.address()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

pub fn startup() -> Vec<u8> {
    let body = format!("\0\x03\0\0user\0{ROLE}\0database\0{ROLE}\0\0");
    [&(body.len() as u32 + 4).to_be_bytes(), body.as_bytes()].concat()
}

#[test]
fn direct_tls_must_name_the_protocol() {
    let house = House::new("");
    for (alpn, welcome) in [(&[&b"postgresql"[..]][..], true), (&[], false), (&[&b"http/1.1"[..]], false)] {
        let mut stream = hello(&house, alpn, None);
        let mut answer = [0; 1];
        let answered = stream.write_all(&startup()).and_then(|()| stream.read_exact(&mut answer));
        assert_eq!(answered.is_ok() && answer == *b"R", welcome, "{alpn:?}: {answered:?}");
    }
}

/// And as pgweir speaks it to servers: to another pgweir.
#[tokio::test(flavor = "multi_thread")]
async fn direct_tls_to_a_server() {
    let house = House::new("");
    let port = house.pooler.address().port();
    let (mode, ca_file) = (Some(Mode::VerifyFull), Some(house.folder.path("ca.crt")));
    let tls = Settings { mode, ca_file, direct: true, ..Settings::default() };
    let mut server = connect(&upstream("localhost", port, tls), house.cluster.password()).await.unwrap();
    assert!(server.stream.is_tls());
    assert_eq!(ask(&mut server, "select 'in'").await, "in");
}

/// F111: records of one byte, each sent by itself.
#[test]
fn f111_the_smallest_records() {
    let house = House::new("");
    let mut stream = hello(&house, &[b"postgresql"], Some(32));
    for byte in startup() {
        stream.write_all(&[byte]).unwrap();
        stream.flush().unwrap();
    }
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"R");
}
