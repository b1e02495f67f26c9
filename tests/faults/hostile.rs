//! F30, F40: servers that no PostgreSQL can be made to be, played by a script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use pgweir::demo::pooler::Pooler;
use pgweir_testkit::client::{Client, Place};
use pgweir_testkit::message::Message;

use super::house::{PATIENCE, simple};

/// What the server says to each query from now on; `None` closes the connection.
type Lines = Arc<Mutex<Option<Vec<u8>>>>;

struct Stage {
    pooler: Pooler,
    lines: Lines,
    /// Refused logins that are still to come.
    refusals: Arc<Mutex<u32>>,
    _folder: tempfile::TempDir,
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn good() -> Vec<u8> {
    [message(b'T', b"\0\0"), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

impl Stage {
    fn new(key: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let lines: Lines = Arc::new(Mutex::new(Some(good())));
        let refusals = Arc::new(Mutex::new(0));
        let (spoken, refused, key) = (lines.clone(), refusals.clone(), key.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (spoken, refused, key) = (spoken.clone(), refused.clone(), key.clone());
                // A script that was cut off has nothing more to say.
                thread::spawn(move || drop(play(stream, &spoken, &refused, &key)));
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let pooler = pooler(address, folder.path().to_owned());
        Self { pooler, lines, refusals, _folder: folder }
    }

    fn says(&self, bytes: Option<Vec<u8>>) {
        *self.lines.lock().expect("not poisoned") = bytes;
    }

    fn client(&self) -> Client {
        let place = Place {
            address: self.pooler.address(),
            user: "app".into(),
            password: String::new(),
            database: "app".into(),
        };
        Client::connect(&place, &[]).expect("a login")
    }

    /// What a client hears when it asks, until ReadyForQuery or the end.
    fn ask(&self) -> Vec<Message> {
        let mut client = self.client();
        client.send(&simple("select 1")).expect("a query");
        let mut heard = Vec::new();
        while let Ok(message) = client.receive() {
            let ready = message.tag == b'Z';
            heard.push(message);
            if ready {
                break;
            }
        }
        heard
    }
}

fn pooler(upstream: SocketAddr, folder: PathBuf) -> Pooler {
    let file = folder.join("pgweir.toml");
    let settings =
        "[auth]\nmethod = \"trust\"\n[pool]\nsize = 1\nsession_state = \"off\"\nqueue_timeout = \"10s\"";
    std::fs::write(&file, settings).expect("a configuration");
    let arguments = ["--config".into(), file.into_os_string()];
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pgweir"));
    let url = format!("postgres://app@{upstream}/app?sslmode=disable");
    Pooler::start(program, &url, &arguments, &folder.join("pgweir.log")).expect("a pooler")
}

fn play(mut stream: TcpStream, lines: &Lines, refusals: &Mutex<u32>, key: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut startup)?;
    {
        let mut left = refusals.lock().expect("not poisoned");
        if *left > 0 {
            *left -= 1;
            return stream
                .write_all(&message(b'E', b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"));
        }
    }
    let greeting = [
        message(b'R', &[0; 4]),
        message(b'S', b"client_encoding\0UTF8\0"),
        message(b'S', b"standard_conforming_strings\0on\0"),
        message(b'K', key),
        message(b'Z', b"I"),
    ];
    stream.write_all(&greeting.concat())?;
    let mut request = [0; 4096];
    loop {
        if stream.read(&mut request)? == 0 || request[0] == b'X' {
            return Ok(());
        }
        let answer = lines.lock().expect("not poisoned").clone();
        match answer {
            Some(bytes) => stream.write_all(&bytes)?,
            None => return Ok(()),
        }
    }
}

fn codes(heard: &[Message]) -> Vec<String> {
    heard.iter().filter_map(Message::sqlstate).collect()
}

#[test]
fn f30_servers_that_break_the_protocol_are_given_up() {
    let stage = Stage::new(&[0, 0, 0, 1, 1, 2, 3, 4]);
    let cases = [
        ("a status that is none", message(b'Z', b"X")),
        ("a reply to something else", message(b'2', b"")),
        ("a length that can't be", vec![b'C', 0xff, 0xff, 0xff, 0xff]),
        ("an unknown message", message(b'@', b"")),
        ("an authentication request", message(b'R', &[0, 0, 0, 3])),
        ("a parameter without its value", message(b'S', b"name\0")),
    ];
    for (what, bytes) in cases {
        stage.says(Some(bytes));
        let heard = stage.ask();
        assert_eq!(codes(&heard), ["XX000"], "{what}");
        stage.says(Some(good()));
        assert_eq!(codes(&stage.ask()), [] as [&str; 0], "after {what}");
    }
}

#[test]
fn f30b_errors_may_lack_anything_and_more_may_be_said_than_asked() {
    let stage = Stage::new(&[0; 8]);
    for body in [&b"\0"[..], b"", b"SERROR\0\0", b"Mno end", b"CBAD\0\0"] {
        stage.says(Some([message(b'E', body), message(b'Z', b"I")].concat()));
        let heard = stage.ask();
        assert_eq!(heard.iter().map(|message| message.tag).collect::<Vec<_>>(), *b"EZ", "{body:?}");
    }
    // One ReadyForQuery too many is found before the server is lent again.
    stage.says(Some([good(), message(b'Z', b"I")].concat()));
    stage.ask();
    stage.says(Some(good()));
    assert_eq!(codes(&stage.ask()), [] as [&str; 0]);
    // Gone without a word, a statement under way.
    stage.says(None);
    assert_eq!(codes(&stage.ask()), ["08007"]);
    stage.says(Some(good()));
    assert_eq!(codes(&stage.ask()), [] as [&str; 0]);
}

#[test]
fn f30c_cancel_keys_of_any_length_up_to_256() {
    for length in [4, 256] {
        let stage = Stage::new(&[&[0, 0, 0, 1][..], &vec![7; length]].concat());
        assert_eq!(codes(&stage.ask()), [] as [&str; 0], "{length}");
    }
}

#[test]
fn f40_a_server_that_is_starting_up_is_waited_for() {
    let stage = Stage::new(&[0; 8]);
    *stage.refusals.lock().expect("not poisoned") = 5;
    assert_eq!(codes(&stage.ask()), [] as [&str; 0]);
}
