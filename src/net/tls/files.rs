//! Certificates, keys and revocation lists from PEM files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::TlsError;
use super::certificate::Validity;

/// What is wrong with a file. No arm quotes its content.
#[derive(Debug, Error)]
#[error("{path}: {wrong}")]
pub struct FileError {
    path: String,
    wrong: Wrong,
}

#[derive(Debug, Error)]
enum Wrong {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not PEM as it should be ({0})")]
    Pem(String),
    #[error("holds no {0}")]
    Empty(&'static str),
    #[error("others may read this private key: make it 0600, or 0640 if it belongs to root (it is {0:04o})")]
    Loose(u32),
    #[error("a certificate in it can't be used: {0}")]
    Certificate(rustls::Error),
    #[error("this private key can't be used: {0}")]
    Key(rustls::Error),
}

impl Wrong {
    fn at(self, path: &Path) -> FileError {
        FileError { path: path.display().to_string(), wrong: self }
    }
}

/// A certificate chain with its key, and until when its first certificate is valid.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) validity: Validity,
}

/// Reads a certificate chain and its key, and checks that they belong together.
pub(super) fn pair(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let chain = certificates(certificate)?;
    let validity = chain
        .first()
        .and_then(Validity::of)
        .ok_or_else(|| Wrong::Certificate(rustls::CertificateError::BadEncoding.into()).at(certificate))?;
    let key_der = private_key(key)?;
    let signer = super::provider().key_provider.load_private_key(key_der);
    let certified = CertifiedKey::new(chain, signer.map_err(|error| Wrong::Key(error).at(key))?);
    certified.keys_match().map_err(|_| {
        TlsError::Refused(format!(
            "certificate {} and private key {} don't belong together",
            certificate.display(),
            key.display()
        ))
    })?;
    Ok(Pair { key: Arc::new(certified), validity })
}

/// The CA certificates of one file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| Wrong::Certificate(error).at(path))?;
    }
    Ok(roots)
}

/// The system's CA certificates.
pub(super) fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TlsError::NoRoots) } else { Ok(roots) }
}

pub(super) fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    Ok(all(path, "revocation list")?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    all(path, "certificate")
}

fn all<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, FileError> {
    let text = fs::read(path).map_err(|error| Wrong::from(error).at(path))?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| Wrong::Pem(error.to_string()).at(path))?;
    if found.is_empty() { Err(Wrong::Empty(what).at(path)) } else { Ok(found) }
}

/// PostgreSQL's rule: nobody but the owner, or root's group if it is root's.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let file = fs::metadata(path).map_err(|error| Wrong::from(error).at(path))?;
    let forbidden = if file.uid() == 0 { 0o037 } else { 0o077 };
    if file.is_file() && file.mode() & forbidden != 0 {
        return Err(Wrong::Loose(file.mode() & 0o777).at(path));
    }
    let text = Zeroizing::new(fs::read(path).map_err(|error| Wrong::from(error).at(path))?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        match error {
            pem::Error::NoItemsFound => Wrong::Empty("private key that isn't encrypted"),
            error => Wrong::Pem(error.to_string()),
        }
        .at(path)
    })
}

/// Files that are looked at again and again. Kubernetes and its like replace them without telling anyone.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    taken: Mutex<Content>,
}

/// The digest of what is in files, and of who may read it.
type Content = [u8; 32];

impl Watched {
    pub(super) fn new(paths: impl IntoIterator<Item = Option<PathBuf>>) -> Self {
        let paths: Vec<_> = paths.into_iter().flatten().collect();
        let taken = Mutex::new(digest(&paths));
        Self { paths, taken }
    }

    /// What they hold, if it isn't what was taken over last.
    pub(super) fn changed(&self) -> Option<Content> {
        Some(digest(&self.paths)).filter(|now| *now != *self.taken.lock())
    }

    pub(super) fn took(&self, content: Content) {
        *self.taken.lock() = content;
    }
}

/// A file that can't be read counts as one that is empty.
fn digest(paths: &[PathBuf]) -> Content {
    let mut digest = Sha256::new();
    for path in paths {
        let content = Zeroizing::new(fs::read(path).unwrap_or_default());
        digest.update(fs::metadata(path).map_or(0, |file| file.mode()).to_be_bytes());
        digest.update(content.len().to_be_bytes());
        digest.update(&*content);
    }
    digest.finalize().into()
}
