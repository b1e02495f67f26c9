//! One connection from its first byte to its last: login, welcome, the working life, the end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::card::{Entry, Signals};
use super::clock::Clock;
use super::half_open::HalfOpen;
use super::house::{Home, House, Place};
use super::login::{self, Arrival, Guest};
use super::relay::Client;
use crate::meter::counters::{Closed, LoginOutcome};
use crate::meter::visit::{Login, Visit};
use crate::net::stream::Stream;
use crate::pool::key::{Profile, Wish};
use crate::server::cancel;
use crate::session::client::{APPLICATION_NAME, ClientState};
use crate::session::params::Params;
use crate::session::server::NOBODY;
use crate::session::settings::Settings;
use crate::session::settle::startup_overrides;
use crate::wire::fault::Fault;

/// Longest wait of a login for a server that isn't needed for it.
const AT_HAND: Duration = Duration::from_millis(20);

/// Serves one accepted connection until it ends.
pub async fn serve(stream: Box<Stream>, house: Arc<House>) {
    let visit = Visit::begin(&house.counters);
    let Ready { client, stay, place: _place } = match Box::pin(arrive(*stream, &house)).await {
        Ok(Some(ready)) => ready,
        Ok(None) => return visit.end(Closed::Cancel),
        Err(closed) => return visit.end(closed),
    };
    let why = match client.run().await {
        Some(fault) => {
            stay.home.fault(&fault);
            Closed::from(&fault)
        }
        None => Closed::Terminate,
    };
    visit.end(why);
}

/// A client that may begin.
struct Ready<'a> {
    client: Box<Client>,
    stay: Stay<'a>,
    place: Place<'a>,
}

/// A client's stay in the registry and in the pool's books, which ends however the client does.
struct Stay<'a> {
    home: Arc<Home>,
    entry: Entry<'a>,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.home.pool.leave(self.entry.card.application());
    }
}

async fn arrive(stream: Stream, house: &House) -> Result<Option<Ready<'_>>, Closed> {
    let login = Login::begin(&house.counters, Instant::now());
    let fail = |login: Login<'_>, fault: &Fault| {
        house.counters.fault(fault);
        let outcome = match fault {
            Fault::LoginFailed { .. } | Fault::NotThisUser { .. } => LoginOutcome::Failed,
            Fault::LoginTimeout(_) => LoginOutcome::Timeout,
            _ => LoginOutcome::Refused,
        };
        login.end(outcome, Instant::now());
        Closed::Login
    };
    let mut slot = match house.entrance.enter(stream.peer().into(), Instant::now()) {
        Ok(slot) => slot,
        Err(fault) => {
            login::turn_away(stream, Vec::new(), &fault).await;
            return Err(fail(login, &fault));
        }
    };
    let arrival = login::receive(stream, &house.rules, &mut slot).await;
    match arrival {
        Ok(Arrival::Session(guest)) => {
            let admitted = Box::pin(admit(*guest, house)).await;
            drop(slot);
            match admitted {
                Ok(ready) => {
                    login.end(LoginOutcome::Ok, Instant::now());
                    Ok(Some(ready))
                }
                Err(Some(fault)) => Err(fail(login, &fault)),
                Err(None) => Err(Closed::Disconnect),
            }
        }
        Ok(Arrival::Cancel(key, stream)) => {
            house.counters.cancels_received.inc();
            drop(slot);
            if !house.registry.cancel(key.pid, &key.secret, cancel::DEADLINE).await {
                house.counters.cancels_dropped.inc();
            }
            drop(stream);
            Ok(None)
        }
        Ok(Arrival::Closed) => Err(Closed::Disconnect),
        Err(fault) => Err(fail(login, &fault)),
    }
}

/// Finds the client's pool and learns what its servers report, then lets it in.
async fn admit(guest: Guest, house: &House) -> Result<Ready<'_>, Option<Fault>> {
    match prepare(&guest, house).await {
        Ok((home, profile, params, place)) => {
            welcome(guest, house, home, profile, params, place).await.map_err(|()| None)
        }
        Err(fault) => {
            login::refuse(guest, &fault).await;
            Err(Some(fault))
        }
    }
}

type Prepared<'a> = (Arc<Home>, Arc<Profile>, Params, Place<'a>);

