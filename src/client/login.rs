//! From an accepted connection to a client that is logged in, or to its cancel request.
//!
//! A login is bounded in time, memory and number. Its buffers are gone when it is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::accept::{self, Hello, Stop, Wish};
use super::admission::Admission;
use super::entrance::Slot;
use crate::auth::failures::Failures;
use crate::auth::keyring::Keyring;
use crate::auth::login::{Authenticated, Turn};
use crate::auth::lookup::Answer;
use crate::auth::roster::Roster;
use crate::auth::scram::Seed;
use crate::auth::users::Method;
use crate::meter::counters::{Counters, Done};
use crate::net::stream::{Peer, Stream};
use crate::net::tls::Subject;
use crate::net::tls::inbound::{Accepted, Inbound};
use crate::server::derive::Deriver;
use crate::server::lookup::Lookups;
use crate::wire::authentication::Authentication;
use crate::wire::error;
use crate::wire::fault::{Fault, Phase};
use crate::wire::startup::{self, CancelKey, SECRET_LEN, Startup};
use crate::wire::write;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a client may take to read why it is turned away.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped at a farewell.
const MAX_DROPPED: usize = 64 << 10;

/// Who may log in, and how. Shared by all logins.
pub struct Rules {
    pub admission: Arc<Admission>,
    pub roster: Arc<Roster>,
    /// For users who aren't in the roster.
    pub lookups: Lookups,
    /// Keeps what users prove.
    pub keyring: Arc<Keyring>,
    pub deriver: Arc<Deriver>,
    /// From accept to authenticated.
    pub timeout: Duration,
    /// `None`: no TLS.
    pub tls: Option<Arc<Inbound>>,
    pub counters: Arc<Counters>,
    pub held_back: HeldBack,
}

/// The failed logins of all sources; `None`: they are always answered at once.
#[derive(Debug, Default)]
pub struct HeldBack(Option<Mutex<Failures>>);

impl HeldBack {
    pub fn new(per_second: Option<u32>) -> Self {
        Self(per_second.map(|per_second| Mutex::new(Failures::new(per_second))))
    }
}

/// What became of a connection.
#[derive(Debug)]
pub enum Arrival {
    Session(Box<Guest>),
    /// The stream is to be closed when the cancel is done: its client waits for that.
    Cancel(CancelKey, Stream),
    /// It went away, or spoke another protocol. Nobody was told anything.
    Closed,
}

/// A client that is logged in; it waits for [`welcome`] or [`refuse`].
#[derive(Debug)]
pub struct Guest {
    pub stream: Stream,
    pub authenticated: Authenticated,
    pub startup: Startup,
    /// Servers may be logged in to now as this user, which perhaps they could not before.
    pub has_new_key: bool,
    /// To be sent before anything else, in the same write: it saves the client a wake-up.
    owed: Vec<u8>,
}

impl Rules {
    /// What the database says of a user who isn't configured. Takes as long for those who are.
    async fn said_of(&self, user: &str, method: Method, database: &str) -> Result<Option<Answer>, Fault> {
        let Some(window) = self.lookups.of(database).filter(|_| method.asks_for_secret()) else {
            return Ok(None);
        };
        if self.roster.knows(user, method) {
            window.keep_pace(user, database).await;
            return Ok(None);
        }
        window.find(user, database).await.map(Some).map_err(|_| Fault::UsersUnknown)
    }

    /// Lets the answer to a failed login wait, if too many of its source have failed. The login keeps its place meanwhile, even
    /// if the client doesn't wait: otherwise it could guess again at once.
    async fn hold_back(&self, peer: Peer, deadline: Instant) {
        let Some(failures) = &self.held_back.0 else { return };
        let now = Instant::now();
        let wait = failures.lock().failed(peer.into(), now.into_std());
        if !wait.is_zero() {
            self.counters.logins_held_back.inc();
            sleep_until(deadline.min(now + wait)).await;
        }
    }

    /// Makes the keys of plain passwords, so that no login has to wait for them. May take a while.
    pub async fn derive_ahead(&self) {
        if !self.admission.asks_for(Method::ScramSha256) {
            return;
        }
        let underived: Vec<_> = self.roster.underived().collect();
        for (user, derivation) in underived {
            let keys = self.deriver.run(derivation.clone()).await;
            self.roster.derived(user, &derivation, &keys);
        }
    }
}

