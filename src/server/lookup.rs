//! Asks a database about users that aren't configured, on a connection that no client ever has.
//!
//! Depends on `connect`, `ask`, and on `auth::{lookup, answers}`, which decide what an answer means and how long it is
//! of use. One question is on its way at a time, and those who want to know the same share its answer. Invariants: what
//! came from a client reaches the database as a parameter only; whatever goes wrong, nobody is let in by it.

mod desk;
mod pace;
mod pause;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};

pub use desk::{Asker, Desk};
use pace::Pace;

use super::ask::AskError;
use super::connect::{ConnectError, Connector};
use super::connection::Connection;
use super::lend::Backend;
use crate::auth::answers::{Answers, Name};
use crate::auth::keyring::Keyring;
use crate::auth::lookup::{self, Answer, Misfit};
use crate::meter::counters::{Counters, LookupOutcome};

/// For a login, with the wait for its turn; then the last answer counts, if there is one.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a failure nothing is tried for so long: those who wait learn it at once.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it is taken for granted that this role can't look anybody up. Then that is looked into, behind the back of
/// those who log in.
const MEANS_STAND: Duration = Duration::from_secs(3);
/// A connection that is not used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Who is asked about the users of which database.
#[derive(Default)]
pub struct Lookups {
    /// A database whose users aren't looked up has none.
    pub named: HashMap<String, Option<Window>>,
    /// For every other name.
    pub wildcard: Option<Window>,
}

/// What a database's clients see of a [`Lookup`].
#[derive(Clone)]
pub struct Window {
    pub lookup: Arc<Lookup>,
    /// The database's name there, else the one that the client asked for.
    pub database: Option<String>,
}

impl Lookups {
    /// Who knows the users of a database, by the name that a client asked for; `None`: nobody.
    pub fn of(&self, database: &str) -> Option<&Window> {
        self.named.get(database).map_or(self.wildcard.as_ref(), Option::as_ref)
    }

    /// Closes connections that aren't in use: somebody may want their database for themselves.
    pub async fn rest(&self) {
        for window in self.named.values().flatten().chain(&self.wildcard) {
            window.lookup.rest().await;
        }
    }
}

impl Window {
    /// What the database says of `user`, who wants to go to `database`.
    ///
    /// # Errors
    /// It doesn't answer, and has not lately.
    pub async fn find(&self, user: &str, database: &str) -> Result<Answer, Unanswered> {
        self.lookup.find(user, self.name_there(database)).await
    }

    /// Takes the time that a look-up takes, for a login of `user` that doesn't need one: who is configured isn't told
    /// from a stranger by the clock.
    pub async fn keep_pace(&self, user: &str, database: &str) {
        self.lookup.keep_pace(user, self.name_there(database)).await;
    }

    fn name_there<'a>(&'a self, database: &'a str) -> &'a str {
        self.database.as_deref().unwrap_or(database)
    }
}

/// Why a question has no answer that can be used; the log has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// Nobody said anything: what was said last may still be true.
    #[error("the database doesn't answer")]
    Silence,
    #[error("the database's answer can't be used")]
    Unusable,
}

#[derive(Debug, Error)]
enum LookupError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It concerns this question, and perhaps no other.
    #[error("the query failed: {0}")]
    Query(String),
    #[error("the query's answer can't be used: {0}")]
    Misfit(#[from] Misfit),
    #[error("the last attempt has just failed")]
    Pausing,
}

impl From<LookupError> for Unanswered {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Connect(_)
            | LookupError::Ask(AskError::Io(_) | AskError::Timeout(_))
            | LookupError::Pausing => Self::Silence,
            LookupError::Ask(AskError::Refused(_) | AskError::Protocol | AskError::Unforgettable)
            | LookupError::Query(_)
            | LookupError::Misfit(_) => Self::Unusable,
        }
    }
}

/// The users of one database cluster.
pub struct Lookup {
    desk: Desk,
    connector: Arc<Connector>,
    /// Whose passwords have changed, loses their keys.
    keyring: Arc<Keyring>,
    counters: Arc<Counters>,
    answers: Mutex<Answers>,
    line: Arc<tokio::sync::Mutex<Line>>,
    pace: Pace,
    has_told: AtomicBool,
}

/// The connection.
enum Line {
    Closed,
    Open {
        connection: Box<Connection>,
        used: Instant,
    },
    Failed {
        until: Instant,
    },
    /// This role may neither read passwords nor call the function.
    NoMeans {
        until: Instant,
    },
}

