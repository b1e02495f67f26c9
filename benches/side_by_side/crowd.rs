//! Many clients that have asked one query each and rest since.

use std::thread;
use std::time::Duration;

use pgweir::demo::cluster::ROLE;
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::play::query;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::house::Pooler;
use crate::{Outcome, process};

/// For allocators that give memory back late.
const CALM: Duration = Duration::from_secs(3);

pub(crate) struct Crowd {
    _clients: Vec<Client>,
    /// Resident memory of the pooler, for each client.
    pub(crate) kib_each: f64,
}

impl Crowd {
    pub(crate) fn gather(pooler: &Pooler, count: usize) -> Outcome<Self> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
        let place = Place {
            address: pooler.address(),
            user: ROLE.into(),
            password: String::new(),
            database: ROLE.into(),
        };
        let client = || -> Outcome<Client> {
            let mut client = Client::connect(&place, &[])?;
            query(&mut client, "SELECT 1")?;
            Ok(client)
        };
        let first = client()?;
        thread::sleep(CALM);
        let before = process::resident_kib(pooler.pid())?;
        let mut clients = vec![first];
        for _ in 0..count {
            clients.push(client()?);
        }
        thread::sleep(CALM);
        let kib_each = (process::resident_kib(pooler.pid())? - before) / count as f64;
        Ok(Self { _clients: clients, kib_each })
    }
}
