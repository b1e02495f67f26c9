//! Logging in to a server: what to answer to its questions, and which of them not to answer.
//!
//! The server may be an impostor: it gets a weak form of the password only where that is allowed, and isn't
//! believed before it has proved, by SCRAM, that it knows the password too.

use thiserror::Error;
use zeroize::Zeroizing;

use super::keyring::Keyring;
use super::md5::Md5Hash;
use super::scram::client::{Answered, Challenge, Client};
use super::scram::{Binding, Keys, Salting, ScramError, Seed};
use super::secret::Secret;
use crate::wire::authentication::{self as wire, Authentication, Mechanism};

/// Who we are to the server.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub user: &'a str,
    pub password: Option<&'a Secret>,
    /// Without a password, what the user themselves has proved may do ([`super::keyring`]).
    pub keyring: Option<&'a Keyring>,
    pub allowed: AllowedMethods,
    pub channel_binding: ChannelBinding,
    /// The hash of the server's certificate, where there is one to bind to.
    pub end_point: Option<&'a [u8]>,
}

/// Login methods that a server may ask of us, as libpq's `require_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedMethods {
    pub scram: bool,
    /// An MD5 response: as good as the password for whoever can compute for long enough.
    pub md5: bool,
    /// The password itself.
    pub cleartext: bool,
    /// Letting us in without any proof, so that it gives none itself.
    pub none: bool,
}

impl Default for AllowedMethods {
    fn default() -> Self {
        Self { scram: true, md5: false, cleartext: false, none: true }
    }
}

/// Whether a login has to be bound to the server's certificate, as libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    /// The server has to prove that it knows the password, on this very connection: nothing else will do.
    Require,
}

/// One login, as it proceeds.
pub struct Responder<'a> {
    account: Account<'a>,
    state: State,
}

enum State {
    /// Nothing was asked yet.
    Start(Seed),
    /// A password was sent, as text or MD5 response: the server says yes, or an error.
    PasswordSent,
    ClientFirstSent(Client),
    /// [`Responder::derived`] is awaited.
    Challenged(Challenge),
    ClientFinalSent(Answered),
    /// The server proved itself.
    ServerVerified,
    Over,
}

/// What to do about a server's message.
#[derive(Debug)]
pub enum Reply {
    Nothing,
    /// Send it. It may hold the password.
    Send(Zeroizing<Vec<u8>>),
    /// Derive keys so (or find them) and hand them to [`Responder::derived`].
    Derive(Salting),
    /// AuthenticationOk, and it may be believed.
    LoggedIn,
}

/// Why we don't go on with this server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the server asks for {0}, which is not allowed for this upstream")]
    NotAllowed(&'static str),
    #[error("the server asks for a password and none is configured")]
    NoPassword,
    /// No client of this user has proved itself by the verifier that the server has now.
    #[error(
        "log in again: the server asks for a password, and this user has not proved the present one to pgweir"
    )]
    NotProven,
    #[error("the server asks for an authentication method that is not supported ({0})")]
    Unsupported(i32),
    #[error("the server offers no SASL mechanism that is supported")]
    NoMechanism,
    #[error("channel binding is required, and the login is not bound to the server's certificate")]
    NotBound,
    #[error("the server sent an authentication message out of order")]
    OutOfOrder,
    #[error(transparent)]
    Scram(#[from] ScramError),
}

impl<'a> Responder<'a> {
    /// `seed` is random, and new each time.
    pub fn new(account: Account<'a>, seed: Seed) -> Self {
        Self { account, state: State::Start(seed) }
    }

