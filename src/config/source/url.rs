//! Connection URLs as libpq reads them: `postgres://user:password@host1:port1,host2/database?parameter=value`.
//!
//! Source: PostgreSQL documentation, "Connection Strings" (libpq). No error quotes anything that could be part of
//! a password.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::auth::secret::Secret;
use crate::config::nearest;
use crate::config::require_auth::RequireAuth;
use crate::config::tls::{BINDINGS, MODES, NEGOTIATIONS, ServerTls};
use crate::net::tls::outbound::Mode;
use crate::server::upstream::{Host, SessionAttrs};

pub const DEFAULT_PORT: u16 = 5432;

/// What a URL says. All parts are decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    pub hosts: Vec<Host>,
    pub database: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Startup parameters of the server connection.
    pub parameters: Vec<(String, String)>,
    pub connect_timeout: Option<Duration>,
    pub tls: ServerTls,
    pub attrs: Option<SessionAttrs>,
    pub passfile: Option<PathBuf>,
    pub require_auth: Option<RequireAuth>,
}

/// Why a text isn't a URL that can be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    #[error("a URL must begin with postgres:// or postgresql://")]
    Scheme,
    #[error(
        "a port must be a number from 1 to 65535 (in a user or password write / as %2F, @ as %40, : as %3A)"
    )]
    Port,
    #[error("{0} hosts but {1} ports: give one port, or one for each host")]
    PortCount(usize, usize),
    #[error("an IPv6 address must stand in brackets, as in [::1]:5432")]
    Brackets,
    #[error("a host must not be empty")]
    EmptyHost,
    #[error("a host must not contain @ (in a user or password write it as %40)")]
    AtInHost,
    #[error("the {0} has a wrong percent-encoding, or isn't UTF-8, or has a NUL")]
    Encoding(&'static str),
    #[error("parameter \"{0}\" has no value")]
    NoValue(String),
    #[error("unknown parameter \"{name}\"; {}", nearest::advice(.name, PARAMETERS))]
    UnknownParameter { name: String },
    #[error("parameter \"{0}\" (with this value) is libpq's, but pgweir has nothing like it: leave it out")]
    LeftOut(String),
    #[error("connect_timeout must be a number of seconds from 1 to 3600")]
    ConnectTimeout,
    #[error("require_auth: {0}")]
    RequireAuth(String),
    #[error("unknown {parameter}; known are: {known}")]
    Word { parameter: &'static str, known: String },
}

const PARAMETERS: [&str; 20] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "host",
    "options",
    "passfile",
    "password",
    "port",
    "require_auth",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

/// Further parameters of libpq's, with the values that change nothing here.
const FURTHER: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("hostaddr", &[]),
    ("keepalives", &["1"]),
    ("keepalives_count", &[]),
    ("keepalives_idle", &[]),
    ("keepalives_interval", &[]),
    ("krbsrvname", &[]),
    ("load_balance_hosts", &["disable"]),
    ("max_protocol_version", &[]),
    ("min_protocol_version", &["3.0"]),
    ("requirepeer", &[]),
    ("scram_client_key", &[]),
    ("scram_server_key", &[]),
    ("service", &[]),
    ("ssl_max_protocol_version", &["TLSv1.3"]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("sslcertmode", &["allow"]),
    ("sslcompression", &["0"]),
    ("sslcrldir", &[]),
    ("sslpassword", &[]),
    ("sslsni", &["1"]),
    ("tcp_user_timeout", &[]),
];

/// libpq's `target_session_attrs`.
const ATTRS: &[(&str, SessionAttrs)] = &[
    ("any", SessionAttrs::Any),
    ("read-write", SessionAttrs::ReadWrite),
    ("read-only", SessionAttrs::ReadOnly),
    ("primary", SessionAttrs::Primary),
    ("standby", SessionAttrs::Standby),
    ("prefer-standby", SessionAttrs::PreferStandby),
];

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(UrlError::Scheme)?;
        let mut parts = Parts::default();
        let rest = parts.take_user(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        parts.take_hosts(hosts)?;
        if !database.is_empty() {
            parts.url.database = Some(decode(database, "database name")?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parts.take_parameter(pair)?;
        }
        parts.finish()
    }

    /// The URL again, its password as `***`.
    pub fn redacted(&self) -> String {
        let mut text = "postgres://".to_owned();
        if let Some(user) = &self.user {
            text += &encode(user);
            text += if self.password.is_some() { ":***@" } else { "@" };
        }
        let hosts: Vec<_> = self.hosts.iter().map(spell_host).collect();
        text += &hosts.join(",");
        if let Some(database) = &self.database {
            text += &format!("/{}", encode(database));
        }
        let timeout = self.connect_timeout.map(|t| ("connect_timeout", t.as_secs().to_string()));
        let further = timeout.into_iter().chain(self.spelled_parameters());
        let further = further.map(|(name, value)| (name.to_owned(), value));
        for (index, (name, value)) in self.parameters.iter().cloned().chain(further).enumerate() {
            text += &format!("{}{}={}", if index == 0 { '?' } else { '&' }, encode(&name), encode(&value));
        }
        text
    }

    fn spelled_parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let tls = &self.tls;
        let spelled = [
            ("sslmode", spell(MODES, tls.mode)),
            ("sslrootcert", path(&tls.ca_file)),
            ("sslcrl", path(&tls.crl_file)),
            ("sslcert", path(&tls.cert_file)),
            ("sslkey", path(&tls.key_file)),
            ("sslnegotiation", spell(NEGOTIATIONS, tls.negotiation)),
            ("channel_binding", spell(BINDINGS, tls.channel_binding)),
            ("target_session_attrs", spell(ATTRS, self.attrs)),
            ("passfile", path(&self.passfile)),
            ("require_auth", self.require_auth.as_ref().map(RequireAuth::to_string)),
        ];
        spelled.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

/// A URL half read: hosts and ports may still be replaced by parameters of these names.
#[derive(Default)]
struct Parts {
    url: Url,
    hosts: Vec<String>,
    /// One for each host; `None`: not given.
    ports: Vec<Option<u16>>,
    /// The application's name, if nothing else gives one.
    fallback: Option<String>,
}

impl Parts {
    /// libpq takes the first `@` before the first `/`.
    fn take_user<'a>(&mut self, text: &'a str) -> Result<&'a str, UrlError> {
        let authority = text.split('/').next().unwrap_or(text);
        let Some(at) = authority.find('@') else { return Ok(text) };
        let (user, password) = match text[..at].split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (&text[..at], None),
        };
        if !user.is_empty() {
            self.url.user = Some(decode(user, "user")?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            self.url.password = Some(Secret::new(decode(password, "password")?));
        }
        Ok(&text[at + 1..])
    }

    fn take_hosts(&mut self, text: &str) -> Result<(), UrlError> {
        for host in text.split(',').filter(|_| !text.is_empty()) {
            let (name, port) = match host.strip_prefix('[') {
                Some(rest) => {
                    let (name, behind) = rest.split_once(']').ok_or(UrlError::Brackets)?;
                    match behind.strip_prefix(':') {
                        Some(port) => (name, port),
                        None if behind.is_empty() => (name, ""),
                        None => return Err(UrlError::Brackets),
                    }
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            if name.contains('@') {
                return Err(UrlError::AtInHost);
            }
            self.hosts.push(decode(name, "host")?);
            self.ports.push(if port.is_empty() { None } else { Some(parse_port(port)?) });
        }
        Ok(())
    }

    fn take_parameter(&mut self, pair: &str) -> Result<(), UrlError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, "parameter's name")?;
        let value = decode(value, "parameter's value")?;
        if value.is_empty() && PARAMETERS.contains(&name.as_str()) {
            return Err(UrlError::NoValue(name));
        }
        match name.as_str() {
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "port" => {
                self.ports =
                    value.split(',').map(|port| parse_port(port).map(Some)).collect::<Result<_, _>>()?;
            }
            "user" => self.url.user = Some(value),
            "password" => self.url.password = Some(Secret::new(value)),
            "dbname" => self.url.database = Some(value),
            "connect_timeout" => self.url.connect_timeout = Some(parse_timeout(&value)?),
            "sslmode" => self.url.tls.mode = Some(word("sslmode", MODES, &value)?),
            "sslnegotiation" => {
                self.url.tls.negotiation = Some(word("sslnegotiation", NEGOTIATIONS, &value)?);
            }
            "channel_binding" => {
                self.url.tls.channel_binding = Some(word("channel_binding", BINDINGS, &value)?);
            }
            "passfile" => self.url.passfile = Some(value.into()),
            "require_auth" => {
                let parsed = RequireAuth::parse(&value).map_err(UrlError::RequireAuth)?;
                self.url.require_auth = Some(parsed);
            }
            "sslrootcert" => self.url.tls.ca_file = Some(value.into()),
            "sslcrl" => self.url.tls.crl_file = Some(value.into()),
            "sslcert" => self.url.tls.cert_file = Some(value.into()),
            "sslkey" => self.url.tls.key_file = Some(value.into()),
            "target_session_attrs" => {
                self.url.attrs = Some(word("target_session_attrs", ATTRS, &value)?);
            }
            "application_name" | "client_encoding" | "options" => {
                self.url.parameters.retain(|(known, _)| *known != name);
                self.url.parameters.push((name, value));
            }
            "fallback_application_name" => self.fallback = Some(value),
            // What drivers for Java say; libpq takes it, too.
            "ssl" if value == "true" => self.url.tls.mode = Some(Mode::Require),
            _ => return further(name, &value),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Url, UrlError> {
        self.url.hosts = pair_up(&self.hosts, &self.ports)?;
        let name = "application_name";
        if !self.url.parameters.iter().any(|(known, _)| known == name) {
            self.url.parameters.extend(self.fallback.map(|fallback| (name.to_owned(), fallback)));
        }
        Ok(self.url)
    }
}

/// A parameter without a meaning here.
fn further(name: String, value: &str) -> Result<(), UrlError> {
    match FURTHER.iter().find(|(known, _)| *known == name) {
        Some((_, harmless)) if harmless.contains(&value) => Ok(()),
        Some(_) => Err(UrlError::LeftOut(name)),
        None => Err(UrlError::UnknownParameter { name }),
    }
}

/// Each host with its port; one port serves all hosts.
pub(in crate::config) fn pair_up(hosts: &[String], ports: &[Option<u16>]) -> Result<Vec<Host>, UrlError> {
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(UrlError::PortCount(hosts.len(), ports.len()));
    }
    let port_of = |index: usize| ports.get(index).or_else(|| ports.first()).copied().flatten();
    let host = |(index, name): (usize, &String)| {
        let port = port_of(index).unwrap_or(DEFAULT_PORT);
        match name.as_str() {
            "" => Err(UrlError::EmptyHost),
            path if path.starts_with('/') => Ok(Host::Unix { directory: path.into(), port }),
            name => Ok(Host::Tcp { name: name.to_owned(), port }),
        }
    };
    hosts.iter().enumerate().map(host).collect()
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)
}

