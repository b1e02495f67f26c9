//! How many connections may be logging in: in all, and from one source, so that no single one keeps all others out.
//!
//! Where there is no room left, the login that began first makes room for a new one: whoever connects and says nothing keeps
//! nobody out. Invariants: a login is left alone in its first [`UNDISTURBED`], and once it is decided; so is one whose
//! failure is held back, since else a guesser could go on guessing by coming again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::limits::ClientLimits;
use crate::auth::source::Source;
use crate::net::stream::Peer;
use crate::wire::fault::Fault;

/// More than a login takes, even over half the world. Without it, clients that all come at once (and again, when they
/// are turned away) would push each other out.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// Bounds the connections that have not logged in yet.
#[derive(Debug)]
pub struct Entrance {
    limit: u32,
    limit_per_source: u32,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: u32,
    /// None of them is empty.
    by_source: HashMap<Source, Here>,
    /// In the order in which they came.
    undecided: BTreeMap<Number, Login>,
    next: Number,
}

/// The logins of one source.
#[derive(Debug, Default)]
struct Here {
    all: u32,
    undecided: BTreeSet<Number>,
}

type Number = u64;

/// One that could make room for another.
#[derive(Debug)]
struct Login {
    source: Source,
    since: Instant,
    tell: oneshot::Sender<Fault>,
}

/// A place for one login, to be held until it is over.
#[must_use]
#[derive(Debug)]
pub struct Slot<'a> {
    entrance: &'a Entrance,
    source: Source,
    number: Number,
    told: oneshot::Receiver<Fault>,
    decided: bool,
}

impl From<Peer> for Source {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Tcp(address) => address.ip().into(),
            Peer::Unix => Self::Unix,
            Peer::Gone => Self::Gone,
        }
    }
}

impl Entrance {
    pub fn new(limits: &ClientLimits) -> Self {
        Self {
            limit: limits.max_logins,
            limit_per_source: limits.max_logins_per_source(),
            inside: Mutex::default(),
        }
    }

    /// # Errors
    /// [`Fault::TooManyLogins`], [`Fault::TooManyLoginsHere`]: there is no room, and nobody who could make it.
    pub fn enter(&self, source: Source, now: Instant) -> Result<Slot<'_>, Fault> {
        let mut inside = self.inside.lock();
        let here = inside.by_source.get(&source);
        if here.is_some_and(|here| here.all >= self.limit_per_source) {
            let oldest = here.and_then(|here| here.undecided.first().copied());
            let limit = self.limit_per_source;
            inside.displace(oldest, now, limit).ok_or(Fault::TooManyLoginsHere { limit })?;
        } else if inside.all >= self.limit {
            let oldest = inside.undecided.keys().next().copied();
            let limit = self.limit;
            inside.displace(oldest, now, limit).ok_or(Fault::TooManyLogins { limit })?;
        }
        let (number, told) = inside.place(source, now);
        Ok(Slot { entrance: self, source, number, told, decided: false })
    }
}

impl Inside {
    fn place(&mut self, source: Source, since: Instant) -> (Number, oneshot::Receiver<Fault>) {
        let number = self.next;
        let (tell, told) = oneshot::channel();
        self.next += 1;
        self.all += 1;
        let here = self.by_source.entry(source).or_default();
        here.all += 1;
        here.undecided.insert(number);
        self.undecided.insert(number, Login { source, since, tell });
        (number, told)
    }

    /// Takes a login's place away, if it has had its time.
    fn displace(&mut self, oldest: Option<Number>, now: Instant, limit: u32) -> Option<()> {
        let number = oldest?;
        let since = self.undecided.get(&number)?.since;
        if now.saturating_duration_since(since) < UNDISTURBED {
            return None;
        }
        let Login { source, tell, .. } = self.decide(number)?;
        // If nobody hears it, it is over anyway.
        let _ = tell.send(Fault::LoginDisplaced { limit });
        self.leave(source);
        Some(())
    }

    /// From now on it makes no room; `None`: it has done so, or was decided before.
    fn decide(&mut self, number: Number) -> Option<Login> {
        let login = self.undecided.remove(&number)?;
        if let Some(here) = self.by_source.get_mut(&login.source) {
            here.undecided.remove(&number);
        }
        Some(login)
    }

    fn leave(&mut self, source: Source) {
        self.all -= 1;
        if let Entry::Occupied(mut here) = self.by_source.entry(source) {
            match here.get().all {
                1 => drop(here.remove()),
                _ => here.get_mut().all -= 1,
            }
        }
    }
}

