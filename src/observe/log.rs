//! The log: set up once from the configuration. `RUST_LOG` isn't consulted.
//!
//! Writing never blocks and never fails the one who logs: lines go through a bounded queue to a thread; when
//! the queue is full they are dropped and counted. Names from the network are logged as `user = ?name`, which
//! quotes them; what is left of control characters in a text line is spelled out by [`escape`].

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use self::escape::Escaping;

mod escape;

/// Lines that wait for a slow reader; at some 200 bytes each about 2 MiB.
const QUEUED_LINES: usize = 10_000;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The shape of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    Stdout,
    #[default]
    Stderr,
}

/// What may be set; `config` builds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: Format,
    pub level: LevelFilter,
    pub target: Target,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: Format::default(), level: LevelFilter::INFO, target: Target::default() }
    }
}

/// The running log. The last lines are written when it is dropped: keep it to the end of `main`.
#[must_use]
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    worker: Option<WorkerGuard>,
}

/// Reads how many lines have been dropped so far.
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

/// Makes the log the process's own. Fails if there is one already.
pub fn start(settings: &LogSettings) -> Result<Log, SetGlobalDefaultError> {
    let (subscriber, log) = match settings.target {
        Target::Stdout => build(settings, io::stdout()),
        Target::Stderr => build(settings, io::stderr()),
    };
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(log)
}

impl Log {
    pub fn dropped_lines(&self) -> DroppedLines {
        DroppedLines(self.dropped.clone())
    }
}

impl DroppedLines {
    pub fn get(&self) -> u64 {
        self.0.dropped_lines() as u64
    }
}

impl Drop for Log {
    /// Waits for the last lines, but not for a reader that has stopped reading: the worker's own guard may
    /// block on such a one, so it is left behind with its thread.
    fn drop(&mut self) {
        let (written, wait) = mpsc::channel();
        let worker = self.worker.take();
        thread::spawn(move || {
            drop(worker);
            // Nobody may be waiting any more.
            let _ = written.send(());
        });
        let _ = wait.recv_timeout(LAST_LINES);
    }
}

fn build(
    settings: &LogSettings,
    sink: impl io::Write + Send + 'static,
) -> (Box<dyn Subscriber + Send + Sync>, Log) {
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES);
    let (queue, worker) = queue.thread_name("pgweir-log").finish(sink);
    let log = Log { dropped: queue.error_counter(), worker: Some(worker) };
    let lines = tracing_subscriber::fmt().with_max_level(settings.level).with_ansi(false).with_target(false);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match settings.format {
        Format::Text => Box::new(lines.with_writer(EscapingQueue(queue)).finish()),
        Format::Json => Box::new(lines.json().flatten_event(true).with_writer(queue).finish()),
    };
    (subscriber, log)
}

/// The queue of text lines, behind [`Escaping`].
struct EscapingQueue(NonBlocking);

impl<'a> MakeWriter<'a> for EscapingQueue {
    type Writer = Escaping<NonBlocking>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }
}

#[cfg(test)]
mod tests;
