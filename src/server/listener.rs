//! The connection of a pool that listens for all of its clients that rest.
//!
//! Depends on `lend` (it is a server of the pool, pinned for as long as someone listens), and on
//! `session::switchboard`, which decides who is told what. Here are the socket, the waiting, and the end. One for
//! each pool, not one for each database: it logs in as the pool's clients do, so no user's notifications depend on
//! another user's password, role or limits. Invariant: whatever ends the task that reads the connection, those who
//! may have missed something learn of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::AskError;
use super::lease::Lease;
use super::lend::Pool;
use crate::meter::cell::Member;
use crate::meter::counters::Counters;
use crate::pool::core::Pin;
use crate::pool::key::Wish;
use crate::session::notifications::Notification;
use crate::session::server::Ledger;
use crate::session::settings::Settings;
use crate::session::switchboard::{Ear, Gap, ListenerId, Mark, Switchboard};
use crate::wire::frame::{self, HEAD};
use crate::wire::tag::backend as b;
use crate::wire::write;

/// For each of the two steps of opening it (a server, its answer), and for an answer to a LISTEN. A client waits for it
/// behind its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts to open it while they fail: from the first to the second, doubled up to the last.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The encoding in which names and payloads come.
pub const ENCODING: (&str, &str) = ("client_encoding", "UTF8");

/// Makes a client look for its notifications. Called often; must be cheap.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// Why a client's channels can't be heard here.
#[derive(Debug, Error)]
pub enum Unheard {
    #[error("no server for the shared listener")]
    NoServer,
    #[error("the shared listener is opened again in a moment")]
    Pausing,
    #[error("the shared listener doesn't answer")]
    Silent,
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Opens the connection when it is needed.
pub struct Listener {
    pool: Arc<Pool>,
    plain: Arc<Settings>,
    /// Bytes that may wait for one client.
    limit: usize,
    counters: Arc<Counters>,
    state: tokio::sync::Mutex<State>,
}

enum State {
    Closed,
    /// Open as far as is known here.
    Open(Arc<Line>),
    Failed {
        until: Instant,
        pause: Duration,
    },
}

/// One connection, as its task and the clients share it.
struct Line {
    board: Mutex<Switchboard<Bell>>,
    /// For the task: there may be something to ask, or nobody left.
    work: Notify,
    /// For clients that wait: a statement was run, or a mark was seen.
    moved: Notify,
}

impl Listener {
    /// `plain` is what a server's session begins with.
    pub fn new(pool: Arc<Pool>, plain: Arc<Settings>, limit: usize, counters: Arc<Counters>) -> Self {
        Self { pool, plain, limit, counters, state: tokio::sync::Mutex::new(State::Closed) }
    }

    /// A client's place, with its ear shut. Opens the connection if there is none.
    ///
    /// # Errors
    /// It can't be opened now.
    pub async fn subscribe(&self, bell: Bell) -> Result<Subscription, Unheard> {
        let mut state = self.state.lock().await;
        let pause = match &*state {
            State::Open(line) => match line.subscribe(&bell, &self.counters) {
                Some(place) => return Ok(place),
                None => PAUSE,
            },
            State::Failed { until, .. } if Instant::now() < *until => return Err(Unheard::Pausing),
            State::Failed { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
            State::Closed => PAUSE,
        };
        match self.open(&bell).await {
            Ok(place) => {
                *state = State::Open(place.line.clone());
                Ok(place)
            }
            Err(error) => {
                *state = State::Failed { until: Instant::now() + pause, pause };
                Err(error)
            }
        }
    }

    async fn open(&self, bell: &Bell) -> Result<Subscription, Unheard> {
        // Of today's defaults, so that it is of use for new clients when it goes back.
        let profile = self.pool.profile([ENCODING]);
        let wish = Wish::plain(profile.id);
        let checkout = timeout(PATIENCE, self.pool.checkout(wish)).await;
        let mut lease = checkout.ok().and_then(Result::ok).ok_or(Unheard::NoServer)?;
        lease.pin(Pin::needed("listener"));
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| Unheard::NoServer)?;
        let channel = format!("_pgweir_{:016x}", u64::from_ne_bytes(random));
        let prepared = prepare(&mut lease, &self.plain, &channel);
        timeout(PATIENCE, prepared).await.map_err(|_| Unheard::Silent)??;
        let line = Arc::new(Line {
            board: Mutex::new(Switchboard::new(&channel, self.limit)),
            work: Notify::new(),
            moved: Notify::new(),
        });
        // Before the task looks whether anyone is there.
        let place = line.subscribe(bell, &self.counters).ok_or(Unheard::NoServer)?;
        tokio::spawn(attend(Attended(line), lease, self.plain.clone(), self.counters.clone()));
        Ok(place)
    }
}

/// Makes a server the listener's: as it began, whoever had it last, and resting for as long as its clients do.
async fn prepare(lease: &mut Lease, plain: &Arc<Settings>, channel: &str) -> Result<(), AskError> {
    lease.restore(plain).await?;
    lease.ledger.settings = None;
    let prelude = format!("SET idle_session_timeout = 0; SET statement_timeout = 0; LISTEN {channel}");
    lease.ask(&prelude).await.map(drop)
}

// -- the task

/// The line while a task reads it.
struct Attended(Arc<Line>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.board.lock().lose();
        self.0.ring();
    }
}