impl Slot<'_> {
    /// Comes when another login has got this one's place; with what is to be told.
    pub async fn displaced(&mut self) -> Fault {
        match (&mut self.told).await {
            Ok(fault) => fault,
            // It is decided, and stays.
            Err(_) => pending().await,
        }
    }

    /// It is known who comes in, or why not: what is left to do is done in peace.
    pub fn decide(&mut self) {
        self.decided |= self.entrance.inside.lock().decide(self.number).is_some();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut inside = self.entrance.inside.lock();
        if self.decided || inside.decide(self.number).is_some() {
            inside.leave(self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance(max_logins: u32, per_source: u32) -> Entrance {
        let max_logins_per_source = Some(per_source);
        Entrance::new(&ClientLimits { max_logins, max_logins_per_source, ..ClientLimits::default() })
    }

    const HERE: Source = Source::Unix;

    fn there() -> Source {
        Source::V4([192, 0, 2, 1].into())
    }

    /// What a login is told that lost its place.
    fn told(slot: &mut Slot<'_>) -> Option<Fault> {
        slot.told.try_recv().ok()
    }

    #[test]
    fn f113_logins_under_way_are_bounded() {
        let (entrance, now) = (entrance(2, 2), Instant::now());
        let [first, _second] = [entrance.enter(HERE, now), entrance.enter(HERE, now)];
        assert_eq!(entrance.enter(there(), now).unwrap_err(), Fault::TooManyLogins { limit: 2 });
        drop(first);
        assert!(entrance.enter(there(), now).is_ok());
    }

    #[test]
    fn f113_one_source_leaves_room_for_others() {
        let (entrance, now) = (entrance(3, 2), Instant::now());
        let [first, _second] = [entrance.enter(there(), now), entrance.enter(there(), now)];
        assert_eq!(entrance.enter(there(), now).unwrap_err(), Fault::TooManyLoginsHere { limit: 2 });
        drop(entrance.enter(HERE, now).unwrap());
        drop(first);
        drop(entrance.enter(there(), now).unwrap());
        let inside = entrance.inside.lock();
        assert_eq!((inside.all, inside.by_source.len(), inside.by_source[&there()].all), (1, 1, 1));
        assert_eq!(inside.undecided.len(), 1);
    }

    #[test]
    fn f113_the_oldest_login_makes_room_once_it_had_its_time() {
        let (entrance, now) = (entrance(3, 2), Instant::now());
        let enter = |source, after| entrance.enter(source, now + after);
        let mut first = enter(there(), Duration::ZERO).unwrap();
        let mut second = enter(there(), Duration::from_millis(1)).unwrap();
        let mut ours = enter(HERE, Duration::from_millis(2)).unwrap();
        let soon = Duration::from_millis(999);
        assert_eq!(enter(there(), soon).unwrap_err(), Fault::TooManyLoginsHere { limit: 2 });
        assert_eq!(enter(HERE, soon).unwrap_err(), Fault::TooManyLogins { limit: 3 });

        // Of its own source, where that has no room; else of all.
        let third = enter(there(), UNDISTURBED).unwrap();
        assert_eq!(told(&mut first), Some(Fault::LoginDisplaced { limit: 2 }));
        let late = 2 * UNDISTURBED;
        let fourth = enter(HERE, late).unwrap();
        assert_eq!(told(&mut second), Some(Fault::LoginDisplaced { limit: 3 }));
        assert_eq!(told(&mut ours), None);
        assert_eq!(entrance.inside.lock().all, 3);

        // Whoever lost their place has none to give back.
        drop((first, second));
        assert_eq!(entrance.inside.lock().all, 3);
        drop((ours, third, fourth));
        let inside = entrance.inside.lock();
        assert!(inside.all == 0 && inside.by_source.is_empty() && inside.undecided.is_empty());
    }

    #[test]
    fn f113_a_decided_login_stays() {
        let (entrance, now) = (entrance(2, 1), Instant::now());
        let late = now + 2 * UNDISTURBED;
        let mut first = entrance.enter(HERE, now).unwrap();
        first.decide();
        assert_eq!(entrance.enter(HERE, late).unwrap_err(), Fault::TooManyLoginsHere { limit: 1 });
        let mut second = entrance.enter(there(), now).unwrap();
        second.decide();
        let elsewhere = Source::V4([192, 0, 2, 2].into());
        assert_eq!(entrance.enter(elsewhere, late).unwrap_err(), Fault::TooManyLogins { limit: 2 });
        drop((first, second));
        assert_eq!(entrance.inside.lock().all, 0);
    }
}
