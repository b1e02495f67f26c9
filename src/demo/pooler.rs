//! A pgweir as a child process: how the demo and the tests run the real program.
//!
//! Depends on the command line alone. Invariant: a pooler that is dropped has ended.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use super::cluster::free_port;

/// How long the program may take to open its listener.
const START_LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A running pgweir. Drop kills it.
pub struct Pooler {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
    http: SocketAddr,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot {what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("pgweir ended ({status}) before it accepted connections:\n{log}")]
    Ended { status: ExitStatus, log: String },
    #[error("pgweir accepts no connection after {} s:\n{log}", START_LIMIT.as_secs())]
    NotReady { log: String },
}

impl Pooler {
    /// Runs `program` in front of `upstream`, on free ports of 127.0.0.1, and returns when it accepts connections.
    /// What it prints goes to the file `log`.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        upstream: &str,
        arguments: &[A],
        log: &Path,
    ) -> Result<Self, Error> {
        Self::start_at([free_address()?, free_address()?], program, upstream, arguments, log)
    }

    /// The same at known addresses: for clients, for HTTP.
    pub fn start_at<A: AsRef<OsStr>>(
        [address, http]: [SocketAddr; 2],
        program: &Path,
        upstream: &str,
        arguments: &[A],
        log: &Path,
    ) -> Result<Self, Error> {
        let output = File::create(log).map_err(io_error("write pgweir's log"))?;
        let errors = output.try_clone().map_err(io_error("write pgweir's log"))?;
        let mut command = Command::new(program);
        // What configures us, or a test, is not meant for it.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PGWEIR_"))
        {
            command.env_remove(name);
        }
        let child = command
            .args(["--listen", &address.to_string(), "--http", &http.to_string()])
            .args(arguments)
            .env("DATABASE_URL", upstream)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(io_error("run pgweir"))?;
        let mut pooler = Self { child, log: log.to_owned(), address, http };
        pooler.wait_until_it_listens()?;
        Ok(pooler)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` and the status page are.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether the program has ended by itself.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks for an orderly end and waits for it, `limit` at most; then kills.
    pub fn stop(mut self, limit: Duration) -> io::Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() > deadline => return Err(io::ErrorKind::TimedOut.into()),
                None => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    fn wait_until_it_listens(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.ended().map_err(io_error("watch pgweir"))? {
                return Err(Error::Ended { status, log: self.log() });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { log: self.log() });
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, Error> {
    let port = free_port().map_err(io_error("find a free port"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what, source }
}
