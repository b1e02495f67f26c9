//! Our own questions to a server, outside of any exchange: restoring settings, asking for state, rolling back.
//!
//! Only asked when the reply queue is empty; each ends with its ReadyForQuery, so the queue is empty again
//! behind it. Cancels of clients are not passed on meanwhile.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connection::Connection;
use crate::session::server::Tx;
use crate::session::statements::server::Unnamed;
use crate::wire::error::ErrorFields;
use crate::wire::frame::{self, HEAD};
use crate::wire::read;
use crate::wire::tag::backend as b;
use crate::wire::write;

/// An answer that takes longer means that the server can't be used.
const PATIENCE: Duration = Duration::from_secs(10);
/// Our answers are short; `pg_settings` is the longest.
const LONGEST: usize = 1 << 20;

/// Columns as text; `None` is NULL.
pub type Row = Vec<Option<Box<str>>>;
/// Columns as they came; `None` is NULL.
pub type Columns<'a> = Vec<Option<&'a [u8]>>;

#[derive(Debug, Error)]
pub enum AskError {
    /// The server answered with an error; the connection is as before.
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server broke the protocol")]
    Protocol,
    /// Nothing was asked: the session has what no statement takes from it.
    #[error("the session knows settings that it can't forget")]
    Unforgettable,
}

impl AskError {
    /// Whether the connection is still in step.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Connection {
    /// Runs `sql` by the simple protocol; the rows of all its statements.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Row>, AskError> {
        let mut message = Vec::new();
        write::query(&mut message, sql.as_bytes());
        self.ledger.statements.unnamed = Unnamed::Absent;
        self.ask_raw(&message).await
    }

    /// Runs texts one after the other, each whatever became of the one before, in one round trip. Refused if any was.
    pub async fn ask_each(&mut self, texts: &[&str]) -> Result<(), AskError> {
        debug_assert!(self.ledger.replies.is_empty());
        let mut messages = Vec::new();
        texts.iter().for_each(|sql| write::query(&mut messages, sql.as_bytes()));
        self.ledger.statements.unnamed = Unnamed::Absent;
        let exchange = async {
            self.stream.write_all(&messages).await?;
            self.gather(texts.len(), |_| {}).await
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(AskError::Timeout(PATIENCE)))
    }

    /// Sends messages that end with exactly one ReadyForQuery, and gathers what comes back.
    pub async fn ask_raw(&mut self, messages: &[u8]) -> Result<Vec<Row>, AskError> {
        let mut rows = Vec::new();
        let text = |column: &[u8]| String::from_utf8_lossy(column).into();
        let gather = |row: Columns<'_>| rows.push(row.into_iter().map(|column| column.map(text)).collect());
        self.ask_rows(messages, PATIENCE, gather).await?;
        Ok(rows)
    }

    /// As [`Self::ask_raw`], for answers of any length: `each` takes a row at a time.
    pub async fn ask_rows(
        &mut self,
        messages: &[u8],
        patience: Duration,
        each: impl FnMut(Columns<'_>) + Send,
    ) -> Result<(), AskError> {
        debug_assert!(self.ledger.replies.is_empty());
        let exchange = async {
            self.stream.write_all(messages).await?;
            self.gather(1, each).await
        };
        timeout(patience, exchange).await.unwrap_or(Err(AskError::Timeout(patience)))
    }

    /// After a failed copy: the ReadyForQuery that came late, before the answer to an empty query of ours.
    pub async fn count_late_ready(&mut self) -> Result<u32, AskError> {
        let mut message = Vec::new();
        write::query(&mut message, b"");
        self.ledger.statements.unnamed = Unnamed::Absent;
        let exchange = async {
            self.stream.write_all(&message).await?;
            let (mut late, mut inbox, mut answered) = (0, BytesMut::new(), false);
            loop {
                match self.next_message(&mut inbox).await?.0 {
                    b::EMPTY_QUERY_RESPONSE => answered = true,
                    b::READY_FOR_QUERY if answered => return Ok(late),
                    b::READY_FOR_QUERY => late += 1,
                    b::NOTICE_RESPONSE | b::NOTIFICATION_RESPONSE | b::PARAMETER_STATUS => {}
                    _ => return Err(AskError::Protocol),
                }
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(AskError::Timeout(PATIENCE)))
    }

    async fn gather(&mut self, mut readies: usize, each: impl FnMut(Columns<'_>)) -> Result<(), AskError> {
        let mut gathering = Gathering { each, refused: None };
        let mut inbox = BytesMut::with_capacity(4096);
        while readies > 0 || !inbox.is_empty() {
            let (tag, body) = self.next_message(&mut inbox).await?;
            let ready = self.take(tag, &body, readies == 0, &mut gathering)?;
            readies = readies.saturating_sub(usize::from(ready));
        }
        gathering.refused.map_or(Ok(()), |message| Err(AskError::Refused(message)))
    }

    /// The next message's type and body; `inbox` holds what was read beyond it.
    async fn next_message(&mut self, inbox: &mut BytesMut) -> Result<(u8, BytesMut), AskError> {
        loop {
            let head = frame::head(inbox).map_err(|_| AskError::Protocol)?;
            if let Some(head) = head.filter(|head| head.total <= inbox.len()) {
                let body = inbox.split_to(head.total).split_off(HEAD);
                return Ok((head.tag, body));
            }
            if inbox.len() > LONGEST {
                return Err(AskError::Protocol);
            }
            if self.stream.read_buf(inbox).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Takes one message in; true at ReadyForQuery. Behind that, an idle server may still notify.
    fn take<F: FnMut(Columns<'_>)>(
        &mut self,
        tag: u8,
        body: &[u8],
        ready: bool,
        gathering: &mut Gathering<F>,
    ) -> Result<bool, AskError> {
        match tag {
            _ if ready
                && !matches!(tag, b::NOTIFICATION_RESPONSE | b::PARAMETER_STATUS | b::NOTICE_RESPONSE) =>
            {
                return Err(AskError::Protocol);
            }
            b::DATA_ROW => {
                (gathering.each)(read::data_row(body).map_err(|_| AskError::Protocol)?);
            }
            b::ERROR_RESPONSE => {
                let fields = ErrorFields::read(body);
                if fields.is_fatal() {
                    return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
                }
                gathering.refused.get_or_insert_with(|| fields.message_text().into_owned());
            }
            b::PARAMETER_STATUS => {
                self.ledger.report(body).map_err(|_| AskError::Protocol)?;
            }
            b::NOTIFICATION_RESPONSE => {
                write::message(&mut self.notifications, tag, |out| out.extend_from_slice(body));
            }
            b::READY_FOR_QUERY => {
                let status = body.first().copied().unwrap_or_default();
                self.ledger.tx = Tx::from_status(status).ok_or(AskError::Protocol)?;
                self.ledger.unsynced = false;
                return Ok(true);
            }
            b::PARSE_COMPLETE
            | b::BIND_COMPLETE
            | b::CLOSE_COMPLETE
            | b::ROW_DESCRIPTION
            | b::NO_DATA
            | b::COMMAND_COMPLETE
            | b::EMPTY_QUERY_RESPONSE
            | b::NOTICE_RESPONSE => {}
            _ => return Err(AskError::Protocol),
        }
        Ok(false)
    }
}

struct Gathering<F> {
    /// Takes the rows.
    each: F,
    refused: Option<String>,
}