/// Takes a connection through its login, as long as it has its place.
///
/// # Errors
/// Why it failed; the client was told, and the connection is closed.
pub async fn receive(stream: Stream, rules: &Rules, slot: &mut Slot<'_>) -> Result<Arrival, Fault> {
    let deadline = Instant::now() + rules.timeout;
    let caller = Caller { stream, owed: Vec::new(), end_point: None, subject: None };
    match talk(caller, rules, deadline, slot).await? {
        Heard::Arrived(arrival) => Ok(arrival),
        // What comes later is boxed: a connection that says nothing yet has no room for it.
        Heard::Tls(socket, hello) => {
            match Box::pin(shake_hands(socket, hello, rules, deadline, slot)).await {
                Some(caller) => match Box::pin(talk(caller, rules, deadline, slot)).await? {
                    Heard::Arrived(arrival) => Ok(arrival),
                    // There is no TLS inside of TLS.
                    Heard::Tls(..) => Ok(Arrival::Closed),
                },
                None => Ok(Arrival::Closed),
            }
        }
    }
}

/// A client that isn't logged in.
struct Caller {
    stream: Stream,
    owed: Vec<u8>,
    /// The hash of the certificate that it saw.
    end_point: Option<Vec<u8>>,
    /// Whose certificate it showed.
    subject: Option<Subject>,
}

/// What came of the talk with a caller.
enum Heard {
    Arrived(Arrival),
    /// It wants TLS first.
    Tls(TcpStream, Hello),
}

async fn talk(
    mut caller: Caller,
    rules: &Rules,
    deadline: Instant,
    slot: &mut Slot<'_>,
) -> Result<Heard, Fault> {
    let outcome = tokio::select! {
        biased;
        outcome = timeout_at(deadline, outcome(&mut caller, rules)) => {
            outcome.unwrap_or(Err(Stop::Fault(Fault::LoginTimeout(rules.timeout))))
        }
        fault = slot.displaced() => Err(Stop::Fault(fault)),
    };
    if !matches!(outcome, Ok(Outcome::Tls(_))) {
        slot.decide();
    }
    match (outcome, caller.stream) {
        (Ok(Outcome::LoggedIn(startup, Admitted { authenticated, has_new_key })), stream) => {
            let guest = Guest { stream, authenticated, startup, has_new_key, owed: caller.owed };
            Ok(Heard::Arrived(Arrival::Session(Box::new(guest))))
        }
        (Ok(Outcome::Cancel(key)), stream) => Ok(Heard::Arrived(Arrival::Cancel(key, stream))),
        (Ok(Outcome::Tls(hello)), Stream::Tcp(socket)) => Ok(Heard::Tls(socket, hello)),
        (Ok(Outcome::Tls(_)) | Err(Stop::Gone), _) => Ok(Heard::Arrived(Arrival::Closed)),
        (Err(Stop::Fault(fault)), stream) => {
            if matches!(fault, Fault::LoginFailed { .. }) {
                rules.hold_back(stream.peer(), deadline).await;
            }
            Box::pin(turn_away(stream, caller.owed, &fault)).await;
            Err(fault)
        }
    }
}