fn parse_timeout(text: &str) -> Result<Duration, UrlError> {
    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(UrlError::ConnectTimeout)
}

/// The value of a parameter that is one of a few words; in lower case only, as libpq has it.
fn word<T: Copy>(parameter: &'static str, words: &[(&str, T)], value: &str) -> Result<T, UrlError> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        UrlError::Word { parameter, known: known.join(", ") }
    })
}

fn spell<T: PartialEq>(words: &[(&str, T)], value: Option<T>) -> Option<String> {
    words.iter().find(|(_, known)| Some(known) == value.as_ref()).map(|(word, _)| (*word).to_owned())
}

fn decode(text: &str, what: &'static str) -> Result<String, UrlError> {
    let hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let encoded = text.match_indices('%').all(|(at, _)| hex(at + 1) && hex(at + 2));
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|text| encoded && !text.contains('\0'));
    decoded.map(String::from).ok_or(UrlError::Encoding(what))
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name given by `host=` may hold anything.
const IN_BRACKETS: &AsciiSet = &UNRESERVED.remove(b':');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn spell_host(host: &Host) -> String {
    match host {
        Host::Tcp { name, port } if name.contains(':') => {
            format!("[{}]:{port}", utf8_percent_encode(name, IN_BRACKETS))
        }
        Host::Tcp { name, port } => format!("{}:{port}", encode(name)),
        Host::Unix { directory, port } => format!("{}:{port}", encode(&directory.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(name: &str, port: u16) -> Host {
        Host::Tcp { name: name.to_owned(), port }
    }

    #[test]
    fn the_usual_url() {
        let url = Url::parse("postgres://app:se%40cret@db:5433/shop?application_name=web&connect_timeout=3")
            .unwrap();
        assert_eq!(url.hosts, [tcp("db", 5433)]);
        assert_eq!(url.user.as_deref(), Some("app"));
        assert_eq!(url.password.as_ref().unwrap().expose(), "se@cret");
        assert_eq!(url.database.as_deref(), Some("shop"));
        assert_eq!(url.parameters, [("application_name".to_owned(), "web".to_owned())]);
        assert_eq!(url.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(url.redacted(), "postgres://app:***@db:5433/shop?application_name=web&connect_timeout=3");
    }

    #[test]
    fn what_other_programs_put_into_urls() {
        let url = Url::parse(
            "postgres://a/b?ssl=true&gssencmode=disable&sslcompression=0&sslsni=1&keepalives=1\
             &fallback_application_name=x&passfile=/p&require_auth=!none",
        )
        .unwrap();
        assert_eq!(url.tls.mode, Some(Mode::Require));
        assert_eq!(url.parameters, [("application_name".to_owned(), "x".to_owned())]);
        assert_eq!(url.passfile, Some("/p".into()));
        let both = Url::parse("postgres://a/b?fallback_application_name=x&application_name=y").unwrap();
        assert_eq!(both.parameters, [("application_name".to_owned(), "y".to_owned())]);
    }

    #[test]
    fn hosts_in_every_form() {
        let hosts = |text: &str| Url::parse(text).map(|url| url.hosts);
        let unix = |port| Host::Unix { directory: "/run/pg".into(), port };
        assert_eq!(
            hosts("postgresql://a:1,b,[::1]:3/x").unwrap(),
            [tcp("a", 1), tcp("b", 5432), tcp("::1", 3)]
        );
        assert_eq!(hosts("postgres://%2Frun%2Fpg:7/x").unwrap(), [unix(7)]);
        assert_eq!(hosts("postgres:///x?host=/run/pg").unwrap(), [unix(5432)]);
        assert_eq!(hosts("postgres://?host=a,b&port=1,2").unwrap(), [tcp("a", 1), tcp("b", 2)]);
        assert_eq!(hosts("postgres://?host=a,b&port=9").unwrap(), [tcp("a", 9), tcp("b", 9)]);
        assert_eq!(hosts("postgres:///x").unwrap(), []);
        assert_eq!(hosts("postgres://?host=a,b,c&port=1,2"), Err(UrlError::PortCount(3, 2)));
        assert_eq!(hosts("postgres://a,,b/x"), Err(UrlError::EmptyHost));
        assert_eq!(hosts("postgres://[::1/x"), Err(UrlError::Brackets));
        assert_eq!(hosts("postgres://a:0/x"), Err(UrlError::Port));
    }

    #[test]
    fn what_is_refused_is_named() {
        let error = |text: &str| Url::parse(text).unwrap_err().to_string();
        assert_eq!(error("mysql://a/b"), "a URL must begin with postgres:// or postgresql://");
        assert_eq!(
            error("postgres://a/b?aplication_name=x"),
            "unknown parameter \"aplication_name\"; did you mean \"application_name\"?"
        );
        assert_eq!(error("postgres://a/b?options="), "parameter \"options\" has no value");
        assert!(
            error("postgres://a/b?sslmode=on").starts_with("unknown sslmode; known are: disable, allow, ")
        );
        assert!(error("postgres://a/b?target_session_attrs=x").starts_with("unknown target_session_attrs"));
        assert!(error("postgres://a/b?sslcertt=x").ends_with("did you mean \"sslcert\"?"));
        assert_eq!(
            error("postgres://a/b?keepalives_idle=5"),
            "parameter \"keepalives_idle\" (with this value) is libpq's, but pgweir has nothing like it: leave it out"
        );
        assert!(error("postgres://a/b?gssencmode=require").contains("gssencmode"));
        assert!(error("postgres://a/b?ssl=1").starts_with("unknown parameter \"ssl\""));
        assert!(error("postgres://a/b?require_auth=scram").starts_with("require_auth: unknown method"));
        assert!(error("postgres://a/b?connect_timeout=soon").starts_with("connect_timeout must"));
        assert!(error("postgres://a%2/b").contains("percent-encoding"));
        assert!(error("postgres://a%00/b").contains("NUL"));
    }

    #[test]
    fn no_error_and_no_debug_output_holds_a_password() {
        for text in [
            "postgres://app:hunter2/x@db/app",
            "postgres://app:hunter2@extra@db:x/app",
            "postgres://app:hunter2%zz@db/app",
            "postgres://app:hunter2@db/app?bogus=1",
            "postgres://db/app?password=hunter2&sslmode=hunter2",
            "postgresql:/app:hunter2@db/app",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let url = Url::parse("postgres://app:hunter2@db/app").unwrap();
        assert!(!format!("{url:?} {}", url.redacted()).contains("hunter2"));
    }

    #[test]
    fn a_redacted_url_reads_as_itself() {
        for text in [
            "postgres://u@[::1]:1,%2Ftmp:2/d%20b?options=-c%20a%3Db",
            "postgres://h/%E2%82%AC",
            "postgres://?host=a/b:c%5D",
            "postgres://h/d?sslmode=verify-ca&sslrootcert=/ca&sslcert=/c&sslkey=/k&sslcrl=/r&channel_binding=require\
             &sslnegotiation=direct&target_session_attrs=prefer-standby&connect_timeout=3",
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(Url::parse(&url.redacted()).unwrap(), url);
        }
    }
}
