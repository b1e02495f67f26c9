//! By which method a client has to log in: asks the rules, and finds out for them what only the shell can.

use std::sync::Arc;

use arc_swap::ArcSwap;
use nix::unistd::{Uid, User};

use super::accept::Stop;
use crate::auth::hba::{Certificate, Hba, Line, Visitor};
use crate::auth::users::Method;
use crate::net::stream::{Peer, Stream};
use crate::net::tls::Subject;
use crate::wire::fault::Fault;
use crate::wire::startup::Startup;

/// The rules in force. They can be replaced while clients come in; a login goes on by those that it began with.
#[derive(Debug)]
pub struct Admission(ArcSwap<Hba>);

impl Admission {
    pub fn new(rules: Hba) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    pub fn replace(&self, rules: Hba) {
        self.0.store(Arc::new(rules));
    }

    /// Whether anybody has to prove a password by this method.
    pub(super) fn asks_for(&self, method: Method) -> bool {
        self.0.load().rules().iter().any(|rule| rule.method() == method)
    }

    /// The method that is left, once all that is no password was looked at.
    pub(super) async fn method(
        &self,
        stream: &Stream,
        subject: Option<&Subject>,
        startup: &Startup,
    ) -> Result<Method, Stop> {
        let rules = self.0.load_full();
        let line = match stream.peer() {
            Peer::Unix => Line::Unix,
            Peer::Tcp(address) => Line::Tcp {
                address: address.ip(),
                tls: stream.is_tls(),
                certificate: subject
                    .map(|subject| Certificate { common_name: subject.common_name.as_deref() }),
            },
            Peer::Gone => return Err(Stop::Gone),
        };
        let visitor = Visitor { database: &startup.database, user: &startup.user, line };
        let rule = rules.rule(&visitor)?;
        let system_user = match rule.method() {
            Method::Peer => system_user(stream).await?,
            _ => None,
        };
        let method = rules.judge(rule, &visitor, system_user.as_deref())?;
        tracing::debug!(rule = %rule.place(), ?method, "a client comes in by a rule");
        Ok(method)
    }
}

/// Who runs the process at the other end. The name service may be far away, so it is asked on a thread of its own.
async fn system_user(stream: &Stream) -> Result<Option<String>, Fault> {
    let Some(uid) = stream.peer_uid() else { return Ok(None) };
    let found = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
    match found.await {
        Ok(Ok(user)) => Ok(user.map(|user| user.name)),
        Ok(Err(error)) => {
            tracing::warn!(uid, %error, "the name of a user of the system can't be found");
            Ok(None)
        }
        Err(_) => Err(Fault::Internal),
    }
}