/// Reads the connection until nobody needs it; then the pool has it back.
async fn attend(line: Attended, mut lease: Lease, plain: Arc<Settings>, counters: Arc<Counters>) {
    if let Err(error) = line.0.relay(&mut lease, &counters).await {
        counters.listeners_lost.inc();
        tracing::warn!(%error, pool = lease.pool().database(), "the shared listener was lost");
        return lease.close();
    }
    drop(line);
    if lease.discard_all(&plain).await.is_err() {
        return lease.close();
    }
    lease.hand_back();
}

impl Line {
    /// Asks what the switchboard wants to have asked, and hands it what comes.
    async fn relay(&self, lease: &mut Lease, counters: &Counters) -> Result<(), AskError> {
        let (mut inbox, mut message) = (BytesMut::new(), Vec::new());
        let mut due = None;
        loop {
            let statement = {
                let mut board = self.board.lock();
                if inbox.is_empty() && board.close_if_unused() {
                    return Ok(());
                }
                board.next_statement()
            };
            if let Some(sql) = statement {
                message.clear();
                write::query(&mut message, &sql);
                lease.stream.write_all(&message).await?;
                due = Some(Instant::now() + PATIENCE);
            }
            tokio::select! {
                read = lease.stream.read_buf(&mut inbox) => if read? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                },
                () = self.work.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return Err(AskError::Timeout(PATIENCE));
                }
            }
            self.take_in(&mut inbox, &mut lease.ledger, counters)?;
            due = due.filter(|_| self.board.lock().is_asking());
        }
    }

    fn take_in(
        &self,
        inbox: &mut BytesMut,
        ledger: &mut Ledger,
        counters: &Counters,
    ) -> Result<(), AskError> {
        let mut board = self.board.lock();
        while let Some(head) = frame::head(inbox).map_err(|_| AskError::Protocol)?
            && head.total <= inbox.len()
        {
            let message = inbox.split_to(head.total);
            match head.tag {
                b::NOTIFICATION_RESPONSE => {
                    let sent = Notification::read(&message[HEAD..]).map_err(|_| AskError::Protocol)?;
                    board.heard(&sent, &message);
                }
                b::READY_FOR_QUERY => board.statement_done(),
                b::PARAMETER_STATUS => {
                    ledger.report(&message[HEAD..]).map_err(|_| AskError::Protocol)?;
                }
                b::COMMAND_COMPLETE | b::NOTICE_RESPONSE => {}
                b::ERROR_RESPONSE => {
                    let fields = crate::wire::error::ErrorFields::read(&message[HEAD..]);
                    return Err(AskError::Refused(fields.message_text().into_owned()));
                }
                _ => return Err(AskError::Protocol),
            }
        }
        counters.notifications.add(std::mem::take(&mut board.delivered));
        drop(board);
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        let bells = self.board.lock().take_bells();
        bells.iter().for_each(|bell| bell());
        self.moved.notify_waiters();
    }

    fn subscribe(self: &Arc<Self>, bell: &Bell, counters: &Counters) -> Option<Subscription> {
        let id = self.board.lock().subscribe(bell.clone())?;
        let counted = counters.listening_clients.join();
        Some(Subscription { line: self.clone(), id, channels: Vec::new(), _counted: counted })
    }

    /// Until the switchboard says so.
    async fn until(&self, is_true: impl Fn(&Switchboard<Bell>) -> bool) -> Result<(), Unheard> {
        let coming = async {
            loop {
                let moved = self.moved.notified();
                if is_true(&self.board.lock()) {
                    return;
                }
                moved.await;
            }
        };
        timeout(PATIENCE, coming).await.map_err(|_| Unheard::Silent)
    }
}

// -- a client's place

/// A client's place on the connection, given up when dropped.
pub struct Subscription {
    line: Arc<Line>,
    id: ListenerId,
    channels: Vec<Box<str>>,
    _counted: Member,
}

impl Subscription {
    /// Has these channels heard, and no others; returns when they are.
    ///
    /// # Errors
    /// It is not known whether they are.
    pub async fn listen(&mut self, channels: Vec<Box<str>>) -> Result<(), Unheard> {
        self.channels.clone_from(&channels);
        self.line.board.lock().listen(self.id, channels);
        self.line.work.notify_one();
        self.line.until(|board| !board.is_open() || board.is_ready(self.id)).await?;
        if self.is_lost() { Err(Unheard::Silent) } else { Ok(()) }
    }

    pub fn channels(&self) -> &[Box<str>] {
        &self.channels
    }

    pub fn mark_channel(&self) -> String {
        self.line.board.lock().mark_channel().to_owned()
    }

    /// A mark that process `pid` is about to send.
    pub fn expect(&self, pid: i32, then: Ear) -> Mark {
        let mark = self.line.board.lock().expect(self.id, pid, then);
        self.line.ring();
        mark
    }

    /// Nothing follows from the mark any more; false if something has already.
    pub fn forget(&self, mark: &Mark) -> bool {
        self.line.board.lock().forget(self.id, mark)
    }

    /// Until the mark was seen: all that stands before it has been heard.
    ///
    /// # Errors
    /// It doesn't come.
    pub async fn passed(&self, mark: &Mark) -> Result<(), Unheard> {
        self.line.until(|board| board.is_over(self.id, mark)).await
    }

    /// Why nothing more can be told to the client, if so.
    pub fn gap(&self) -> Option<Gap> {
        self.line.board.lock().gap(self.id)
    }

    /// What waits for the client.
    ///
    /// # Errors
    /// Something is missing.
    pub fn take(&self) -> Result<Vec<u8>, Gap> {
        self.line.board.lock().take(self.id)
    }

    /// The connection is gone.
    pub fn is_lost(&self) -> bool {
        !self.line.board.lock().is_open()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.line.board.lock().unsubscribe(self.id);
        self.line.work.notify_one();
    }
}
