//! Names to addresses, with a short memory.
//!
//! The memory spares a look-up for each server connection, and keeps the last good answer for when the name
//! server is away. Names come from the configuration, so there are few.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long an answer is used without asking again; `getaddrinfo` doesn't tell the record's own time.
const FRESH: Duration = Duration::from_secs(15);

/// Resolves names. Shared by all that dial.
#[derive(Debug, Default)]
pub struct Resolver {
    answers: Mutex<HashMap<String, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    at: Instant,
    addresses: Vec<IpAddr>,
}

impl Resolver {
    /// The addresses of `name`, at least one, in the order to try them.
    ///
    /// # Errors
    /// The name can't be resolved, and never could.
    pub async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let known = self.answers.lock().get(name).cloned();
        let addresses = match known {
            Some(answer) if answer.at.elapsed() < FRESH => answer.addresses,
            known => match (look_up(name).await, known) {
                (Ok(addresses), _) => {
                    let answer = Answer { at: Instant::now(), addresses: addresses.clone() };
                    self.answers.lock().insert(name.to_owned(), answer);
                    addresses
                }
                (Err(error), Some(stale)) => {
                    tracing::warn!(host = name, %error, "name not resolved, using its last addresses");
                    stale.addresses
                }
                (Err(error), None) => return Err(error),
            },
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        let resolver = Resolver::default();
        assert_eq!(resolver.resolve("::1", 5432).await.unwrap(), ["[::1]:5432".parse().unwrap()]);
        assert!(resolver.answers.lock().is_empty());
    }

    #[tokio::test]
    async fn f58_the_last_good_answer_is_kept() {
        let resolver = Resolver::default();
        let name = "name.invalid";
        assert!(resolver.resolve(name, 1).await.is_err());
        let at = Instant::now().checked_sub(FRESH).unwrap();
        let stale = Answer { at, addresses: vec!["127.0.0.1".parse().unwrap()] };
        resolver.answers.lock().insert(name.to_owned(), stale);
        assert_eq!(resolver.resolve(name, 1).await.unwrap(), ["127.0.0.1:1".parse().unwrap()]);
    }
}
