//! TLS towards servers: libpq's `sslmode`, and what is needed to shake hands by it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;

use super::certificate::{Validity, end_point};
use super::files::{self, Watched};
use super::stream::{Engine, TlsStream};
use super::verify::Lenient;
use super::{ALPN, TlsError, provider};
use crate::net::stream::Stream;

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Mode {
    Disable,
    /// Plain text first; TLS if the server refuses that.
    Allow,
    /// TLS first; plain text if the server has none.
    Prefer,
    /// TLS, by whatever certificate. With a CA file as `VerifyCa`, as libpq has it.
    Require,
    VerifyCa,
    VerifyFull,
}

/// What libpq calls the system's CA certificates, where a file's name is expected.
pub const SYSTEM: &str = "system";

/// `[tls.server]`, as refined by a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `None`: [`Mode::VerifyFull`], and [`Mode::Allow`] for this very machine.
    pub mode: Option<Mode>,
    /// `None` or [`SYSTEM`]: the system's.
    pub ca_file: Option<PathBuf>,
    pub crl_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The name in the server's certificate, where it isn't the host's.
    pub server_name: Option<String>,
    /// Begin with TLS at once (PostgreSQL 17 and later) instead of asking for it.
    pub direct: bool,
}

impl Settings {
    /// How a host of this name is spoken to. On loopback nobody listens who couldn't read our memory too.
    pub fn mode_for(&self, host: &str) -> Mode {
        match self.mode {
            Some(Mode::Require) if self.own_ca().is_some() => Mode::VerifyCa,
            Some(mode) => mode,
            None if !is_loopback(host) => Mode::VerifyFull,
            None if self.direct => Mode::Require,
            None => Mode::Allow,
        }
    }

    fn own_ca(&self) -> Option<&Path> {
        self.ca_file.as_deref().filter(|path| *path != Path::new(SYSTEM))
    }

    fn configure(&self, mode: Mode) -> Result<ClientConfig, TlsError> {
        let builder =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match (mode, self.chain_verifier(mode)?) {
            (Mode::VerifyFull, Some(verifier)) => builder.with_webpki_verifier(verifier),
            (_, chain) => {
                let verifier = Arc::new(Lenient { chain, provider: provider() });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                let pair = files::pair(certificate, key)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair.key)))
            }
            (None, None) => builder.with_no_client_auth(),
            _ => {
                return Err(TlsError::Refused("a certificate and its private key go together".to_owned()));
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL resumes no session.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn chain_verifier(&self, mode: Mode) -> Result<Option<Arc<WebPkiServerVerifier>>, TlsError> {
        if mode < Mode::VerifyCa {
            return Ok(None);
        }
        let roots = Arc::new(self.own_ca().map_or_else(files::system_roots, files::roots)?);
        let mut builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        if let Some(crl_file) = &self.crl_file {
            builder = builder.with_crls(files::revoked(crl_file)?).enforce_revocation_expiration();
        }
        Ok(Some(builder.build()?))
    }
}

/// A name or address that can't lead to another machine.
pub fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Speaks TLS to the servers of one database.
pub struct Outbound {
    settings: Settings,
    /// What its hosts need; none of them twice.
    configs: ArcSwap<Vec<(Mode, Arc<ClientConfig>)>>,
    watched: Watched,
}

/// How to shake hands with one server: enough to do it again, for a cancel request.
#[derive(Clone)]
pub struct Way {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// TLS begins without being asked for.
    pub direct: bool,
}

impl Outbound {
    /// For servers at `hosts`, by name. Reads files, the system's CA certificates among them if they are needed.
    ///
    /// # Errors
    /// A file that can't be used, or a pair that doesn't belong together.
    pub fn new<'a>(settings: &Settings, hosts: impl Iterator<Item = &'a str>) -> Result<Self, TlsError> {
        let mut modes: Vec<Mode> = Vec::new();
        for mode in hosts.map(|host| settings.mode_for(host)).filter(|mode| *mode != Mode::Disable) {
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
        let Settings { crl_file, cert_file, key_file, .. } = settings.clone();
        let ca_file = settings.own_ca().map(Path::to_owned);
        let watched = Watched::new([ca_file, crl_file, cert_file, key_file]);
        let configs = ArcSwap::from_pointee(configure(settings, modes)?);
        Ok(Self { settings: settings.clone(), configs, watched })
    }

    /// As [`super::inbound::Inbound::reload`]. Connections that exist are not touched.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(content) = self.watched.changed() else { return Ok(false) };
        let modes = self.configs.load().iter().map(|(mode, _)| *mode).collect();
        let new = configure(&self.settings, modes)?;
        if let (Some(path), Some(validity)) = (&self.settings.cert_file, self.validity())
            && !validity.covers(SystemTime::now())
        {
            return Err(TlsError::NotValidNow { path: path.display().to_string() });
        }
        self.configs.store(Arc::new(new));
        self.watched.took(content);
        Ok(true)
    }

    /// The end of the validity of the certificate that we show, since the epoch.
    pub fn not_after(&self) -> Option<Duration> {
        self.validity().map(|validity| validity.not_after)
    }

    fn validity(&self) -> Option<Validity> {
        let (certificate, key) = (self.settings.cert_file.as_ref()?, self.settings.key_file.as_ref()?);
        files::pair(certificate, key).ok().map(|pair| pair.validity)
    }

    pub fn mode_for(&self, host: &str) -> Mode {
        self.settings.mode_for(host)
    }

    /// # Errors
    /// The host's name can't stand in a certificate.
    pub fn way(&self, host: &str) -> Result<Way, TlsError> {
        let mode = self.mode_for(host);
        let configs = self.configs.load();
        let config = configs.iter().find(|(known, _)| *known == mode).map(|(_, config)| config.clone());
        let name = self.settings.server_name.as_deref().unwrap_or(host);
        let refused = || TlsError::Refused(format!("{name:?} is no name that a certificate could have"));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| refused())?;
        Ok(Way { config: config.ok_or_else(refused)?, name, direct: self.settings.direct })
    }
}

fn configure(settings: &Settings, modes: Vec<Mode>) -> Result<Vec<(Mode, Arc<ClientConfig>)>, TlsError> {
    modes.into_iter().map(|mode| Ok((mode, Arc::new(settings.configure(mode)?)))).collect()
}

impl Way {
    /// Gives the stream, and `tls-server-end-point` of the server's certificate for channel binding.
    ///
    /// # Errors
    /// The server went away, or we refuse it or it us.
    pub async fn shake_hands(&self, socket: TcpStream) -> io::Result<(Stream, Option<Vec<u8>>)> {
        let engine = UnbufferedClientConnection::new(self.config.clone(), self.name.clone());
        let engine = Engine::Client(engine.map_err(io::Error::other)?);
        let stream = TlsStream::shake_hands(socket, engine, Vec::new()).await?;
        if self.direct && stream.state().alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not speak PostgreSQL"));
        }
        let end_point = stream.state().peer_certificates().and_then(|chain| end_point(chain.first()?));
        Ok((Stream::Tls(stream), end_point))
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outbound").field(&self.settings).finish()
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Way").field(&self.name).finish()
    }
}
