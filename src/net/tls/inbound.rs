//! TLS towards clients: whether it is offered, whether it is asked for, and by which certificate.
//!
//! The certificate can be replaced while clients are connected: a new handshake gets the new one, and what can't be
//! used never replaces what could.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;

use super::certificate::{Subject, Validity, end_point};
use super::files::{self, Watched};
use super::stream::{Engine, TlsStream};
use super::{ALPN, TlsError, provider};
use crate::net::stream::{Peer, Stream};

/// Plain bytes of a record at most. libpq keeps room for 8 KiB at least when it reads, and its asynchronous interface
/// may wait for the socket while OpenSSL still holds the rest of a larger record.
const RECORD: usize = 8 << 10;

/// What is asked of clients, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Mode {
    /// TLS isn't offered.
    Disable,
    /// The client decides. The two mean the same here, as they do in PgBouncer.
    Allow,
    Prefer,
    /// Over TCP nobody gets in without TLS.
    Require,
    /// And nobody without a certificate of one of our CAs.
    VerifyCa,
    /// The same: a client has no host name to verify.
    VerifyFull,
}

/// `[tls.client]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `None`: no TLS without a certificate; with one, it is required of clients on other machines.
    pub mode: Option<Mode>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Whose certificates clients may show. They needn't, below [`Mode::VerifyCa`].
    pub ca_file: Option<PathBuf>,
    pub crl_file: Option<PathBuf>,
}

impl Settings {
    /// Whether a certificate that a client shows says who it is.
    pub fn verifies_clients(&self) -> bool {
        self.cert_file.is_some() && self.ca_file.is_some()
    }
}

/// Serves TLS by these settings. Shared by all logins.
pub struct Inbound {
    settings: Settings,
    served: ArcSwap<Served>,
    watched: Watched,
}

/// What new handshakes get.
struct Served {
    config: Arc<ServerConfig>,
    /// For channel binding.
    end_point: Option<Vec<u8>>,
    validity: Validity,
}

/// A client behind its handshake.
pub struct Accepted {
    pub stream: Stream,
    /// `tls-server-end-point` of the certificate that the client saw.
    pub end_point: Option<Vec<u8>>,
    /// Whether the client named the protocol.
    pub has_alpn: bool,
    /// Whose certificate the client showed. It is one of our CAs', or the handshake would have failed.
    pub subject: Option<Subject>,
}

impl Inbound {
    /// `None` if no TLS is offered. Reads files.
    ///
    /// # Errors
    /// A file that can't be used, or a pair that doesn't belong together. An expired one will do: at a start there is
    /// no other, and many clients don't verify it.
    pub fn new(settings: &Settings) -> Result<Option<Self>, TlsError> {
        if settings.cert_file.is_none() || settings.mode == Some(Mode::Disable) {
            return Ok(None);
        }
        let Settings { cert_file, key_file, ca_file, crl_file, .. } = settings.clone();
        let watched = Watched::new([cert_file, key_file, ca_file, crl_file]);
        let served = ArcSwap::from_pointee(Served::read(settings)?);
        Ok(Some(Self { settings: settings.clone(), served, watched }))
    }

    /// Takes new files over, if there are any; says whether there were.
    ///
    /// # Errors
    /// What [`Inbound::new`] refuses, and a certificate that isn't valid now. The old one stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(content) = self.watched.changed() else { return Ok(false) };
        let new = Served::read(&self.settings)?;
        if !new.validity.covers(SystemTime::now()) {
            let path = self.settings.cert_file.as_ref().map(|path| path.display().to_string());
            return Err(TlsError::NotValidNow { path: path.unwrap_or_default() });
        }
        self.served.store(Arc::new(new));
        self.watched.took(content);
        Ok(true)
    }

    /// The end of the certificate's validity, since the epoch.
    pub fn not_after(&self) -> Duration {
        self.served.load().validity.not_after
    }

    pub fn is_valid_now(&self) -> bool {
        self.served.load().validity.covers(SystemTime::now())
    }

    /// Whether this peer may not go on in plain text.
    pub fn is_required_of(&self, peer: Peer) -> bool {
        match (peer, self.settings.mode) {
            (Peer::Unix, _) => false,
            (_, Some(mode)) => mode >= Mode::Require,
            (Peer::Tcp(address), None) => !address.ip().to_canonical().is_loopback(),
            (Peer::Gone, None) => true,
        }
    }

    /// Shakes hands with a client. `read`: what was read of its first message.
    ///
    /// # Errors
    /// The client went away, or its hello or certificate is refused; it was told.
    pub async fn accept(&self, socket: TcpStream, read: Vec<u8>) -> io::Result<Accepted> {
        let served = self.served.load_full();
        let engine = UnbufferedServerConnection::new(served.config.clone()).map_err(io::Error::other)?;
        let stream = TlsStream::shake_hands(socket, Engine::Server(engine), read).await?;
        let has_alpn = stream.state().alpn_protocol().is_some();
        let chain = stream.state().peer_certificates();
        let subject = chain.and_then(|chain| chain.first()).map(Subject::of);
        Ok(Accepted { stream: Stream::Tls(stream), end_point: served.end_point.clone(), has_alpn, subject })
    }
}

impl Served {
    fn read(settings: &Settings) -> Result<Self, TlsError> {
        let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) else {
            return Err(TlsError::Refused("a certificate needs a private key".to_owned()));
        };
        let pair = files::pair(certificate, key)?;
        let end_point = pair.key.cert.first().and_then(end_point);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier(settings)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_fragment_size = Some(RECORD);
        // libpq never resumes a session.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), end_point, validity: pair.validity })
    }
}

fn verifier(settings: &Settings) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let demanded = settings.mode >= Some(Mode::VerifyCa);
    let Some(ca_file) = &settings.ca_file else {
        if demanded {
            let reason = "tls.client.mode verify-ca and verify-full need tls.client.ca_file";
            return Err(TlsError::Refused(reason.to_owned()));
        }
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let roots = Arc::new(files::roots(ca_file)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(crl_file) = &settings.crl_file {
        builder = builder.with_crls(files::revoked(crl_file)?).enforce_revocation_expiration();
    }
    if !demanded {
        builder = builder.allow_unauthenticated();
    }
    Ok(builder.build()?)
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inbound").field(&self.settings).finish()
    }
}
