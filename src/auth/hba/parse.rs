//! From the fields of a line to the rule that they mean.

use super::error::{HbaError, Wrong};
use super::file::Line;
use super::ident::{Maps, only};
use super::name::{Database, User};
use super::network::Network;
use super::rule::{ClientCert, Origin, Rule};
use super::token::{Field, Token};
use crate::auth::users::Method;

type Fields<'a> = std::slice::Iter<'a, Field>;

const CONNECTIONS: &[(&str, Connection)] = &[
    ("local", Connection::Local),
    ("host", Connection::Host(None)),
    ("hostssl", Connection::Host(Some(true))),
    ("hostnossl", Connection::Host(Some(false))),
    // There is no other encryption than TLS.
    ("hostnogssenc", Connection::Host(None)),
];
pub(super) const METHODS: &[(&str, Method)] = &[
    ("scram-sha-256", Method::ScramSha256),
    ("md5", Method::Md5),
    ("password", Method::Cleartext),
    ("trust", Method::Trust),
    ("cert", Method::Cert),
    ("peer", Method::Peer),
    ("reject", Method::Reject),
];
/// Methods of PostgreSQL's that pgweir hasn't.
const LEFT_OUT: &[&str] = &["ident", "gss", "sspi", "ldap", "radius", "pam", "bsd", "oauth"];
pub(super) const CLIENT_CERTS: &[(&str, ClientCert)] =
    &[("verify-ca", ClientCert::VerifyCa), ("verify-full", ClientCert::VerifyFull)];
const OPTIONS: &[(&str, Key)] =
    &[("map", Key::Map), ("clientcert", Key::ClientCert), ("clientname", Key::ClientName)];

#[derive(Clone, Copy)]
enum Connection {
    Local,
    Host(Option<bool>),
}

#[derive(Clone, Copy)]
enum Key {
    Map,
    ClientCert,
    ClientName,
}

pub(super) fn rule(line: &Line, maps: &Maps) -> Result<Rule, HbaError> {
    read(line, maps).map_err(|wrong| wrong.at(&line.place))
}

fn read(line: &Line, maps: &Maps) -> Result<Rule, Wrong> {
    let mut rest = line.fields.iter();
    let connection = connection(only(rest.next(), "connection type")?)?;
    let databases = names(rest.next(), "database", Database::read)?;
    let users = names(rest.next(), "user", User::read)?;
    let from = match connection {
        Connection::Local => Origin::Local,
        Connection::Host(tls) => Origin::Host { tls, network: network(&mut rest)? },
    };
    let method = method(only(rest.next(), "method")?, connection)?;
    let client_cert = if method == Method::Cert { ClientCert::VerifyFull } else { ClientCert::NotAsked };
    let place = line.place.clone();
    let mut rule = Rule { place, from, databases, users, method, client_cert, map: None };
    rest.flatten().try_for_each(|token| option(&mut rule, token, maps))?;
    Ok(rule)
}

fn connection(token: &Token) -> Result<Connection, Wrong> {
    match token.text.as_str() {
        "hostgssenc" => Err(left_out(token, "pgweir has no encryption by GSSAPI")),
        _ => word("connection type", CONNECTIONS, &token.text),
    }
}

fn names<T>(
    field: Option<&Field>,
    what: &'static str,
    read: impl Fn(&Token) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    field.ok_or(Wrong::Missing(what))?.iter().map(read).collect()
}

/// `None`: any address.
fn network(rest: &mut Fields<'_>) -> Result<Option<Network>, Wrong> {
    let token = only(rest.next(), "address")?;
    let text = token.text.as_str();
    match text {
        _ if token.is("all") => return Ok(None),
        _ if token.is("samehost") || token.is("samenet") => {
            return Err(left_out(token, "name the addresses; loopback is 127.0.0.0/8 and ::1/128"));
        }
        _ => {}
    }
    let malformed = || Wrong::Network(text.to_owned());
    let host = text.split('/').next().unwrap_or(text);
    if host.parse::<std::net::IpAddr>().is_err() {
        return Err(left_out(token, "names of hosts are not looked up; give the address with its mask"));
    }
    if text.contains('/') {
        return Network::with_bits(text).map(Some).ok_or_else(malformed);
    }
    let mask = only(rest.next(), "mask")?;
    let both = || Wrong::Network(format!("{text} {}", mask.text));
    Network::with_mask(text, &mask.text).map(Some).ok_or_else(both)
}

fn method(token: &Token, connection: Connection) -> Result<Method, Wrong> {
    let text = token.text.as_str();
    let local = matches!(connection, Connection::Local);
    if text == "ident" && local {
        return Ok(Method::Peer); // as PostgreSQL has it
    }
    if LEFT_OUT.contains(&text) {
        return Err(left_out(token, "pgweir has no such method"));
    }
    match word("method", METHODS, text)? {
        Method::Peer if !local => Err(Wrong::Misplaced("peer is for local lines only")),
        Method::Cert if !matches!(connection, Connection::Host(Some(true))) => {
            Err(Wrong::Misplaced("cert is for hostssl lines only"))
        }
        method => Ok(method),
    }
}

fn option(rule: &mut Rule, token: &Token, maps: &Maps) -> Result<(), Wrong> {
    let (name, value) = token.text.split_once('=').ok_or_else(|| Wrong::Option(token.text.clone()))?;
    match word("option", OPTIONS, name)? {
        Key::Map if !matches!(rule.method, Method::Cert | Method::Peer) => {
            Err(Wrong::Misplaced("map is for cert and peer only"))
        }
        Key::Map => {
            let known = maps.names();
            if !known.iter().any(|known| known == value) {
                return Err(Wrong::Unknown { what: "map", word: value.to_owned(), known });
            }
            rule.map = Some(value.to_owned());
            Ok(())
        }
        _ if !rule.needs_tls() => {
            Err(Wrong::Misplaced("clientcert and clientname are for hostssl lines only"))
        }
        Key::ClientCert => match word("clientcert", CLIENT_CERTS, value)? {
            ClientCert::VerifyCa if rule.method == Method::Cert => Err(Wrong::Misplaced(
                "cert always verifies in full: clientcert=verify-ca can't stand beside it",
            )),
            demanded => {
                rule.client_cert = demanded;
                Ok(())
            }
        },
        Key::ClientName if value == "CN" => Ok(()),
        Key::ClientName if value == "DN" => {
            Err(left_out(token, "a certificate is known by its common name (clientname=CN)"))
        }
        Key::ClientName => Err(unknown("clientname", value, ["CN"])),
    }
}

fn word<T: Copy>(what: &'static str, known: &[(&str, T)], text: &str) -> Result<T, Wrong> {
    let found = known.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| unknown(what, text, known.iter().map(|(word, _)| *word)))
}

fn unknown<'a>(what: &'static str, word: &str, known: impl IntoIterator<Item = &'a str>) -> Wrong {
    Wrong::Unknown { what, word: word.to_owned(), known: known.into_iter().map(str::to_owned).collect() }
}

fn left_out(token: &Token, why: &'static str) -> Wrong {
    Wrong::LeftOut { what: format!("\"{}\"", token.text), why }
}
