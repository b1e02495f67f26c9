//! What pgweir says, wherever it says something, holds no secret: logs at their most talkative, metrics, reports, errors.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use pgweir::auth::scram::{Derivation, Salting, Verifier};
use pgweir::demo::cluster::ROLE;

use super::kit::{Client, House};
use super::people::*;

const PLAIN: &str = "Plain,Secret/1";
const HASHED: &str = "HashedSecret2";
const IN_A_FILE: &str = "SecretInAFile3";
const OF_SERVERS: &str = "SecretOfServers4";
const TYPED_WRONG: &str = "TypedWrong5";
const OF_SALTS: &str = "SecretOfTheSalts6";

fn verifier() -> (Verifier, Vec<[u8; 32]>) {
    let salting = Salting { salt: b"salt".as_slice().into(), iterations: 4_096 };
    let keys = Derivation::new(HASHED.as_bytes(), salting.clone()).run();
    let verifier = Verifier::new(salting, &keys);
    let keys = vec![verifier.stored_key, verifier.server_key];
    (verifier, keys)
}

/// Each secret in each way in which it might be written.
fn spellings(secrets: &[&[u8]]) -> Vec<String> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a text");
            text
        })
    };
    let base64 = |bytes: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(bytes).trim_end_matches('=').to_owned()
    };
    let percent = |bytes: &[u8]| {
        percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let each = |secret: &&[u8]| {
        let list = format!("{secret:?}");
        let escaped = secret.escape_ascii().to_string();
        [hex(secret), base64(secret), percent(secret), list.trim_matches(['[', ']']).to_owned(), escaped]
    };
    secrets.iter().flat_map(each).collect()
}

#[test]
fn nothing_that_is_said_holds_a_secret() {
    let (verifier, keys) = verifier();
    let files = tempfile::tempdir().expect("a folder");
    let file = files.path().join("secret");
    fs::write(&file, IN_A_FILE).expect("a file");
    let settings = format!(
        "log.level = 'trace'\nauth.mock_secret = '{OF_SALTS}'\nusers.plain.password = '{PLAIN}'\nusers.hashed.password = '{verifier}'\n\
         users.filed.password_file = '{}'\n[databases.elsewhere]\nhost = '127.0.0.1'\npool.queue_timeout = '500ms'\nport = 1\nuser = 'x'\n\
         password = '{OF_SERVERS}'\n[databases.refused]\nurl = 'postgres://other:{OF_SERVERS}@ADDRESS/app'\n",
        file.display()
    );
    let house = House::with(1, "");
    let settings = settings.replace("ADDRESS", &house.postgres().address().to_string());
    let settings = format!("{settings}[databases.'*']\nurl = '{}'\n", house.url());
    let own = house.place().password;
    let house = House::with(1, &settings);

    let mut said = String::new();
    let mut try_login = |database: &str, user: &str, password: &str| {
        let mut place = house.place();
        (place.database, place.user, place.password) = (database.into(), user.into(), password.into());
        let told = Client::connect(&place, &[]).map(drop).map_err(|error| error.to_string());
        writeln!(said, "{told:?}").expect("a text");
    };
    for (user, password) in [("plain", PLAIN), ("hashed", HASHED), ("filed", IN_A_FILE), (ROLE, &own)] {
        for database in [house.database.as_str(), "elsewhere", "refused"] {
            try_login(database, user, password);
            try_login(database, user, TYPED_WRONG);
        }
    }
    try_login(&house.database, "nobody", TYPED_WRONG);
    let mut client = house.client();
    client.ask("select 1");
    client.tell(&pgweir_testkit::frontend::query("-- pgweir, panic"));
    client.until_closed();
    house.metric_becomes("pgweir_panics_total", 1);

    for path in ["/metrics", "/pins.json", "/healthz", "/readyz", "/"] {
        said += &house.http(path);
    }
    said += &house.pooler.log();
    for text in [
        settings.clone(),
        settings.replace("log.level", "log.levle"),
        settings.replace("port = 1", "port = x"),
    ] {
        said += &check(&text, &house.url());
    }
    assert!(
        said.contains("trace") && said.contains("did you mean") && said.contains("password = \"***\""),
        "{said}"
    );

    let passwords = [PLAIN, HASHED, IN_A_FILE, OF_SERVERS, TYPED_WRONG, OF_SALTS, &own].map(str::as_bytes);
    let secrets: Vec<_> = passwords.into_iter().chain(keys.iter().map(|key| key.as_slice())).collect();
    for spelling in spellings(&secrets) {
        let at = said.find(&spelling);
        assert!(at.is_none(), "{spelling} in …{}", &said[at.unwrap_or(0).saturating_sub(200)..]);
    }
}

/// All that `pgweir check` prints.
fn check(settings: &str, url: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pgweir.toml");
    fs::write(&file, settings).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.args(["check", "--config"]).arg(&file).arg(url);
    let output = command.env("DATABASE_URL", url).output().expect("pgweir");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}
