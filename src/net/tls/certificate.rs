//! The two facts about a certificate that rustls keeps to itself: when it is valid, and its hash for channel binding.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Any, Decode, Encode, Tag, TagNumber, Tagged};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// From when to when a certificate is valid, since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Duration,
    pub(super) not_after: Duration,
}

impl Validity {
    /// `None` for what can't be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate().validity();
        Some(Self {
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
        })
    }

    pub(super) fn covers(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// Who a client's certificate says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The first common name, if it is a text without NUL.
    pub common_name: Option<String>,
}

impl Subject {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        Self { common_name: common_name(certificate) }
    }
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let subject = certificate.tbs_certificate().subject();
    let name = subject.iter().find(|attribute| attribute.oid.to_string() == "2.5.4.3")?;
    let text = match name.value.tag() {
        Tag::Utf8String => name.value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => name.value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::Ia5String => name.value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str().to_owned(),
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}

/// `tls-server-end-point` of RFC 5929: the certificate's hash by the hash function of its signature, MD5 and SHA-1
/// raised to SHA-256. `None` where none is defined (Ed25519): then there is no channel binding.
pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let bits = hash_bits(parsed.signature_algorithm())?;
    Some(match bits {
        384 => Sha384::digest(certificate).to_vec(),
        512 => Sha512::digest(certificate).to_vec(),
        _ => Sha256::digest(certificate).to_vec(),
    })
}

fn hash_bits(algorithm: &AlgorithmIdentifierOwned) -> Option<u16> {
    match algorithm.oid.to_string().as_str() {
        // RSASSA-PSS names its hash in its parameters.
        "1.2.840.113549.1.1.10" => pss_hash(algorithm),
        // RSA with MD5, SHA-1, SHA-256, SHA-384, SHA-512; ECDSA with SHA-1, SHA-256, SHA-384, SHA-512.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => Some(256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(512),
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => Some(256),
        _ => None,
    }
}

/// RFC 4055: `[0] HashAlgorithm` is the first parameter; without it the hash is SHA-1.
fn pss_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<u16> {
    let parameters = Vec::<Any>::from_der(&algorithm.parameters.as_ref()?.to_der().ok()?).ok()?;
    let named = parameters.first().filter(|any| any.tag().number() == TagNumber(0));
    let Some(named) = named else { return Some(256) };
    let hash = AlgorithmIdentifierOwned::from_der(named.value()).ok()?;
    match hash.oid.to_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(256),
        "2.16.840.1.101.3.4.2.2" => Some(384),
        "2.16.840.1.101.3.4.2.3" => Some(512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::string::PrintableString;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn named(attributes: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Subject::of(certificate.der()).common_name
    }

    #[test]
    fn f111_a_common_name_is_a_text_without_nul() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let printable = DnValue::PrintableString(PrintableString::try_from("app").unwrap());
        let company = (DnType::OrganizationName, utf8("x"));
        assert_eq!(
            named(&[company.clone(), (DnType::CommonName, utf8("\u{e4}pp"))]).as_deref(),
            Some("\u{e4}pp")
        );
        assert_eq!(named(&[(DnType::CommonName, printable)]).as_deref(), Some("app"));
        assert_eq!(named(&[(DnType::CommonName, utf8("postgres\0.example.com"))]), None);
        assert_eq!(named(&[company]), None);
        assert_eq!(Subject::of(&CertificateDer::from(&b"nonsense"[..])).common_name, None);
    }
}
