//! How many connections may be logging in: in all, and from one source, so that no single one keeps all others out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;

use super::limits::ClientLimits;
use crate::auth::source::Source;
use crate::net::stream::Peer;
use crate::wire::fault::Fault;

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
    /// None of them is 0.
    by_source: HashMap<Source, u32>,
}

/// A place for one login, to be held until it is over.
#[must_use]
#[derive(Debug)]
pub struct Slot<'a> {
    entrance: &'a Entrance,
    source: Source,
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
    /// [`Fault::TooManyLogins`], [`Fault::TooManyLoginsHere`].
    pub fn enter(&self, source: Source) -> Result<Slot<'_>, Fault> {
        let mut inside = self.inside.lock();
        if inside.all >= self.limit {
            return Err(Fault::TooManyLogins { limit: self.limit });
        }
        let of_source = inside.by_source.entry(source).or_default();
        if *of_source >= self.limit_per_source {
            return Err(Fault::TooManyLoginsHere { limit: self.limit_per_source });
        }
        *of_source += 1;
        inside.all += 1;
        Ok(Slot { entrance: self, source })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut inside = self.entrance.inside.lock();
        inside.all -= 1;
        if let Entry::Occupied(mut of_source) = inside.by_source.entry(self.source) {
            match of_source.get() {
                1 => drop(of_source.remove()),
                _ => *of_source.get_mut() -= 1,
            }
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

    #[test]
    fn f113_logins_under_way_are_bounded() {
        let entrance = entrance(2, 2);
        let [first, _second] = [entrance.enter(Source::Unix), entrance.enter(Source::Unix)];
        assert_eq!(entrance.enter(Source::Unix).unwrap_err(), Fault::TooManyLogins { limit: 2 });
        drop(first);
        assert!(entrance.enter(Source::Unix).is_ok());
    }

    #[test]
    fn f113_one_source_leaves_room_for_others() {
        let entrance = entrance(3, 2);
        let there = Source::V4([192, 0, 2, 1].into());
        let [first, _second] = [entrance.enter(there), entrance.enter(there)];
        assert_eq!(entrance.enter(there).unwrap_err(), Fault::TooManyLoginsHere { limit: 2 });
        drop(entrance.enter(Source::Unix).unwrap());
        drop(first);
        drop(entrance.enter(there).unwrap());
        assert_eq!(entrance.inside.lock().by_source, [(there, 1)].into());
    }
}
