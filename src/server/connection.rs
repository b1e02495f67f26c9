//! One connection to PostgreSQL: the socket, what we know of its session, and how it ends.
//!
//! Invariant: a connection is `close`d or `abandon`ed, never just dropped, so that whoever counts backends
//! learns when this one has really ended.

use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::cancel;
use super::connect::{Connector, Established, Route};
use super::lend::Backend;
use crate::catalog::Baseline;
use crate::net::stream::Stream;
use crate::session::server::Ledger;
use crate::wire::frame;
use crate::wire::startup::CancelKey;
use crate::wire::tag::{backend, frontend};
use crate::wire::write;

/// How long a backend may take to go after it was told to.
const GOODBYE: Duration = Duration::from_secs(5);
/// More than an idle server has to say at once; one that says more is closed.
const IDLE_TALK: usize = 4096;

pub struct Connection {
    pub stream: Stream,
    pub ledger: Ledger,
    /// Some servers give none; then their queries can't be cancelled.
    pub key: Option<CancelKey>,
    /// How it was reached: cancels go the same way.
    pub route: Route,
    pub connector: Arc<Connector>,
    /// Notifications that came while we asked questions of our own: its client's, if it listens.
    pub notifications: Vec<u8>,
    /// Reset values of its settings, if the session's state is tracked.
    pub baseline: Arc<Baseline>,
    /// Whom the server was logged in as.
    pub login_user: Arc<str>,
}

impl Backend for Connection {
    fn pid(&self) -> i32 {
        self.ledger.pid
    }

    /// Whether an idle connection is still there and silent, without entering the kernel when it is.
    ///
    /// What an idle server may say (a changed parameter, a notice) is taken in; everything else, its goodbye
    /// included, means that it can't be lent any more.
    fn idle_check(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        if self.stream.poll_read_ready(&mut context).is_pending() {
            return true;
        }
        let mut talk = [0; IDLE_TALK];
        loop {
            match self.stream.try_read(&mut talk) {
                Ok(0) => return false,
                // Behind a last warning there may be the end.
                Ok(count) if self.take_in(&talk[..count]) => {}
                Ok(_) => return false,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Says goodbye and waits until the backend has ended: PostgreSQL takes it off its list before it closes
    /// the socket.
    async fn close(mut self: Box<Self>) {
        let goodbye = async {
            let mut terminate = Vec::new();
            write::bare(&mut terminate, frontend::TERMINATE);
            let _ = self.stream.write_all(&terminate).await;
            self.read_to_end().await;
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    /// Ends a backend that may be in the middle of something: cancels what it runs, then closes.
    async fn abandon(mut self: Box<Self>) {
        let ending = async {
            if let Some(key) = &self.key {
                let _ = cancel::send(&self.connector.dialer, &self.route, key).await;
            }
            let _ = self.stream.shutdown().await;
            self.read_to_end().await;
        };
        let _ = timeout(GOODBYE, ending).await;
    }
}

impl Connection {
    /// `login_user`: whom it was logged in as.
    pub(super) fn new(
        established: Established,
        connector: Arc<Connector>,
        mut ledger: Ledger,
        login_user: Arc<str>,
    ) -> Self {
        let Established { stream, key, route, .. } = established;
        ledger.pid = key.as_ref().map_or(0, |key| key.pid);
        let (notifications, baseline) = (Vec::new(), Arc::default());
        Self { stream, ledger, key, route, connector, notifications, baseline, login_user }
    }

    fn take_in(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Ok(Some(head)) = frame::head(bytes) else { return false };
            let Some((message, rest)) = bytes.split_at_checked(head.total) else { return false };
            match head.tag {
                backend::PARAMETER_STATUS => {
                    if self.ledger.report(&message[frame::HEAD..]).is_err() {
                        return false;
                    }
                }
                backend::NOTICE_RESPONSE | backend::NOTIFICATION_RESPONSE => {}
                _ => return false,
            }
            bytes = rest;
        }
        true
    }

    async fn read_to_end(&mut self) {
        let mut discarded = [0; IDLE_TALK];
        while matches!(self.stream.read(&mut discarded).await, Ok(1..)) {}
    }
}
