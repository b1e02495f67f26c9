//! How a session starts: startup, encryption and cancel requests; negotiation, parameters, key.
//!
//! A connection's first packets have no tag: a length, a code, a body. The packet's length is checked before anything is
//! read by it ([`head`]), the body is read strictly ([`request`]): it comes from anyone who can open a socket.
//! Source: PostgreSQL documentation, "Message Formats" (StartupMessage, SSLRequest, GSSENCRequest,
//! CancelRequest, NegotiateProtocolVersion, ParameterStatus, BackendKeyData).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

use super::fault::Fault;

/// Length and code, the part that every first packet has.
pub const HEAD_LEN: usize = 8;
/// The longest packet, in bytes; PostgreSQL's own limit.
pub const MAX_LEN: usize = 10_000;
/// The most parameters of one startup packet.
pub const MAX_PARAMETERS: usize = 64;
/// The longest name of a user or database, in bytes: PostgreSQL's NAMEDATALEN - 1.
pub const MAX_NAME: usize = 63;
/// Bytes of a cancel key's secret: 4 in protocol 3.0, up to 256 in 3.2.
pub const SECRET_LEN: std::ops::RangeInclusive<usize> = 4..=256;
/// The newest minor version of protocol 3 that pgweir speaks.
pub const NEWEST_MINOR: u16 = 2;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
const MAJOR: u16 = 3;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// What the first bytes of a connection amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Fewer bytes than a head; nothing wrong so far.
    More,
    /// A body of so many bytes follows.
    Packet { code: u32, body: usize },
    /// TLS, without having asked for it.
    Tls,
    /// Another protocol (HTTP, SSH …): close without a word.
    Alien,
}

/// Judges the first [`HEAD_LEN`] bytes, or as many as came. Every length that PostgreSQL accepts has a zero
/// in front; a length that it doesn't is refused as soon as its four bytes are there.
pub fn head(seen: &[u8]) -> Result<Head, Fault> {
    match seen {
        [TLS_HANDSHAKE, ..] => return Ok(Head::Tls),
        // Text. From 0x7f on it is a length beyond all bounds, or below zero.
        [0x01..=0x7e, ..] => return Ok(Head::Alien),
        [a, b, c, d, rest @ ..] => {
            let length = i32::from_be_bytes([*a, *b, *c, *d]);
            let length = usize::try_from(length).unwrap_or(0);
            let Some(body) = length.checked_sub(HEAD_LEN).filter(|_| length <= MAX_LEN) else {
                return Err(violation("invalid length of startup packet"));
            };
            if let [e, f, g, h, ..] = rest {
                return Ok(Head::Packet { code: u32::from_be_bytes([*e, *f, *g, *h]), body });
            }
        }
        _ => {}
    }
    Ok(Head::More)
}

/// What a client asks for with its first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Startup(Startup),
    Ssl,
    Gss,
    Cancel(CancelKey),
}

/// Reads the body of a packet whose head said `code`.
pub fn request(code: u32, body: &[u8]) -> Result<Request, Fault> {
    match code {
        SSL if body.is_empty() => Ok(Request::Ssl),
        GSS if body.is_empty() => Ok(Request::Gss),
        SSL | GSS => Err(violation("data after an encryption request")),
        CANCEL => CancelKey::read(body).map(Request::Cancel),
        _ => {
            let [major, minor] = [(code >> 16) as u16, (code & 0xffff) as u16];
            if major != MAJOR {
                return Err(Fault::UnsupportedProtocol { major, minor });
            }
            Startup::read(minor, body).map(Request::Startup)
        }
    }
}

/// Encryption requests seen on one connection: at most one each, and GSS before SSL, as libpq asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    #[default]
    Nothing,
    Gss,
    Ssl,
}

impl Asked {
    /// The state after another request for encryption, or the violation that it is.
    pub fn then(self, next: Self) -> Result<Self, Fault> {
        match (self, next) {
            (Self::Nothing, Self::Gss | Self::Ssl) | (Self::Gss, Self::Ssl) => Ok(next),
            _ => Err(violation("repeated encryption request")),
        }
    }
}

/// Names a session to be cancelled. The secret has a length of [`SECRET_LEN`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    pub pid: i32,
    pub secret: Box<[u8]>,
}

impl CancelKey {
    /// Reads a process ID and a secret: the body of CancelRequest and of BackendKeyData alike.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let (pid, secret) = body
            .split_first_chunk()
            .filter(|(_, secret)| SECRET_LEN.contains(&secret.len()))
            .ok_or_else(|| violation("invalid length of cancel key"))?;
        Ok(Self { pid: i32::from_be_bytes(*pid), secret: secret.into() })
    }

    /// Appends the CancelRequest that names this session.
    pub fn write_request(&self, out: &mut Vec<u8>) {
        with_length(out, |out| {
            out.extend_from_slice(&CANCEL.to_be_bytes());
            out.extend_from_slice(&self.pid.to_be_bytes());
            out.extend_from_slice(&self.secret);
        });
    }
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey({}, ***)", self.pid)
    }
}

/// What a client wants its session to be. All text is UTF-8 without NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    pub user: String,
    /// The user's name if the client named none.
    pub database: String,
    pub application_name: Option<String>,
    /// Every other parameter, `options` included: sorted by name, each name once, spelled as it came.
    pub profile: Vec<(String, String)>,
    /// The minor version of protocol 3 that is spoken from here on: 0 or 2.
    pub minor: u16,
    /// NegotiateProtocolVersion is owed to the client, before anything else is sent.
    pub negotiation: Option<Negotiation>,
}

/// The client asked for more than we speak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// Protocol options (`_pq_.…`) that we don't know.
    pub unknown_options: Vec<String>,
}

