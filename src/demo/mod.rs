//! `pgweir demo`: what pooling does, shown on this machine; and the throw-away PostgreSQL that the tests use too.
//!
//! Depends on PostgreSQL's programs and on pgweir's command line, since it runs pgweir as a user would.

mod binaries;
pub mod cluster;
mod home;
mod load;
pub mod pooler;
mod screen;
mod session;
mod story;

use std::{io, path::PathBuf, process::ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

pub use binaries::{Binaries, NotFound};

/// What `pgweir demo` was asked for. Each number is at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub clients: u32,
    /// Size of the pool.
    pub servers: u32,
    /// How long the clients work.
    pub seconds: u32,
    /// Leave everything running until SIGINT, SIGTERM or SIGHUP.
    pub keep: bool,
    /// The folder of PostgreSQL's programs; `None` searches.
    pub programs: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clients: 500, servers: 20, seconds: 8, keep: false, programs: None }
    }
}

/// Runs the demo on a runtime of its own, so not to be called on one. SUCCESS (0): pooling did what it promises, or
/// a signal ended it; FAILURE (1): it did not, or the demo could not be run.
pub fn run(options: &Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = story(options) => outcome,
            signal = stopped() => signal.map(|()| true).map_err(story::Error::Io),
        }
    });
    // Waits for a cluster that is just being made, and so for its end.
    drop(runtime);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(error),
    }
}

async fn story(options: &Options) -> Result<bool, story::Error> {
    allow_open_files(options.clients)?;
    story::tell(options, &mut screen::Screen::new()).await
}

async fn stopped() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Raises the soft limit for us and for pgweir, which has a socket for each client too.
fn allow_open_files(clients: u32) -> io::Result<()> {
    const BESIDE_CLIENTS: u64 = 200;
    let needed = u64::from(clients) + BESIDE_CLIENTS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < needed) {
        let message =
            format!("{clients} clients need {needed} open files; this shell may have fewer (ulimit -Hn)");
        return Err(io::Error::other(message));
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })?)
}

fn fail(error: impl std::error::Error) -> ExitCode {
    anstream::eprintln!("pgweir demo: {error}");
    ExitCode::FAILURE
}