    /// Judges a message of the server. After a refusal, every further message is refused.
    pub fn hear(&mut self, message: Authentication<'_>) -> Result<Reply, Refusal> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let required = self.account.channel_binding == ChannelBinding::Require;
        match (state, message) {
            (State::Start(_) | State::PasswordSent, message)
                if required && !matches!(message, Authentication::Sasl { .. }) =>
            {
                Err(Refusal::NotBound)
            }
            // In the middle of SCRAM it would be an impostor's short cut.
            (State::PasswordSent | State::ServerVerified, Authentication::Ok) => Ok(Reply::LoggedIn),
            (State::Start(_), Authentication::Ok) => {
                allow(self.account.allowed.none, "no password")?;
                Ok(Reply::LoggedIn)
            }
            (State::Start(_), Authentication::CleartextPassword) => {
                allow(self.account.allowed.cleartext, "the password in cleartext")?;
                self.send_password(self.password()?.expose())
            }
            (State::Start(_), Authentication::Md5Password { salt }) => {
                allow(self.account.allowed.md5, "an MD5 response")?;
                let hash = self.hash()?;
                self.send_password(&hash.response(salt))
            }
            (State::Start(seed), Authentication::Sasl { scram_sha_256, plus }) => {
                allow(self.account.allowed.scram, "SCRAM")?;
                if self.account.keyring.is_none() {
                    self.password()?;
                }
                let (mechanism, binding) = self.choose(scram_sha_256, plus)?;
                let client = Client::start(&seed, binding);
                let mut out = Vec::new();
                wire::write_sasl_initial(&mut out, mechanism, client.client_first().as_bytes());
                self.state = State::ClientFirstSent(client);
                Ok(Reply::Send(out.into()))
            }
            (State::Start(_), Authentication::Other(code)) => Err(Refusal::Unsupported(code)),
            (State::ClientFirstSent(client), Authentication::SaslContinue(data)) => {
                let challenge = client.server_first(data)?;
                let salting = challenge.salting().clone();
                self.state = State::Challenged(challenge);
                Ok(Reply::Derive(salting))
            }
            (State::ClientFinalSent(answered), Authentication::SaslFinal(data)) => {
                answered.server_final(data)?;
                self.state = State::ServerVerified;
                Ok(Reply::Nothing)
            }
            _ => Err(Refusal::OutOfOrder),
        }
    }

    /// Takes the keys that [`Reply::Derive`] asked for; gives the message to send.
    pub fn derived(&mut self, keys: &Keys) -> Result<Vec<u8>, Refusal> {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Refusal::OutOfOrder);
        };
        let (client_final, answered) = challenge.answer(keys);
        self.state = State::ClientFinalSent(answered);
        let mut out = Vec::new();
        wire::write_sasl_response(&mut out, client_final.as_bytes());
        Ok(out)
    }

    /// The mechanism to use, and what to say about the channel. A server that doesn't offer channel binding hears
    /// that we would have: if somebody took its offer away, it knows then.
    fn choose(&self, scram_sha_256: bool, plus: bool) -> Result<(Mechanism, Binding), Refusal> {
        let end_point = match self.account.channel_binding {
            ChannelBinding::Disable => None,
            ChannelBinding::Prefer | ChannelBinding::Require => self.account.end_point,
        };
        match (end_point, self.account.channel_binding) {
            (Some(hash), _) if plus => Ok((Mechanism::ScramSha256Plus, Binding::EndPoint(hash.to_vec()))),
            (_, ChannelBinding::Require) => Err(Refusal::NotBound),
            _ if !scram_sha_256 => Err(Refusal::NoMechanism),
            (Some(_), _) => Ok((Mechanism::ScramSha256, Binding::NotOffered)),
            (None, _) => Ok((Mechanism::ScramSha256, Binding::None)),
        }
    }

    fn password(&self) -> Result<&'a Secret, Refusal> {
        self.account.password.ok_or(Refusal::NoPassword)
    }

    fn hash(&self) -> Result<Md5Hash, Refusal> {
        match (self.account.password, self.account.keyring) {
            (Some(password), _) => Ok(Md5Hash::new(password.expose().as_bytes(), self.account.user)),
            (None, Some(keyring)) => keyring.md5(self.account.user).ok_or(Refusal::NotProven),
            (None, None) => Err(Refusal::NoPassword),
        }
    }

    fn send_password(&mut self, password: &str) -> Result<Reply, Refusal> {
        let mut out = Zeroizing::new(Vec::with_capacity(password.len().saturating_add(8)));
        wire::write_password(&mut out, password);
        self.state = State::PasswordSent;
        Ok(Reply::Send(out))
    }
}

fn allow(allowed: bool, what: &'static str) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(Refusal::NotAllowed(what)) }
}

#[cfg(test)]
mod tests;
