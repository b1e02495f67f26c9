//! From an accepted connection to a client that is logged in, or to its cancel request.
//!
//! A login is bounded in time, memory and number. Its buffers are gone when it is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::accept::{self, Stop, Wish};
use crate::auth::login::{Authenticated, Turn};
use crate::auth::roster::Roster;
use crate::auth::scram::Seed;
use crate::net::stream::Stream;
use crate::server::derive::Deriver;
use crate::wire::authentication::Authentication;
use crate::wire::error;
use crate::wire::fault::{Fault, Phase};
use crate::wire::startup::{self, CancelKey, SECRET_LEN, Startup};
use crate::wire::write;

/// How long a client may take to read why it is turned away.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped at a farewell.
const MAX_DROPPED: usize = 64 << 10;

/// Who may log in, and how. Shared by all logins.
pub struct Rules {
    pub roster: Arc<Roster>,
    pub deriver: Arc<Deriver>,
    /// From accept to authenticated.
    pub timeout: Duration,
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
    /// To be sent before anything else, in the same write: it saves the client a wake-up.
    owed: Vec<u8>,
}

impl Rules {
    /// Makes the keys of plain passwords, so that no login has to wait for them. May take a while.
    pub async fn derive_ahead(&self) {
        let underived: Vec<_> = self.roster.underived().collect();
        for (user, derivation) in underived {
            self.roster.derived(user, &self.deriver.run(derivation).await);
        }
    }
}

/// Takes a connection through its login.
///
/// # Errors
/// Why it failed; the client was told, and the connection is closed.
pub async fn receive(mut stream: Stream, rules: &Rules) -> Result<Arrival, Fault> {
    let mut owed = Vec::new();
    let talk = timeout(rules.timeout, talk(&mut stream, &mut owed, rules)).await;
    match talk.unwrap_or(Err(Stop::Fault(Fault::LoginTimeout(rules.timeout)))) {
        Ok(Outcome::LoggedIn(startup, authenticated)) => {
            Ok(Arrival::Session(Box::new(Guest { stream, authenticated, startup, owed })))
        }
        Ok(Outcome::Cancel(key)) => Ok(Arrival::Cancel(key, stream)),
        Err(Stop::Gone) => Ok(Arrival::Closed),
        Err(Stop::Fault(fault)) => {
            turn_away(stream, owed, &fault).await;
            Err(fault)
        }
    }
}

enum Outcome {
    LoggedIn(Startup, Authenticated),
    Cancel(CancelKey),
}

async fn talk(stream: &mut Stream, owed: &mut Vec<u8>, rules: &Rules) -> Result<Outcome, Stop> {
    let startup = match accept::wish(stream).await? {
        Wish::Session(startup) => startup,
        Wish::Cancel(key) => return Ok(Outcome::Cancel(key)),
    };
    if let Some(negotiation) = &startup.negotiation {
        startup::write_negotiation(owed, startup.minor, negotiation);
    }
    let authenticated = authenticate(stream, owed, &startup.user, rules).await?;
    Ok(Outcome::LoggedIn(startup, authenticated))
}

async fn authenticate(
    stream: &mut Stream,
    owed: &mut Vec<u8>,
    user: &str,
    rules: &Rules,
) -> Result<Authenticated, Stop> {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(|_| Fault::Internal)?;
    let mut turn = rules.roster.login(user, seed, None);
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
            Turn::Admitted { message, authenticated } => {
                owed.extend(message);
                return Ok(authenticated);
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
