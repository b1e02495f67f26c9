//! `pgweir top` against a running pgweir: in a terminal, without one, and where nobody answers.
#![allow(clippy::disallowed_methods)]

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    num::NonZeroU16,
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

/// A pgweir whose pool has served a client, and shows it.
async fn pair() -> Pair {
    let pair = Pair::new(2);
    let (client, connection) = tokio_postgres::connect(&pair.pooled_url(), NoTls).await.expect("a login");
    tokio::spawn(connection);
    client.batch_execute("select 1").await.expect("an answer");
    let deadline = Instant::now() + PATIENCE;
    while !top(pair.http())
        .output()
        .is_ok_and(|run| String::from_utf8_lossy(&run.stdout).contains("app / app"))
    {
        assert!(Instant::now() < deadline, "the pool is never shown");
        thread::sleep(LOOK_AGAIN);
    }
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
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn run(http: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let end =
            File::options().read(true).write(true).open(name.to_str().expect("ASCII")).expect("its end");
        let stream = || Stdio::from(end.try_clone().expect("a second handle"));
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::default()));
        let (mut output, seen) = (master.try_clone().expect("a second handle"), Arc::clone(&screen));
        thread::spawn(move || {
            let mut some = [0; 4096];
            // Fails when the last one has closed the other end.
            while let Ok(n) = output.read(&mut some) {
                let Ok(mut screen) = seen.lock() else { return };
                screen.process(&some[..n]);
            }
        });
        // The terminal is the program's own, so that it hears of another size.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_pgweir"), "top"]);
        command.env("PGWEIR_HTTP__LISTEN", http.to_string()).env_remove("NO_COLOR");
        command.envs(variables.iter().copied()).stdin(stream()).stdout(stream()).stderr(stream());
        let mut terminal = Self { child: spawn_at(&master, command), master, screen };
        terminal.wait_for("q quit");
        terminal
    }

    /// Waits until the screen shows `text`; gives all of the screen.
    fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.screen.lock().expect("the reader lives").screen().contents();
            if shown.contains(text) {
                return shown;
            }
            assert!(Instant::now() < deadline, "no {text:?} in\n{shown}");
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn resize(&mut self, columns: NonZeroU16, lines: NonZeroU16) {
        self.screen.lock().expect("the reader lives").screen_mut().set_size(lines, columns);
        set_size(&self.master, (columns.get(), lines.get()));
    }

    /// Whether any letter has a colour.
    fn has_colour(&self) -> bool {
        let parser = self.screen.lock().expect("the reader lives");
        let screen = parser.screen();
        let mut cells = (0..24).flat_map(|row| (0..80).filter_map(move |column| screen.cell(row, column)));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("the terminal takes it");
    }

    fn ends(mut self) {
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn_at(master: &File, mut command: Command) -> Child {
    set_size(master, (80, 24));
    command.spawn().expect("setsid runs")
}

fn set_size(master: &File, (columns, lines): (u16, u16)) {
    let size = Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a size");
}

#[tokio::test]
async fn it_lives_in_a_terminal_until_q() {
    let pair = pair().await;
    let mut terminal = Terminal::run(pair.http(), &[]);
    let shown = terminal.wait_for("▸ app / app");
    assert!(shown.starts_with(&format!("pgweir {}", env!("CARGO_PKG_VERSION"))), "{shown}");
    assert!(shown.contains("UTILISATION"), "{shown}");
    assert_eq!(shown.lines().count(), 24, "{shown}");
    terminal.resize(const { NonZeroU16::new(120).unwrap() }, const { NonZeroU16::new(30).unwrap() });
    while terminal.wait_for("q quit").lines().count() != 30 {}
    terminal.press(b"q");
    terminal.ends();
}

#[tokio::test]
async fn control_c_ends_it_and_a_lost_connection_does_not() {
    let pair = pair().await;
    let mut terminal = Terminal::run(pair.http(), &[]);
    drop(pair);
    terminal.wait_for("CONNECTION LOST");
    terminal.press(b"\x03");
    terminal.ends();
}

#[tokio::test]
async fn no_color_means_none() {
    let pair = pair().await;
    for (variables, wanted) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut terminal = Terminal::run(pair.http(), variables);
        terminal.wait_for("Nobody waits");
        assert_eq!(terminal.has_colour(), wanted);
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