/// What comes of a question.
enum Said {
    Answer(Answer),
    /// This role can't look anybody up.
    Nothing,
}

/// A question's turn.
type Turn = OwnedMutexGuard<Line>;

impl Lookup {
    pub fn new(desk: Desk, connector: Arc<Connector>, keyring: Arc<Keyring>) -> Arc<Self> {
        let counters = connector.counters.clone();
        let (answers, pace, has_told) = (Mutex::default(), Pace::default(), AtomicBool::new(false));
        let line = Arc::new(tokio::sync::Mutex::new(Line::Closed));
        Arc::new(Self { desk, connector, keyring, counters, answers, line, pace, has_told })
    }

    /// Whether `desk` would ask the same in the same way.
    pub fn is_at(&self, desk: &Desk) -> bool {
        self.desk.is_same(desk)
    }

    async fn find(self: &Arc<Self>, user: &str, database: &str) -> Result<Answer, Unanswered> {
        let arrived = Instant::now();
        let name = (user.into(), database.into());
        match self.said_of(arrived, &name).await {
            Ok(Said::Answer(answer)) => {
                pause::until(self.pace.answered(arrived, Instant::now())).await;
                Ok(answer)
            }
            Ok(Said::Nothing) => {
                self.pace.stands_still();
                self.tell_what_to_do();
                Ok(self.answers.lock().stranger())
            }
            Err(unanswered) => {
                self.pace.stands_still();
                let last = || self.answers.lock().last(Instant::now(), &name);
                (unanswered == Unanswered::Silence).then(last).flatten().ok_or(unanswered)
            }
        }
    }

    /// For a login that doesn't have to be looked up. It is all the same, if nothing else tells how long that would take.
    async fn keep_pace(self: &Arc<Self>, user: &str, database: &str) {
        let arrived = Instant::now();
        if self.pace.keep(arrived).is_none() {
            match self.said_of(arrived, &(user.into(), database.into())).await {
                Ok(Said::Answer(_)) => _ = self.pace.answered(arrived, Instant::now()),
                Ok(Said::Nothing) | Err(_) => self.pace.stands_still(),
            }
        }
        if let Some(until) = self.pace.keep(arrived) {
            pause::until(until).await;
        }
    }

    async fn said_of(self: &Arc<Self>, arrived: Instant, name: &Name) -> Result<Said, Unanswered> {
        if let Some(answer) = self.answers.lock().look(arrived, arrived, name) {
            return Ok(Said::Answer(answer));
        }
        timeout(PATIENCE, self.in_turn(arrived, name)).await.unwrap_or(Err(Unanswered::Silence))
    }

    async fn in_turn(self: &Arc<Self>, arrived: Instant, name: &Name) -> Result<Said, Unanswered> {
        let turn = self.line.clone().lock_owned().await;
        if let Some(answer) = self.answers.lock().look(Instant::now(), arrived, name) {
            return Ok(Said::Answer(answer));
        }
        // A task of its own: it ends with an answer even if its login is over before.
        let (lookup, name) = (self.clone(), name.clone());
        let asking = tokio::spawn(async move { lookup.answer(turn, name).await });
        asking.await.unwrap_or(Err(Unanswered::Unusable))
    }

    /// Asks, and tells the log what went wrong. One lost connection is no failure: it may have been lost long ago.
    async fn answer(self: Arc<Self>, mut turn: Turn, name: Name) -> Result<Said, Unanswered> {
        let had_one = matches!(*turn, Line::Open { .. });
        let mut outcome = self.ask(&mut turn, &name).await;
        if had_one && matches!(outcome, Err(LookupError::Ask(AskError::Io(_)))) {
            outcome = self.ask(&mut turn, &name).await;
        }
        let count = |outcome: LookupOutcome| self.counters.user_lookups.inc(outcome.text());
        match outcome {
            Ok(said) => {
                count(match said {
                    Said::Answer(Answer::Known(_)) => LookupOutcome::Known,
                    Said::Answer(Answer::Unknown { .. }) | Said::Nothing => LookupOutcome::Unknown,
                });
                Ok(said)
            }
            Err(error) => {
                count(LookupOutcome::Failed);
                match &error {
                    LookupError::Pausing => {}
                    LookupError::Misfit(_) | LookupError::Query(_) => {
                        tracing::warn!(%error, "a user can't be looked up");
                    }
                    LookupError::Connect(_) | LookupError::Ask(_) => {
                        tracing::warn!(%error, "users can't be looked up");
                        *turn = Line::Failed { until: Instant::now() + PAUSE };
                    }
                }
                let unanswered = error.into();
                if unanswered == Unanswered::Unusable {
                    self.answers.lock().forget(&name);
                }
                Err(unanswered)
            }
        }
    }

