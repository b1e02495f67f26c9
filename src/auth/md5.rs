//! PostgreSQL's MD5 passwords: weak, for old clients and servers only.
//!
//! `md5(password + user)` is as good as the password: whoever has it can log in.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// `md5(password + user)` in lower-case hexadecimal digits.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<[u8; 32]>);

impl Md5Hash {
    pub fn new(password: &[u8], user: &str) -> Self {
        Self(Zeroizing::new(hex(&[password, user.as_bytes()])))
    }

    /// Reads `md5` and 32 lower-case hexadecimal digits, as in `pg_authid.rolpassword`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("md5")?.as_bytes();
        let digits: [u8; 32] = digits.try_into().ok()?;
        digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            .then(|| Self(Zeroizing::new(digits)))
    }

    /// What a client answers to a server's salt: `md5` and 32 hexadecimal digits.
    pub fn response(&self, salt: [u8; 4]) -> String {
        let digits = hex(&[self.0.as_slice(), &salt]);
        format!("md5{}", digits.escape_ascii())
    }

    /// Whether it is the same hash. Takes the same time either way.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// Whether `answer` is the response to `salt`. Takes the same time for any answer of the right length.
    pub fn accepts(&self, salt: [u8; 4], answer: &[u8]) -> bool {
        self.response(salt).as_bytes().ct_eq(answer).into()
    }
}

impl std::fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

fn hex(parts: &[&[u8]]) -> [u8; 32] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digest = parts.iter().fold(Md5::new(), |md5, part| md5.chain_update(part)).finalize();
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        let [high, low] = [byte >> 4, byte & 15].map(|n| DIGITS.get(usize::from(n)).copied().unwrap_or(0));
        pair.copy_from_slice(&[high, low]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_postgres_protocol() {
        let response = postgres_protocol::authentication::md5_hash(b"ann", b"secret", [1, 2, 3, 4]);
        let hash = Md5Hash::new(b"secret", "ann");
        assert_eq!(hash.response([1, 2, 3, 4]), response);
        assert!(hash.accepts([1, 2, 3, 4], response.as_bytes()));
        assert!(!hash.accepts([1, 2, 3, 5], response.as_bytes()));
        assert!(!hash.accepts([1, 2, 3, 4], b""));
        assert!(!hash.accepts([1, 2, 3, 4], &[response.as_bytes(), b"x"].concat()));
    }

    #[test]
    fn a_stored_hash_is_read() {
        let text = postgres_protocol::password::md5(b"secret", "ann");
        assert!(Md5Hash::parse(&text).unwrap().matches(&Md5Hash::new(b"secret", "ann")));
        for other in ["md5", "secret", &text.to_uppercase(), &text[..34], &format!("{text}0")] {
            assert!(Md5Hash::parse(other).is_none());
        }
    }
}
