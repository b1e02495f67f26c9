//! A headless Chromium, driven by its DevTools protocol through a pair of pipes: JSON messages, each ended by a zero.
//!
//! `scripts/test.sh` installs it. Nothing waits for longer than [`PATIENCE`].
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// As the packages of distributions call it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Ends with the value.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// Messages that nobody has asked for, oldest first.
    events: Vec<Value>,
    last: u64,
    _profile: TempDir,
}

/// A tab, by its session.
#[derive(Clone)]
pub struct Tab {
    session: String,
    target: String,
}

impl Browser {
    pub fn start() -> Self {
        let program = program();
        let profile = tempfile::tempdir().expect("a folder for the profile");
        // Its commands come by descriptor 3, its answers leave by 4. Root may not use its sandbox.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 >/dev/null"#])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, from) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                let value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
                let Ok(()) = sender.send(value.expect("JSON")) else { return };
                message.clear();
            }
        });
        Self { child, to, from, events: Vec::new(), last: 0, _profile: profile }
    }

    /// A new tab in front of the others, which are hidden by it.
    pub fn open(&mut self, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().expect("an id").to_owned();
        let attached =
            self.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        let tab = Tab { session: attached["sessionId"].as_str().expect("an id").to_owned(), target };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&tab, &format!("{domain}.enable"), json!({}));
        }
        self.ask(&tab, "Page.navigate", json!({ "url": url }));
        tab
    }

    pub fn bring_to_front(&mut self, tab: &Tab) {
        self.call(None, "Target.activateTarget", json!({ "targetId": tab.target }));
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask(tab, "Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, tab: &Tab, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(tab, expression) != json!(true) {
            if Instant::now() > deadline {
                let page = self.eval(tab, "document.body.innerText");
                panic!("never true: {expression}\n{}", page.as_str().unwrap_or_default());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// As the keyboard does: a letter, or the name of a key.
    pub fn press(&mut self, tab: &Tab, key: &str) {
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            _ => 0,
        };
        let down = json!({ "type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.ask(tab, "Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.ask(tab, "Input.dispatchKeyEvent", up);
    }

    /// The window's size in pixels, and what the page is told that its reader likes.
    pub fn look(&mut self, tab: &Tab, (width, height): (u32, u32), scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask(tab, "Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask(tab, "Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What the window shows, as PNG.
    pub fn picture(&mut self, tab: &Tab) -> Vec<u8> {
        let answer = self.ask(tab, "Page.captureScreenshot", json!({ "format": "png" }));
        let data = answer["data"].as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }

    /// Requests that the tab has sent since it was opened, by address.
    pub fn requests(&mut self, tab: &Tab) -> Vec<String> {
        self.eval(tab, "0"); // all that came before has come
        let sent = self.events_of(tab, "Network.requestWillBeSent");
        sent.filter_map(|event| Some(event["request"]["url"].as_str()?.to_owned())).collect()
    }

    /// Complaints in the tab's console: exceptions, errors and warnings of the page, breaches of its policy.
    pub fn complaints(&mut self, tab: &Tab) -> Vec<String> {
        self.eval(tab, "0");
        let thrown = self.events_of(tab, "Runtime.exceptionThrown").map(Value::to_string);
        let said = self.events_of(tab, "Runtime.consoleAPICalled").map(Value::to_string);
        let logged = self.events_of(tab, "Log.entryAdded").map(|event| event["entry"].to_string());
        thrown.chain(said).chain(logged).collect()
    }

    fn events_of(&self, tab: &Tab, method: &str) -> impl Iterator<Item = &Value> {
        let is_it = move |event: &&Value| event["sessionId"] == *tab.session && event["method"] == *method;
        self.events.iter().filter(is_it).map(|event| &event["params"])
    }

    fn ask(&mut self, tab: &Tab, method: &str, parameters: Value) -> Value {
        self.call(Some(&tab.session), method, parameters)
    }

    fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let sent = self.to.write_all(format!("{message}\0").as_bytes()).and_then(|()| self.to.flush());
        sent.expect("Chromium reads");
        loop {
            let answer = self.from.recv_timeout(PATIENCE);
            let mut answer =
                answer.unwrap_or_else(|error| panic!("Chromium does not answer {method}: {error}"));
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ =
            self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0").and_then(|()| self.to.flush());
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {} is installed: scripts/test.sh installs one", NAMES.join(", ")))
}