    async fn ask(self: &Arc<Self>, turn: &mut Turn, name: &Name) -> Result<Said, LookupError> {
        let now = Instant::now();
        // Taken out of the line: if something is wrong with it, it isn't there any more.
        let open = match std::mem::replace(&mut **turn, Line::Closed) {
            Line::Failed { until } if now < until => {
                **turn = Line::Failed { until };
                return Err(LookupError::Pausing);
            }
            Line::NoMeans { until } if now < until => {
                **turn = Line::NoMeans { until };
                return Ok(Said::Nothing);
            }
            Line::NoMeans { .. } => {
                tokio::spawn(self.clone().look_for_means());
                None
            }
            Line::Open { connection, .. } => Some(connection),
            Line::Closed | Line::Failed { .. } => self.open().await?,
        };
        let Some(mut connection) = open else {
            **turn = Line::NoMeans { until: Instant::now() + MEANS_STAND };
            return Ok(Said::Nothing);
        };
        let asked = Instant::now();
        let (door, secrets) = match desk::question(&mut connection, name).await {
            Ok(rows) => rows,
            Err(error) => {
                tokio::spawn(connection.abandon());
                return Err(match error {
                    AskError::Refused(why) => LookupError::Query(why),
                    error => error.into(),
                });
            }
        };
        **turn = Line::Open { connection, used: Instant::now() };
        let found = lookup::read(&name.0, &door, &secrets)?;
        let (answer, old) = self.answers.lock().learn(asked, name.clone(), found);
        match old.as_ref().map(|old| old.salting()) {
            Some(Some(salting)) => self.keyring.forget(&name.0, salting),
            Some(None) => self.keyring.forget_md5(&name.0),
            None => {}
        }
        Ok(Said::Answer(answer))
    }

    /// Whether this role can look users up by now. Nobody waits for that: who did would be known for a stranger.
    async fn look_for_means(self: Arc<Self>) {
        if let Ok(Some(connection)) = self.open().await {
            *self.line.lock().await = Line::Open { connection, used: Instant::now() };
            self.pace.forget();
        }
    }

    /// `None`: this role can't look anybody up.
    async fn open(self: &Arc<Self>) -> Result<Option<Box<Connection>>, LookupError> {
        let connection = self.desk.connect(&self.connector, PATIENCE).await?;
        let mut connection = Box::new(connection);
        match desk::prepare(&mut connection, self.desk.query()).await {
            Ok(true) => {
                self.has_told.store(false, Ordering::Relaxed);
                tokio::spawn(close_when_idle(Arc::downgrade(self)));
                Ok(Some(connection))
            }
            Ok(false) => {
                connection.close().await;
                Ok(None)
            }
            Err(error) => {
                tokio::spawn(connection.abandon());
                Err(error.into())
            }
        }
    }

    fn tell_what_to_do(&self) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                role = self.desk.user(),
                database = self.desk.database(),
                "this role may not look up users, so only configured ones can log in: install the function that \
                 `pgweir auth-sql` prints, or set auth.user to a role that may, or auth.query = \"off\""
            );
        }
    }

    async fn rest(&self) {
        let connection = self.line.try_lock().ok().and_then(|mut line| line.hang_up());
        if let Some(connection) = connection {
            self.pace.forget();
            connection.close().await;
        }
    }
}

impl Line {
    /// What there is to close.
    fn hang_up(&mut self) -> Option<Box<Connection>> {
        match std::mem::replace(self, Self::Closed) {
            Self::Open { connection, .. } => Some(connection),
            other => {
                *self = other;
                None
            }
        }
    }
}

async fn close_when_idle(lookup: Weak<Lookup>) {
    loop {
        sleep(IDLE).await;
        let Some(lookup) = lookup.upgrade() else { return };
        let line = lookup.line.lock().await;
        if matches!(&*line, Line::Open { used, .. } if used.elapsed() < IDLE) {
            continue;
        }
        drop(line);
        return lookup.rest().await;
    }
}
