//! A client's login: which method, which question now, and whether the answers do.
//!
//! ```text
//!                     ┌─ trust, cert, peer ─────────────────────────────────────────────┐
//!  Roster::login ─────┼─ Ask(cleartext) ─ answer ──┬──────────────┬─ Derive ─ derived ──┼─▶ Admitted | Refused
//!                     ├─ Ask(MD5) ─────── answer ──┤ (a verifier, │                     │
//!                     └─ Ask(SASL) ────── answer ──┘  no keys yet)└─────────────────────┘
//!                         └─ Ask(SaslContinue) ─ answer
//! ```
//!
//! Unknown users take the same way to the same refusal (see [`super::roster`]).

use super::keyring::Proven;
use super::lookup::Answer;
use super::md5::Md5Hash;
use super::roster::{Account, Entry, Password, Roster, same};
use super::scram::server::{Channel, Proof, Server};
use super::scram::{Derivation, Keys, ScramError, Seed};
use super::users::Method;
use crate::wire::authentication::{self as wire, Authentication, MAX_PASSWORD, MAX_SASL, Mechanism};
use crate::wire::fault::Fault;

/// The proof that a login succeeded; only this file makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    user: String,
    method: Method,
}

impl Authenticated {
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How it was proved. A user with a SCRAM verifier has done SCRAM even where MD5 is configured.
    pub fn method(&self) -> Method {
        self.method
    }
}

/// What is to be done now.
pub enum Turn<'r> {
    /// Send `message`, then hand the body of the client's answer to [`Question::answer`].
    Ask {
        message: Vec<u8>,
        question: Question<'r>,
    },
    /// Run the derivation off the hot threads, then hand its keys to [`Pending::derived`].
    Derive {
        derivation: Derivation,
        pending: Pending<'r>,
    },
    /// Logged in. `message` is to be sent before AuthenticationOk; it may be empty.
    ///
    /// `proven` is what servers can be logged in to with as this user, if the login gave something of that kind.
    Admitted {
        message: Vec<u8>,
        authenticated: Authenticated,
        proven: Option<Proven>,
    },
    Refused(Fault),
}

impl Roster {
    /// Begins the login of `user`, whose name came with the startup packet, by the method that the rules demand
    /// ([`super::hba`], which has seen to all that is no password). `said` is what the database said of them, if it was
    /// asked (who is not [known](Roster::knows) is looked up). `seed` is random, and new each time. `end_point` is the hash of the certificate
    /// that the client saw; with it, channel binding is offered.
    pub fn login<'r>(
        &'r self,
        user: &'r str,
        method: Method,
        said: Option<Answer>,
        seed: Seed,
        end_point: Option<&'r [u8]>,
    ) -> Turn<'r> {
        let ask = |account, request: Authentication<'_>, awaits| {
            let mut message = Vec::new();
            request.write(&mut message);
            Turn::Ask { message, question: Question { account, awaits } }
        };
        let account = match method {
            Method::Trust | Method::Cert | Method::Peer => return admitted(user, method, Vec::new(), None),
            Method::Reject => return refused(user),
            Method::Cleartext | Method::Md5 | Method::ScramSha256 => self.find(user, method, said),
        };
        match (method, account.entry()) {
            (Method::Cleartext, _) => ask(account, Authentication::CleartextPassword, Awaits::Cleartext),
            (Method::Md5, Entry::Plain { .. } | Entry::Md5(_)) => {
                let [a, b, c, d, ..] = seed;
                let salt = [a, b, c, d];
                ask(account, Authentication::Md5Password { salt }, Awaits::Md5 { salt })
            }
            _ => {
                let offer = Authentication::Sasl { scram_sha_256: true, plus: end_point.is_some() };
                ask(account, offer, Awaits::SaslInitial { seed, end_point })
            }
        }
    }
}

/// A question that the client has yet to answer.
pub struct Question<'r> {
    account: Account<'r>,
    awaits: Awaits<'r>,
}

enum Awaits<'r> {
    Cleartext,
    Md5 { salt: [u8; 4] },
    SaslInitial { seed: Seed, end_point: Option<&'r [u8]> },
    SaslResponse(Server),
}

impl<'r> Question<'r> {
    /// The longest body that an answer may have, in bytes.
    pub fn limit(&self) -> usize {
        match self.awaits {
            Awaits::Cleartext => MAX_PASSWORD,
            Awaits::Md5 { .. } | Awaits::SaslInitial { .. } | Awaits::SaslResponse(_) => MAX_SASL,
        }
    }

    /// Judges an answer by the body of its message.
    pub fn answer(self, body: &[u8]) -> Turn<'r> {
        let Self { account, awaits } = self;
        let turn = match awaits {
            Awaits::Cleartext => wire::read_password(body).map(|password| cleartext(account, password)),
            Awaits::Md5 { salt } => wire::read_password(body).map(|answer| md5(account, salt, answer)),
            Awaits::SaslInitial { seed, end_point } => wire::read_sasl_initial(body)
                .and_then(|(mechanism, first)| Ok((channel(mechanism, end_point)?, first)))
                .and_then(|(channel, first)| sasl_initial(account, first, &seed, channel)),
            Awaits::SaslResponse(server) => {
                server.client_final(body).map(|proof| sasl_response(account, proof)).map_err(fault)
            }
        };
        turn.unwrap_or_else(Turn::Refused)
    }
}