impl Startup {
    fn read(asked: u16, body: &[u8]) -> Result<Self, Fault> {
        let mut user = None;
        let mut database = None;
        let mut application_name = None;
        let mut profile: Vec<(String, String)> = Vec::new();
        let mut unknown_options = Vec::new();
        for (name, value) in parameters(body)? {
            match name {
                "user" if user.is_some() => return Err(violation("startup packet names the user twice")),
                "user" => user = Some(identifier(value)?),
                "database" => database = Some(identifier(value)?),
                "replication" => refuse_replication(value)?,
                _ if name.starts_with("_pq_.") => unknown_options.push(name.to_owned()),
                _ if name.eq_ignore_ascii_case("application_name") => {
                    application_name = Some(value.to_owned());
                }
                _ => {
                    profile.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(name));
                    profile.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        profile.sort_unstable();
        let user = user
            .filter(|user| !user.is_empty())
            .ok_or(Fault::RefusedByRule("no user name in the startup packet"))?;
        let minor = if asked >= NEWEST_MINOR { NEWEST_MINOR } else { 0 };
        Ok(Self {
            database: database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone()),
            user,
            application_name,
            profile,
            minor,
            negotiation: (minor != asked || !unknown_options.is_empty())
                .then_some(Negotiation { unknown_options }),
        })
    }
}

/// The pairs of a startup packet's body, which must end exactly at its terminator.
fn parameters(body: &[u8]) -> Result<Vec<(&str, &str)>, Fault> {
    let mut pairs = Vec::new();
    let mut rest = body;
    loop {
        let name = text(&mut rest)?;
        if name.is_empty() {
            break;
        }
        if pairs.len() == MAX_PARAMETERS {
            return Err(violation("too many startup parameters"));
        }
        pairs.push((name, text(&mut rest)?));
    }
    if rest.is_empty() { Ok(pairs) } else { Err(violation("data after the startup packet's terminator")) }
}

/// Takes one NUL-terminated text off the front.
fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Fault> {
    let end = memchr::memchr(0, rest).ok_or_else(|| violation("startup packet without terminator"))?;
    let (text, tail) = rest.split_at(end);
    *rest = tail.split_first().map_or(&[], |(_nul, tail)| tail);
    str::from_utf8(text).map_err(|_| violation("startup packet is not UTF-8"))
}

fn identifier(value: &str) -> Result<String, Fault> {
    if value.len() > MAX_NAME {
        return Err(violation("name of user or database is longer than 63 bytes"));
    }
    Ok(value.to_owned())
}

/// A replication connection can't share a server. The value is a boolean as PostgreSQL reads one, or `database`.
fn refuse_replication(value: &str) -> Result<(), Fault> {
    let value = value.to_ascii_lowercase();
    let abbreviates = |word: &str, shortest: usize| value.len() >= shortest && word.starts_with(&value);
    if abbreviates("false", 1) || abbreviates("no", 1) || abbreviates("off", 2) || value == "0" {
        Ok(())
    } else {
        Err(Fault::Unsupported("replication"))
    }
}

/// Appends NegotiateProtocolVersion: the newest version we speak and the options we don't know.
pub fn write_negotiation(out: &mut Vec<u8>, minor: u16, negotiation: &Negotiation) {
    out.push(b'v');
    with_length(out, |out| {
        out.extend_from_slice(&version(minor));
        // At most MAX_PARAMETERS options, so the count fits.
        out.extend_from_slice(&(negotiation.unknown_options.len() as u32).to_be_bytes());
        for option in &negotiation.unknown_options {
            put_text(out, option);
        }
    });
}

/// The minor version that a server's NegotiateProtocolVersion offers; `None` if it isn't one of protocol 3.
///
/// Servers before 18 send the version as two 16-bit halves, and so do later ones: major, then minor.
pub fn read_negotiation(body: &[u8]) -> Option<u16> {
    let (version, _) = body.split_first_chunk::<4>()?;
    let [major_high, major_low, minor_high, minor_low] = *version;
    (u16::from_be_bytes([major_high, major_low]) == MAJOR)
        .then(|| u16::from_be_bytes([minor_high, minor_low]))
}

/// Appends a StartupMessage for protocol 3.`minor`. Names and values hold no NUL, names aren't empty.
pub fn write_startup<'a>(
    out: &mut Vec<u8>,
    minor: u16,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    with_length(out, |out| {
        out.extend_from_slice(&version(minor));
        for (name, value) in parameters {
            debug_assert!(!name.is_empty(), "an empty name would end the packet");
            put_text(out, name);
            put_text(out, value);
        }
        out.push(0);
    });
}

/// Appends an SSLRequest.
pub fn write_ssl_request(out: &mut Vec<u8>) {
    with_length(out, |out| out.extend_from_slice(&SSL.to_be_bytes()));
}

/// Appends BackendKeyData. The secret has a length of [`SECRET_LEN`].
pub fn write_key(out: &mut Vec<u8>, pid: i32, secret: &[u8]) {
    out.push(b'K');
    with_length(out, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

fn version(minor: u16) -> [u8; 4] {
    (u32::from(MAJOR) << 16 | u32::from(minor)).to_be_bytes()
}

/// Appends text and its terminator. A NUL inside would let the rest pass for another field, so it ends the text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().take_while(|byte| *byte != 0));
    out.push(0);
}

/// Appends what `fill` appends, behind its length as the protocol counts it (itself included).
pub(super) fn with_length(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = i32::try_from(out.len().saturating_sub(start)).expect("our own messages are short");
    if let Some(place) = out.get_mut(start..).and_then(|message| message.first_chunk_mut()) {
        *place = length.to_be_bytes();
    }
}

fn violation(what: &str) -> Fault {
    Fault::ProtocolViolation(what.to_owned())
}

#[cfg(test)]
mod tests;
