//! Passwords that a program prints and that end soon: the tokens of cloud databases and of vaults.
//!
//! The program is run without a shell; libpq's variables (PGHOST, PGPORT, PGDATABASE, PGUSER) tell it for which server.
//! What it prints is used until it is old, or the server doesn't take it. It runs once however many connections wait for
//! it, for a bounded time and with a bounded output; neither that nor its complaints are ever logged.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::upstream::PasswordCommand;
use crate::auth::secret::Secret;

/// How long the program may run.
const LIMIT: Duration = Duration::from_secs(10);
/// What it may print, in bytes: as much as a server reads of a password.
const MAX_OUTPUT: usize = 64 << 10;

/// Why there is no password. Never quotes what was printed.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("can't run the password command: {0}")]
    Run(#[from] io::Error),
    #[error("the password command did not end within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the password command failed ({0})")]
    Failed(ExitStatus),
    #[error(
        "the password command printed nothing, more than {MAX_OUTPUT} bytes, or something that isn't text"
    )]
    Output,
}

/// One program for one server and user, with what it printed last.
#[derive(Debug)]
pub struct Tokens {
    command: PasswordCommand,
    variables: Vec<(&'static str, String)>,
    limit: Duration,
    last: Mutex<Option<Token>>,
}

/// A password, and when it was printed.
#[derive(Clone, Debug)]
pub struct Token {
    secret: Arc<Secret>,
    since: Instant,
}

impl Token {
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// When the program was started for it.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Tokens {
    /// `variables`: what the program is told by its environment.
    pub fn new(command: PasswordCommand, variables: Vec<(&'static str, String)>) -> Self {
        Self { command, variables, limit: LIMIT, last: Mutex::default() }
    }

    /// The password that is in use, or a new one if that is old or was `refused`.
    pub async fn current(&self, refused: Option<&Token>) -> Result<Token, CommandError> {
        // Held while the program runs: whoever comes meanwhile takes what it prints.
        let mut last = self.last.lock().await;
        let is_good = |token: &Token| {
            token.since.elapsed() < self.command.ttl
                && refused.is_none_or(|refused| !Arc::ptr_eq(&refused.secret, &token.secret))
        };
        if let Some(token) = last.as_ref().filter(|token| is_good(token)) {
            return Ok(token.clone());
        }
        *last = None;
        let since = Instant::now();
        let secret =
            timeout(self.limit, self.run()).await.unwrap_or(Err(CommandError::Timeout(self.limit)))?;
        let token = Token { secret: Arc::new(secret), since };
        *last = Some(token.clone());
        Ok(token)
    }

    async fn run(&self) -> Result<Secret, CommandError> {
        let (program, arguments) = self.command.words.split_first().expect("never empty");
        let mut child = Command::new(program)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().expect("it is piped");
        let mut printed = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT + 1));
        output.take(MAX_OUTPUT as u64 + 1).read_to_end(&mut printed).await?;
        if printed.len() > MAX_OUTPUT {
            return Err(CommandError::Output);
        }
        let status = child.wait().await?;
        if !status.success() {
            return Err(CommandError::Failed(status));
        }
        let text = str::from_utf8(&printed).map_err(|_| CommandError::Output)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() || text.contains('\0') { Err(CommandError::Output) } else { Ok(Secret::new(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(script: &str, ttl: Duration) -> Tokens {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Tokens::new(PasswordCommand { words, ttl }, vec![("PGUSER", "ann".to_owned())])
    }

    const LONG: Duration = Duration::from_secs(600);

    /// Prints a number that grows with each run, kept in a file.
    fn counting(folder: &tempfile::TempDir) -> String {
        let file = folder.path().join("runs").display().to_string();
        format!("echo x >> {file}; echo $PGUSER-$(wc -l < {file})")
    }

    async fn text(tokens: &Tokens, refused: Option<&Token>) -> String {
        tokens.current(refused).await.unwrap().secret().expose().to_owned()
    }

    #[tokio::test]
    async fn it_runs_once_until_its_password_is_old_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = tokens(&counting(&folder), LONG);
        let all = futures_util::future::join_all((0..5).map(|_| text(&kept, None))).await;
        assert_eq!(all, ["ann-1"; 5]);
        let first = kept.current(None).await.unwrap();
        // All who were refused with it share the next one.
        assert_eq!(text(&kept, Some(&first)).await, "ann-2");
        assert_eq!(text(&kept, Some(&first)).await, "ann-2");
        let short = tokens(&counting(&folder), Duration::ZERO);
        assert_eq!((text(&short, None).await, text(&short, None).await), ("ann-3".into(), "ann-4".into()));
    }

    #[tokio::test]
    async fn what_can_go_wrong_is_told_without_a_secret() {
        let told = async |script: &str| tokens(script, LONG).current(None).await.unwrap_err().to_string();
        assert_eq!(told("echo hunter2; exit 3").await, "the password command failed (exit status: 3)");
        for script in ["true", "echo", "head -c 70000 /dev/zero", "printf 'a\\0b'", "printf '\\377'"] {
            assert!(told(script).await.contains("printed nothing"), "{script}");
        }
        let nowhere = PasswordCommand { words: vec!["/nowhere/at/all".to_owned()], ttl: LONG };
        let error = Tokens::new(nowhere, Vec::new()).current(None).await.unwrap_err();
        assert!(error.to_string().starts_with("can't run the password command: No such file"));
    }

    #[tokio::test]
    async fn only_one_newline_at_the_end_is_no_part_of_it() {
        assert_eq!(text(&tokens("printf 'a b\\n\\n'", LONG), None).await, "a b\n");
        assert_eq!(text(&tokens("printf ' a\\r\\n'", LONG), None).await, " a");
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_ended() {
        let mut endless = tokens("exec sleep 1000", LONG);
        endless.limit = Duration::from_millis(1);
        let error = endless.current(None).await.unwrap_err();
        assert!(matches!(error, CommandError::Timeout(_)), "{error}");
    }
}
