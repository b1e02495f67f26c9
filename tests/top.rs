//! `pgweir top` against a running pgweir: in a terminal, without one, and where nobody answers.
#![allow(clippy::disallowed_methods)]

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use pair::Pair;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio_postgres::NoTls;

#[path = "drivers/pair.rs"]
mod pair;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A pgweir whose pool has served a client.
async fn pair() -> Pair {
    let pair = Pair::new(2);
    let (client, connection) = tokio_postgres::connect(&pair.pooled_url(), NoTls).await.expect("a login");
    tokio::spawn(connection);
    client.batch_execute("select 1").await.expect("an answer");
    pair
}

fn top(http: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.env_clear().args(["top", "--http", &http.to_string()]);
    command
}

/// A terminal in which `pgweir top` runs.
struct Terminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn run(http: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let end = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("ASCII"))
            .expect("its other end");
        let stream = || Stdio::from(end.try_clone().expect("a second handle"));
        let mut master = File::from(master);
        resize(&master, (80, 24));
        // The terminal is the program's own, so that it hears of another size.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_pgweir"), "top"]);
        command
            .env("PGWEIR_HTTP__LISTEN", http.to_string())
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied());
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("setsid runs");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut output, seen) = (master.try_clone().expect("a second handle"), Arc::clone(&shown));
        thread::spawn(move || {
            let mut some = [0; 4096];
            // Fails when the last one has closed the other end.
            while let Ok(n) = output.read(&mut some) {
                seen.lock().expect("no test has failed").push_str(&String::from_utf8_lossy(&some[..n]));
            }
        });
        master.flush().expect("nothing to flush");
        Self { child, master, shown }
    }

    /// All that was written until `text` came; the next call sees what comes then.
    fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut shown = self.shown.lock().expect("no test has failed");
            if shown.contains(text) {
                return std::mem::take(&mut shown);
            }
            assert!(Instant::now() < deadline, "no {text:?} in {shown}");
            drop(shown);
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("the terminal takes it");
    }

    fn ends(mut self) {
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn resize(master: &File, (columns, lines): (u16, u16)) {
    let size = Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a size");
}

#[tokio::test]
async fn it_lives_in_a_terminal_until_q() {
    let pair = pair().await;
    let mut terminal = Terminal::run(pair.http(), &[]);
    let shown = terminal.wait_for("q quit");
    assert!(shown.contains(&format!("pgweir {}", env!("CARGO_PKG_VERSION"))), "{shown}");
    terminal.wait_for("app / app");
    resize(&terminal.master, (120, 30));
    terminal.wait_for("q quit");
    terminal.press(b"q");
    terminal.ends();
}

#[tokio::test]
async fn control_c_ends_it_and_a_lost_connection_does_not() {
    let pair = pair().await;
    let mut terminal = Terminal::run(pair.http(), &[]);
    terminal.wait_for("app / app");
    drop(pair);
    terminal.wait_for("CONNECTION LOST");
    terminal.press(b"\x03");
    terminal.ends();
}

#[tokio::test]
async fn no_color_means_none() {
    let pair = pair().await;
    let colours = |shown: &str| shown.contains("\x1b[38;");
    for (variables, wanted) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut terminal = Terminal::run(pair.http(), variables);
        let shown = terminal.wait_for("q quit");
        assert_eq!(colours(&shown), wanted, "{shown:?}");
        terminal.press(b"q");
        terminal.ends();
    }
}

#[tokio::test]
async fn without_a_terminal_it_prints_once() {
    let pair = pair().await;
    let Output { status, stdout, stderr } = top(pair.http()).output().expect("it runs");
    let text = String::from_utf8(stdout).expect("UTF-8");
    assert!(status.success() && stderr.is_empty(), "{status} {stderr:?}");
    for wanted in ["serving for", "app / app", "APPLICATION"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn nobody_there_is_an_error() {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|unused| unused.local_addr()).expect("a free port");
    let Output { status, stdout, stderr } = top(address).output().expect("it runs");
    let said = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!((status.code(), stdout.len()), (Some(1), 0));
    assert!(said.starts_with(&format!("pgweir: http://{address}/status.json: ")), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}
