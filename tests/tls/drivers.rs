//! Real drivers by TLS, as strict as each of them knows it: the certificate verified, the login bound to it, TLS from the
//! first byte, and a certificate that isn't ours refused. What they do in plain text is in `tests/drivers/`.

use std::process::Command;

use pgweir::demo::cluster::ROLE;

use crate::authority::Authority;
use crate::clients::House;
use crate::pair::{installed, program, run};

fn by_tls(mut command: Command) {
    let house = House::new("mode = \"require\"");
    let url = format!(
        "postgres://{ROLE}:{}@localhost:{}/{ROLE}",
        house.cluster.password(),
        house.pooler.address().port()
    );
    let other = house.folder.write("other.crt", &Authority::new("other").certificate());
    let root = house.folder.path("ca.crt");
    let parameters = format!("sslmode=verify-full&sslrootcert={}", root.display());
    command.env("DATABASE_URL", url).env("ROOT", root).env("OTHER", other).env("JDBC_PARAMETERS", parameters);
    run("by TLS", command);
    assert!(house.metric("pgweir_client_tls_handshakes_total{outcome=\"ok\"}") > 0);
}

fn python(name: &str) -> Command {
    let mut command = Command::new(installed("drivers/python/bin/python"));
    command.arg("-B").arg(program("tls").join(name));
    command
}

#[test]
fn psycopg() {
    by_tls(python("psycopg_tls.py"));
}

#[test]
fn asyncpg() {
    by_tls(python("asyncpg_tls.py"));
}

#[test]
fn node_postgres() {
    let mut command = Command::new("node");
    command.arg(program("tls/node_postgres_tls.js")).env("NODE_PATH", installed("drivers/node/node_modules"));
    by_tls(command);
}

#[test]
fn pgjdbc() {
    let mut command = crate::pair::pgjdbc();
    command.args(["preparedStatements", "rowsInPortions", "copyInAndOut", "aCancelHitsItsQueryOnly"]);
    by_tls(command);
}