async fn prepare<'a>(guest: &Guest, house: &'a House) -> Result<Prepared<'a>, Fault> {
    let startup = &guest.startup;
    let place = house.place().ok_or(Fault::TooManyClients { limit: house.limits.max_clients })?;
    let home = house
        .home(&startup.database, guest.authenticated.user())
        .ok_or_else(|| Fault::UnknownDatabase(startup.database.clone()))?;
    if guest.has_new_key {
        house.pools.forgive(guest.authenticated.user());
    }
    let parameters = startup.profile.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut profile = home.pool.profile(parameters.clone());
    if home.known.params(profile.id).is_some() && home.known.take_due() {
        compare_defaults(&home, &profile).await;
        profile = home.pool.profile(parameters);
    }
    let params = learn(&home, &profile, house).await?;
    Ok((home, profile, params, place))
}

/// Looks whether a new session would begin otherwise than those that are there. If no server is at hand, another client
/// will look.
async fn compare_defaults(home: &Home, profile: &Profile) {
    let wish = Wish::plain(profile.id);
    let Ok(Ok(mut lease)) = timeout(AT_HAND, home.pool.checkout(wish)).await else {
        return home.known.set_due();
    };
    // Another session user would be told of others' defaults.
    if lease.ledger.settings.as_ref().is_none_or(|there| there.overrides.session_authorization.is_some()) {
        home.known.set_due();
        return lease.hand_back();
    }
    if home.known.compare_defaults(&mut lease, &home.shared.epochs).await.is_ok() {
        lease.hand_back();
    }
}

/// The parameters that a server of this profile reports; the first client of a profile waits for a server.
async fn learn(home: &Home, profile: &Profile, house: &House) -> Result<Params, Fault> {
    if let Some(params) = home.known.params(profile.id) {
        return Ok(params);
    }
    let wish = Wish::plain(profile.id);
    let mut lease = timeout(house.deadlines.login, home.pool.checkout(wish))
        .await
        .map_err(|_| Fault::LoginTimeout(house.deadlines.login))?
        .map_err(|refusal| super::queue::fault(home, refusal))?;
    // It may be as another client left it.
    if !lease.can_become(home.shared.settings.plain(), NOBODY) {
        let lost = || Fault::ReplayFailed("a server was lost".to_owned());
        lease = lease.reopen().await.ok_or_else(lost)?;
    }
    if let Err(error) = lease.restore(home.shared.settings.plain()).await {
        lease.close();
        return Err(Fault::ReplayFailed(error.to_string()));
    }
    let params = lease.ledger.params.clone();
    lease.hand_back();
    Ok(params)
}

async fn welcome<'a>(
    mut guest: Guest,
    house: &'a House,
    home: Arc<Home>,
    profile: Arc<Profile>,
    mut params: Params,
    place: Place<'a>,
) -> Result<Ready<'a>, ()> {
    let settings = startup_settings(&home, guest.startup.application_name.as_deref(), &mut params, house);
    let mut secret = vec![0; if guest.startup.minor >= 2 { 16 } else { 4 }];
    getrandom::fill(&mut secret).map_err(|_| ())?;
    let entry = house.registry.enter(secret.into());
    let greeted = login::welcome(&mut guest, params.iter(), entry.card.pid, entry.card.secret());
    timeout(house.deadlines.login, greeted).await.map_err(|_| ())?.map_err(|_| ())?;
    let card = entry.card.clone();
    card.set_application(home.pool.enter(params.get(APPLICATION_NAME).unwrap_or_default()));
    let stay = Stay { home: home.clone(), entry };
    poll_fn(|cx| {
        card.listen(cx.waker());
        Poll::Ready(())
    })
    .await;
    if house.draining.is_cancelled() {
        card.signal(Signals::DRAIN);
    }
    let client = Box::new(Client {
        stream: guest.stream,
        half_open: HalfOpen::default(),
        state: ClientState::new(settings, params, guest.startup.application_name.map(Into::into)),
        card,
        rested: None,
        clock: Clock::default(),
        speaks_otherwise: false,
        home,
        profile,
        last: None,
        subscription: None,
        lanes: None,
        bad_news: None,
    });
    Ok(Ready { client, stay, place })
}

/// The application's name is the only startup parameter that isn't part of the profile: it is set on whatever
/// server the client gets.
fn startup_settings(
    home: &Home,
    application_name: Option<&str>,
    params: &mut Params,
    house: &House,
) -> Arc<Settings> {
    let interner = &home.shared.settings;
    match application_name {
        Some(name) if params.get(APPLICATION_NAME) != Some(name) => {
            params.set(APPLICATION_NAME, name, &house.hasher);
            interner.intern(startup_overrides([(APPLICATION_NAME.into(), name.into())]))
        }
        _ => interner.plain().clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_of<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// With what the runtime keeps of each task it fits 512 bytes; a little more, and the allocator gives 640.
    #[test]
    fn the_task_of_a_client_at_rest_is_small() {
        assert!(future_of(serve) <= 376, "{} bytes", future_of(serve));
    }
}
