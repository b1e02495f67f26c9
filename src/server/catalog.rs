//! Reads what a database's catalogue says of routines, triggers and views, on whatever server is at hand.
//!
//! Depends on `ask`, `catalog`. Invariant: the server's session is afterwards as before; one reads at a time, and those who
//! need the same wait for it; no body is kept.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex;

use super::ask::{AskError, Columns};
use super::connection::Connection;
use crate::catalog::{Definition, Draft, Lexicon, Routines, queries};
use crate::session::statements::server::Unnamed;
use crate::wire::write;

/// For the whole answer. One that takes longer costs its server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The catalogue of one database.
#[derive(Debug, Default)]
pub struct Catalog {
    pub lexicon: Arc<Lexicon>,
    exact_names: bool,
    turn: Mutex<()>,
    connections: parking_lot::Mutex<Option<Connections>>,
}

/// PostgreSQL's connections, as it told when its catalogue was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub max: u32,
    pub reserved: u32,
    pub used: u32,
    pub at: SystemTime,
}

impl Catalog {
    /// `exact_names`: it matters which names of custom settings a session knows.
    pub fn new(exact_names: bool) -> Self {
        Self { exact_names, ..Self::default() }
    }

    /// Brings the lexicon up to date, if that is possible now. After a failure nothing is wrong, only slower: clients
    /// are asked for everything that they may have set.
    ///
    /// # Errors
    /// One that isn't harmless ends the server.
    pub async fn renew(&self, server: &mut Connection) -> Result<(), AskError> {
        let _turn = self.turn.lock().await;
        let Some(claim) = self.lexicon.claim(Instant::now()) else { return Ok(()) };
        let fingerprint = self.fingerprint(server).await?;
        let Err(claim) = claim.confirm(&fingerprint) else { return Ok(()) };
        let routines = routines(server, Draft::new(self.exact_names)).await?;
        tracing::debug!(names = routines.len(), "read the functions and triggers");
        claim.publish(Arc::new(routines), fingerprint);
        Ok(())
    }

    /// Looks whether something has changed that didn't pass through pgweir. Nobody waits for it.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub async fn compare(&self, server: &mut Connection) -> Result<(), AskError> {
        let fingerprint = self.fingerprint(server).await?;
        self.lexicon.compare(&fingerprint);
        Ok(())
    }

    /// `None`: nobody has looked yet.
    pub fn connections(&self) -> Option<Connections> {
        *self.connections.lock()
    }

    /// Asks for connections on the way.
    async fn fingerprint(&self, server: &mut Connection) -> Result<Box<str>, AskError> {
        let mut fingerprint = Box::default();
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        ask(server, &[queries::FINGERPRINT, queries::CONNECTIONS], |row| match *row {
            [Some(value)] => fingerprint = String::from_utf8_lossy(value).into(),
            [_, Some(max), Some(reserved), Some(used)] => {
                let numbers = number(max).zip(number(reserved)).zip(number(used));
                *self.connections.lock() = numbers.map(|((max, reserved), used)| Connections {
                    max,
                    reserved,
                    used,
                    at: SystemTime::now(),
                });
            }
            _ => {}
        })
        .await?;
        Ok(fingerprint)
    }
}

async fn routines(server: &mut Connection, mut draft: Draft) -> Result<Routines, AskError> {
    let texts =
        [queries::NAMED, &queries::routines(), queries::TRIGGERS, queries::EXPRESSIONS, queries::DBLINK];
    ask(server, &texts, |row| match *row {
        [Some(name)] => draft.name(name),
        [Some(b"dblink"), Some(schema)] => draft.dblink(schema),
        [Some(name), Some(language), body] => draft.define(&Definition { name, language, body }),
        _ => {}
    })
    .await?;
    Ok(draft.finish())
}

async fn ask(
    server: &mut Connection,
    texts: &[&str],
    mut each: impl FnMut(&[Option<&[u8]>]) + Send,
) -> Result<(), AskError> {
    let sql = format!("{}{}", queries::QUIETLY, texts.join(";"));
    let mut message = Vec::new();
    write::query(&mut message, sql.as_bytes());
    server.ledger.statements.unnamed = Unnamed::Absent;
    let answered = server.ask_rows(&message, PATIENCE, |row: Columns<'_>| each(&row)).await;
    if let Err(error) = &answered {
        tracing::warn!(%error, "can't read which functions and triggers change a session");
    }
    answered
}
