//! TLS towards clients ([`inbound`]) and servers ([`outbound`]), by rustls.
//!
//! Invariant: no type of rustls leaves this folder, and nothing here waits for a client or server longer than its
//! caller allows.

mod certificate;
mod files;
pub mod inbound;
pub mod outbound;
pub(super) mod stream;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use certificate::Subject;
pub use files::FileError;

/// What PostgreSQL calls its protocol in TLS's own negotiation (ALPN).
const ALPN: &[u8] = b"postgresql";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads what we read of a certificate that a peer shows: the door for a fuzz target.
#[cfg(fuzzing)]
pub fn read_certificate(der: &[u8]) {
    let certificate = der.into();
    let (_validity, _hash) = (certificate::Validity::of(&certificate), certificate::end_point(&certificate));
}

/// Why a set of files can't be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Refused(String),
    #[error("certificate {path} is not valid now")]
    NotValidNow { path: String },
    #[error(
        "no CA certificates were found on this system (SSL_CERT_FILE, SSL_CERT_DIR and the usual places were \
         searched): set tls.server.ca_file, or sslmode=require to encrypt without verifying"
    )]
    NoRoots,
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<rustls::server::VerifierBuilderError> for TlsError {
    fn from(error: rustls::server::VerifierBuilderError) -> Self {
        Self::Refused(error.to_string())
    }
}
