//! TLS to servers, as several sources say it: a database's keys count more than its URL, the URL more than
//! `[tls.server]`.

use std::path::{Path, PathBuf};

use crate::auth::respond::ChannelBinding;
use crate::net::tls::outbound::{Mode, SYSTEM, Settings};
use crate::net::tls::{inbound, outbound};

use super::plan::Plan;

/// libpq's `sslmode`, for servers.
pub(super) const MODES: &[(&str, Mode)] = &[
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];
/// The same words, for clients.
pub(super) const CLIENT_MODES: &[(&str, inbound::Mode)] = &[
    ("disable", inbound::Mode::Disable),
    ("allow", inbound::Mode::Allow),
    ("prefer", inbound::Mode::Prefer),
    ("require", inbound::Mode::Require),
    ("verify-ca", inbound::Mode::VerifyCa),
    ("verify-full", inbound::Mode::VerifyFull),
];
/// libpq's `sslnegotiation`.
pub(super) const NEGOTIATIONS: &[(&str, Negotiation)] =
    &[("postgres", Negotiation::Postgres), ("direct", Negotiation::Direct)];
/// libpq's `channel_binding`.
pub(super) const BINDINGS: &[(&str, ChannelBinding)] = &[
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiation {
    /// The server is asked first.
    Postgres,
    Direct,
}

/// What one source says; `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    pub mode: Option<Mode>,
    pub ca_file: Option<PathBuf>,
    pub crl_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub server_name: Option<String>,
    pub negotiation: Option<Negotiation>,
    pub channel_binding: Option<ChannelBinding>,
}

impl ServerTls {
    /// What `self` says, and what `base` says where it says nothing.
    pub(super) fn over(self, base: &Self) -> Self {
        let base = base.clone();
        Self {
            mode: self.mode.or(base.mode),
            ca_file: self.ca_file.or(base.ca_file),
            crl_file: self.crl_file.or(base.crl_file),
            cert_file: self.cert_file.or(base.cert_file),
            key_file: self.key_file.or(base.key_file),
            server_name: self.server_name.or(base.server_name),
            negotiation: self.negotiation.or(base.negotiation),
            channel_binding: self.channel_binding.or(base.channel_binding),
        }
    }

    /// # Errors
    /// What can't stand together, as libpq has it.
    pub(super) fn settings(self) -> Result<(Settings, ChannelBinding), &'static str> {
        let direct = self.negotiation == Some(Negotiation::Direct);
        let system = self.ca_file.as_deref() == Some(Path::new(SYSTEM));
        if direct && self.mode.is_some_and(|mode| mode < Mode::Require) {
            return Err("negotiation (sslnegotiation) \"direct\" needs mode (sslmode) \"require\" or more");
        }
        if system && self.mode.is_some_and(|mode| mode != Mode::VerifyFull) {
            return Err("ca_file (sslrootcert) \"system\" needs mode (sslmode) \"verify-full\"");
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("cert_file (sslcert) and key_file (sslkey) go together");
        }
        let of_system = system.then_some(Mode::VerifyFull);
        let settings = Settings {
            mode: self.mode.or(of_system),
            ca_file: self.ca_file,
            crl_file: self.crl_file,
            cert_file: self.cert_file,
            key_file: self.key_file,
            server_name: self.server_name,
            direct,
        };
        Ok((settings, self.channel_binding.unwrap_or_default()))
    }
}

/// Why clients can't be served by these keys.
pub(super) fn problem_with_clients(tls: &inbound::Settings) -> Option<&'static str> {
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Some("cert_file and key_file go together");
    }
    match tls.mode {
        Some(mode) if mode > inbound::Mode::Disable && tls.cert_file.is_none() => {
            Some("TLS for clients needs cert_file and key_file")
        }
        Some(mode) if mode >= inbound::Mode::VerifyCa && tls.ca_file.is_none() => {
            Some("clients' certificates can't be verified without ca_file")
        }
        _ if tls.crl_file.is_some() && tls.ca_file.is_none() => Some("crl_file needs ca_file"),
        _ => None,
    }
}

/// Names the databases whose servers are on other machines and may be read, or played, by anyone between.
pub(super) fn warning(plan: &Plan) -> Option<String> {
    let names = unverified(plan, |_| true)?;
    Some(format!(
        "the servers of {names} are not verified, so anyone between can read along or pose as them: verify-full is the \
         sslmode that prevents it"
    ))
}

/// Names those of them that may ask for the password itself.
pub(super) fn warning_of_cleartext(plan: &Plan) -> Option<String> {
    let names = unverified(plan, |database| database.upstream.allowed.cleartext)?;
    Some(format!("the servers of {names} may ask for the password in clear text, and so may anyone between"))
}

/// The databases that are meant, of those with a server on another machine that isn't verified; `None`: there are none.
fn unverified(plan: &Plan, is_meant: impl Fn(&super::Database) -> bool) -> Option<String> {
    let is_unverified = |database: &&super::Database| {
        let upstream = &database.upstream;
        let mut remote = upstream.tcp_hosts().filter(|host| !outbound::is_loopback(host));
        is_meant(database) && remote.any(|host| upstream.tls.mode_for(host) < Mode::VerifyCa)
    };
    let databases = plan.databases.iter().filter(is_unverified);
    let mut names: Vec<_> = databases.map(|database| format!("{:?}", database.name)).collect();
    names.sort();
    (!names.is_empty()).then(|| names.join(", "))
}
