//! Users of PostgreSQL, and their logins through pgweir.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pgweir::demo::cluster::SUPERUSER;
use pgweir_testkit::client::Place;
use pgweir_testkit::frontend::{message, startup};

use super::kit::{Client, House, Message, brief, cluster};

/// A pgweir that knows nobody but the role of its URL; a superuser of the shared cluster looks the others up.
pub fn house(size: u32, settings: &str) -> House {
    House::with(size, &format!("{}\n{settings}", asks_as_superuser(cluster::shared().password())))
}

pub fn asks_as_superuser(password: &str) -> String {
    format!("auth.user = '{SUPERUSER}'\nauth.password = '{password}'\nauth.dbname = '{SUPERUSER}'")
}

/// A user of the cluster that no other case has; `options` as in CREATE ROLE.
pub fn new_user(house: &House, options: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let user = format!("user_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    run(house, &format!("create role {user} {options}"));
    user
}

/// As the superuser, in the house's database.
pub fn run(house: &House, sql: &str) {
    let answer = house.director().ask(sql);
    assert!(!answer.contains("E["), "{sql}: {answer}");
}

/// A client of pgweir, or why it isn't one: severity and SQLSTATE stand in front.
pub fn log_in(house: &House, user: &str, password: &str) -> Result<Client, String> {
    log_in_with(house, user, password, &[])
}

pub fn log_in_with(
    house: &House,
    user: &str,
    password: &str,
    parameters: &[(&str, &str)],
) -> Result<Client, String> {
    let place = Place { user: user.to_owned(), password: password.to_owned(), ..house.place() };
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let parameters: Vec<_> = parameters.iter().map(own).collect();
    Client::connect(&place, &parameters).map_err(|error| error.to_string())
}

/// The SQLSTATE of a login that has to fail.
#[track_caller]
pub fn refusal(house: &House, user: &str, password: &str) -> String {
    let told = log_in(house, user, password).expect_err("no login");
    told.split(" | ").nth(1).unwrap_or(&told).to_owned()
}

/// What is said to a client that does SCRAM with a proof of nothing: the messages without what is random, and the error.
pub fn wrong_login(house: &House, user: &str) -> Vec<String> {
    wrong_login_over(Client::silent(house.address()), house, user)
}

pub fn wrong_login_over(mut client: Client, house: &House, user: &str) -> Vec<String> {
    let mut told = guess(&mut client, house, user);
    told.extend(client.until_closed().iter().map(|message| message.line().replace(user, "USER")));
    told
}

/// The same by a client that goes when it has sent its proof.
pub fn abandoned_login(mut client: Client, house: &House, user: &str) {
    guess(&mut client, house, user);
}

fn guess(client: &mut Client, house: &House, user: &str) -> Vec<String> {
    client.tell(&startup(&[("user", user), ("database", &house.database)]));
    let offer = client.hear(b'R');
    let first = b"n,,n=,r=abcdefghijklmnopqrstuvwx";
    let length = (first.len() as u32).to_be_bytes();
    client.tell(&message(b'p', &[&b"SCRAM-SHA-256\0"[..], &length, first].concat()));
    let challenge = client.hear(b'R');
    let text = String::from_utf8(challenge[0].body[4..].to_vec()).expect("text");
    let nonce = text.split(',').next().expect("a nonce").to_owned();
    client.tell(&message(b'p', format!("c=biws,{nonce},p={}", "A".repeat(43) + "=").as_bytes()));
    let shape = |message: &Message| format!("{:?} {} bytes", char::from(message.tag), message.body.len());
    let mut told: Vec<_> = offer.iter().chain(&challenge).map(shape).collect();
    told.push(text.rsplit(',').next().expect("iterations").to_owned());
    told
}

/// The salt that a user is shown.
pub fn salt(house: &House, user: &str) -> String {
    let mut client = Client::silent(house.address());
    client.tell(&startup(&[("user", user), ("database", &house.database)]));
    client.hear(b'R');
    let first = b"n,,n=,r=abcdefghijklmnopqrstuvwx";
    let length = (first.len() as u32).to_be_bytes();
    client.tell(&message(b'p', &[&b"SCRAM-SHA-256\0"[..], &length, first].concat()));
    let challenge = client.hear(b'R');
    let text = String::from_utf8(challenge[0].body[4..].to_vec()).expect("text");
    text.split(',').nth(1).expect("a salt").to_owned()
}

/// psql, for what the testkit's client can't do; its standard output, or its errors.
pub fn psql(house: &House, conninfo: &str, password: &str, input: &str) -> Result<String, String> {
    let (host, port) = (house.address().ip(), house.address().port());
    run_psql(house, &format!("host={host} port={port} dbname={} {conninfo}", house.database), password, input)
}

pub fn run_psql(house: &House, conninfo: &str, password: &str, input: &str) -> Result<String, String> {
    let program = house.postgres().binaries().program("psql");
    let mut command = Command::new(if program.exists() { program } else { "psql".into() });
    command.args(["-XAtq", "-c", input, conninfo]).env("PGPASSWORD", password).env("LC_ALL", "C");
    let output = command.output().expect("psql");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Backends that look users up for this pgweir's cluster.
pub const ASKING: &str = "select count(*) from pg_stat_activity where application_name = 'pgweir auth'";

pub fn said(client: &mut Client, sql: &str) -> String {
    client.tell(&pgweir_testkit::frontend::query(sql));
    brief(&client.until_ready())
}