fn cleartext<'r>(account: Account<'r>, password: &[u8]) -> Turn<'r> {
    match account.entry() {
        Entry::Plain { passwords, .. } => {
            let right = any(passwords, |right| same(password, right.secret.expose().as_bytes()));
            verdict(&account, right, Method::Cleartext, None)
        }
        Entry::Md5(hash) => {
            let right = hash.matches(&Md5Hash::new(password, account.user));
            verdict(&account, right, Method::Cleartext, Some(Proven::Md5(hash.clone())))
        }
        Entry::Scram(verifier) => {
            let derivation = Derivation::new(password, verifier.salting.clone());
            Turn::Derive { derivation, pending: Pending { account, proof: None } }
        }
    }
}

fn md5<'r>(account: Account<'r>, salt: [u8; 4], answer: &[u8]) -> Turn<'r> {
    let (right, proven) = match account.entry() {
        Entry::Plain { passwords, .. } => {
            let hash = |password: &Password| Md5Hash::new(password.secret.expose().as_bytes(), account.user);
            (any(passwords, |password| hash(password).accepts(salt, answer)), None)
        }
        Entry::Md5(hash) => (hash.accepts(salt, answer), Some(Proven::Md5(hash.clone()))),
        Entry::Scram(_) => (false, None),
    };
    verdict(&account, right, Method::Md5, proven)
}

fn channel(chosen: Mechanism, end_point: Option<&[u8]>) -> Result<Channel<'_>, Fault> {
    match (chosen, end_point) {
        (Mechanism::ScramSha256, None) => Ok(Channel::NotOffered),
        (Mechanism::ScramSha256, Some(_)) => Ok(Channel::NotChosen),
        (Mechanism::ScramSha256Plus, Some(hash)) => Ok(Channel::Chosen(hash)),
        (Mechanism::ScramSha256Plus, None) => Err(fault(ScramError::ChannelBinding)),
    }
}

fn sasl_initial<'r>(
    account: Account<'r>,
    client_first: &[u8],
    seed: &Seed,
    channel: Channel<'_>,
) -> Result<Turn<'r>, Fault> {
    let salting = match account.entry() {
        Entry::Plain { salting, .. } => salting,
        Entry::Scram(verifier) => &verifier.salting,
        Entry::Md5(_) => return Ok(refused(account.user)),
    };
    let server = Server::start(client_first, salting, seed, channel).map_err(fault)?;
    let mut message = Vec::new();
    Authentication::SaslContinue(server.server_first().as_bytes()).write(&mut message);
    Ok(Turn::Ask { message, question: Question { account, awaits: Awaits::SaslResponse(server) } })
}

fn sasl_response(account: Account<'_>, proof: Proof) -> Turn<'_> {
    let underived = account.entry().underived().next();
    if let Some(derivation) = underived {
        let pending = Pending { account, proof: Some((proof, derivation.clone())) };
        return Turn::Derive { derivation, pending };
    }
    let verified = match account.entry() {
        Entry::Scram(verifier) => proof.verify(verifier),
        // None is left out, so that it can't be told which of them was right.
        Entry::Plain { passwords, .. } => {
            let verifiers = passwords.iter().filter_map(Password::verifier);
            verifiers.map(|verifier| proof.verify(verifier)).fold(None, Option::or)
        }
        Entry::Md5(_) => None,
    };
    match verified {
        Some(verified) if account.is_real() => {
            let mut message = Vec::new();
            Authentication::SaslFinal(verified.server_final.as_bytes()).write(&mut message);
            // The salt of a plain password is our own: no server has it.
            let proven = match account.entry() {
                Entry::Scram(verifier) => {
                    Some(Proven::Scram { salting: verifier.salting.clone(), keys: verified.keys })
                }
                Entry::Plain { .. } | Entry::Md5(_) => None,
            };
            admitted(account.user, Method::ScramSha256, message, proven)
        }
        _ => refused(account.user),
    }
}

/// A login that waits for keys.
pub struct Pending<'r> {
    account: Account<'r>,
    /// The client's proof, to be checked with the keys of our password, and what these are derived by; without it,
    /// the keys are those of the password that the client sent.
    proof: Option<(Proof, Derivation)>,
}

impl<'r> Pending<'r> {
    pub fn derived(self, keys: &Keys) -> Turn<'r> {
        let Self { account, proof } = self;
        match (proof, account.entry()) {
            (Some((proof, derivation)), entry) => {
                entry.derived(&derivation, keys);
                sasl_response(account, proof)
            }
            (None, Entry::Scram(verifier)) => {
                let proven = Proven::Scram { salting: verifier.salting.clone(), keys: keys.clone() };
                verdict(&account, verifier.matches(keys), Method::Cleartext, Some(proven))
            }
            (None, Entry::Plain { .. } | Entry::Md5(_)) => refused(account.user),
        }
    }
}

/// Looks at all of them, so that it can't be told which one was right.
fn any(passwords: &[Password], is_right: impl Fn(&Password) -> bool) -> bool {
    passwords.iter().fold(false, |right, password| is_right(password) | right)
}

fn verdict<'r>(account: &Account<'r>, right: bool, method: Method, proven: Option<Proven>) -> Turn<'r> {
    if right && account.is_real() {
        admitted(account.user, method, Vec::new(), proven)
    } else {
        refused(account.user)
    }
}

fn admitted<'r>(user: &str, method: Method, message: Vec<u8>, proven: Option<Proven>) -> Turn<'r> {
    Turn::Admitted { message, authenticated: Authenticated { user: user.to_owned(), method }, proven }
}

fn refused<'r>(user: &str) -> Turn<'r> {
    Turn::Refused(Fault::LoginFailed { user: user.to_owned() })
}

fn fault(error: ScramError) -> Fault {
    match error {
        ScramError::AuthorizationIdentity => Fault::Unsupported("SCRAM authorization identity"),
        error => Fault::ProtocolViolation(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