/// `None`: it came to nothing. Who isn't understood can't be told.
async fn shake_hands(
    socket: TcpStream,
    hello: Hello,
    rules: &Rules,
    deadline: Instant,
    slot: &mut Slot<'_>,
) -> Option<Caller> {
    let tls = rules.tls.as_ref()?;
    let (read, direct) = match hello {
        Hello::Asked => (Vec::new(), false),
        Hello::Direct(read) => (read, true),
    };
    let peer = Peer::of(&socket);
    let deadline = deadline.min(Instant::now() + HANDSHAKE);
    let accepted = tokio::select! {
        biased;
        accepted = timeout_at(deadline, tls.accept(socket, read)) => {
            accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        fault = slot.displaced() => Err(io::Error::other(fault)),
    };
    // Who begins with TLS may take us for something else: it has to name the protocol.
    let accepted = accepted.and_then(|accepted| match direct && !accepted.has_alpn {
        true => Err(io::Error::other("direct TLS without ALPN")),
        false => Ok(accepted),
    });
    rules.counters.client_handshakes.inc(Done::of(&accepted).text());
    match accepted {
        Ok(Accepted { stream, end_point, subject, .. }) => {
            Some(Caller { stream, owed: Vec::new(), end_point, subject })
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            None
        }
    }
}

struct Admitted {
    authenticated: Authenticated,
    has_new_key: bool,
}

enum Outcome {
    LoggedIn(Startup, Admitted),
    Cancel(CancelKey),
    Tls(Hello),
}

async fn outcome(caller: &mut Caller, rules: &Rules) -> Result<Outcome, Stop> {
    let Caller { stream, owed, end_point, subject } = caller;
    let offers_tls = matches!(stream, Stream::Tcp(_)) && rules.tls.is_some();
    let startup = match accept::wish(stream, offers_tls).await? {
        Wish::Session(startup) => startup,
        Wish::Cancel(key) => return Ok(Outcome::Cancel(key)),
        Wish::Tls(hello) => return Ok(Outcome::Tls(hello)),
    };
    let must_encrypt = rules.tls.as_ref().is_some_and(|tls| tls.is_required_of(stream.peer()));
    if must_encrypt && !stream.is_tls() {
        return Err(Fault::RefusedByRule("TLS is required").into());
    }
    if let Some(negotiation) = &startup.negotiation {
        startup::write_negotiation(owed, startup.minor, negotiation);
    }
    let method = rules.admission.method(stream, subject.as_ref(), &startup).await?;
    let admitted =
        Box::pin(authenticate(stream, owed, &startup, method, end_point.as_deref(), rules)).await?;
    Ok(Outcome::LoggedIn(startup, admitted))
}

async fn authenticate(
    stream: &mut Stream,
    owed: &mut Vec<u8>,
    startup: &Startup,
    method: Method,
    end_point: Option<&[u8]>,
    rules: &Rules,
) -> Result<Admitted, Stop> {
    let Startup { user, database, .. } = startup;
    let said = rules.said_of(user, method, database).await?;
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(|_| Fault::Internal)?;
    let mut turn = rules.roster.login(user, method, said.clone(), seed, end_point);
    loop {
        turn = match turn {
            Turn::Ask { message, question } => {
                owed.extend(message);
                stream.write_all(owed).await?;
                owed.clear();
                let answer = accept::answer(stream, question.limit()).await?;
                question.answer(&answer)
            }
            Turn::Derive { derivation, pending } => pending.derived(&rules.deriver.run(derivation).await),
            Turn::Admitted { message, authenticated, proven } => {
                owed.extend(message);
                let has_new_key = proven.is_some_and(|proven| rules.keyring.keep(user, proven));
                let refusal = match &said {
                    Some(Answer::Known(found)) => found.refusal(database),
                    _ => None,
                };
                return refusal
                    .map_or(Ok(Admitted { authenticated, has_new_key }), |fault| Err(fault.into()));
            }
            Turn::Refused(fault) => return Err(fault.into()),
        }
    }
}

/// Ends the login in one write: AuthenticationOk, the parameters, the cancel key, ReadyForQuery.
///
/// `secret` has 4 bytes in protocol 3.0, up to 256 in 3.2 (see [`Startup::minor`]).
pub async fn welcome<'a>(
    guest: &mut Guest,
    parameters: impl Iterator<Item = (&'a str, &'a str)>,
    pid: i32,
    secret: &[u8],
) -> io::Result<()> {
    debug_assert!(SECRET_LEN.contains(&secret.len()) && (guest.startup.minor > 0 || secret.len() == 4));
    let mut out = std::mem::take(&mut guest.owed);
    Authentication::Ok.write(&mut out);
    for (name, value) in parameters {
        write::parameter_status(&mut out, name.as_bytes(), value.as_bytes());
    }
    startup::write_key(&mut out, pid, secret);
    write::ready_for_query(&mut out, b'I');
    guest.stream.write_all(&out).await
}

/// Tells a client that is logged in why it can't stay, and closes.
pub async fn refuse(guest: Guest, fault: &Fault) {
    turn_away(guest.stream, guest.owed, fault).await;
}

/// Tells a client why it doesn't get in, behind what is `owed` to it, and closes.
pub async fn turn_away(mut stream: Stream, owed: Vec<u8>, fault: &Fault) {
    let mut out = owed;
    error::write(&mut out, fault, Phase::Login);
    let told = timeout(FAREWELL, async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    });
    if matches!(told.await, Ok(Ok(()))) {
        drop_what_came(&mut stream);
    }
}

/// Closing a socket with bytes unread resets it, which may take the farewell away from its reader.
fn drop_what_came(stream: &mut Stream) {
    let mut scrap = [0; 4_096];
    let mut dropped = 0;
    while dropped < MAX_DROPPED {
        match stream.try_read(&mut scrap) {
            Ok(count) if count > 0 => dropped += count,
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests;
