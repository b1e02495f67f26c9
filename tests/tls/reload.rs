//! Certificates that are replaced, and files that can't be used.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::clients::{House, hello, start, startup};

fn hang_up(house: &House) {
    let pid = Pid::from_raw(house.pooler.pid() as i32).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

/// Waits until something is true.
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < Duration::from_secs(20), "never came true: {what}");
    }
}

/// The certificate that a new client sees.
fn seen(house: &House) -> Vec<u8> {
    let mut stream = hello(house, &[b"postgresql"], None);
    stream.write_all(&startup()).unwrap();
    let chain = stream.conn.peer_certificates().unwrap();
    chain[0].to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn f112_a_new_certificate_is_taken_over_and_a_bad_one_is_not() {
    let house = House::new("");
    let mut old_session = hello(&house, &[b"postgresql"], None);
    old_session.write_all(&startup()).unwrap();

    let new = house.ca.issue(&["localhost"]);
    house.folder.write_pair("pgweir", &new);
    hang_up(&house);
    eventually("new clients see the new certificate", || seen(&house) == der(&new.certificate));
    // Whoever was there goes on.
    let mut answer = [0; 1];
    old_session.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"R");

    let failed = || house.metric("pgweir_tls_certificate_reloads_total{outcome=\"failed\"}");
    let (other, expired) = (house.ca.issue(&["localhost"]), house.ca.issue_expired(&["localhost"]));
    let key = house.folder.path("pgweir.key");
    let loose: &dyn Fn() = &|| {
        house.folder.write_pair("pgweir", &other);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    };
    for (what, replace) in [
        (
            "a key of another certificate",
            &(|| drop(house.folder.write("pgweir.key", &other.key))) as &dyn Fn(),
        ),
        ("an expired certificate", &|| house.folder.write_pair("pgweir", &expired)),
        ("no certificate", &|| drop(house.folder.write("pgweir.crt", "nothing"))),
        ("a missing file", &|| fs::remove_file(house.folder.path("pgweir.crt")).unwrap()),
        ("a key that others may read", loose),
    ] {
        let before = failed();
        replace();
        hang_up(&house);
        eventually(what, || failed() > before);
        assert_eq!(seen(&house), der(&new.certificate), "{what}");
    }
    // The last of them is put right without another content.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    hang_up(&house);
    eventually("the repaired pair is taken over", || seen(&house) == der(&other.certificate));
}

/// F74: one line that says what is wrong, and no start.
#[test]
fn f74_files_that_cannot_be_used_at_the_start() {
    let house = House::new("");
    let url = house.cluster.url();
    let fails = |what: &str| {
        let Err(error) = start(&house.folder, &url, "") else { panic!("started with {what}") };
        let error = error.to_string();
        assert!(error.contains(what), "{error}");
        let mut check = Command::new(env!("CARGO_BIN_EXE_pgweir"));
        check.args(["check", "--config"]).arg(house.folder.path("pgweir.toml")).arg(&url);
        let checked = check.output().unwrap();
        assert_eq!(checked.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&checked.stderr).contains(what), "{checked:?}");
    };
    let key = house.folder.path("pgweir.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fails("others may read this private key");
    house.folder.write("pgweir.key", &house.ca.issue(&["localhost"]).key);
    fails("don't belong together");
    house.folder.write("pgweir.key", "");
    fails("holds no private key");
    fs::remove_file(&key).unwrap();
    fails("No such file");
    // An expired one starts, with a warning: there is no older one to keep.
    house.folder.write_pair("pgweir", &house.ca.issue_expired(&["localhost"]));
    let pooler = start(&house.folder, &url, "").unwrap();
    assert!(pooler.log().contains("not valid now"), "{}", pooler.log());
}
