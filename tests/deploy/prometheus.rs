//! Prometheus itself: its tool, and a server for as long as a value lives.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pgweir::demo::cluster::free_port;
use serde_json::Value;

use super::{kit::eventually, path, rules, text};

/// A program of Prometheus: the one that `scripts/test.sh` has unpacked, else the system's.
fn command(name: &str) -> Command {
    let unpacked = path("target/prometheus/usr/bin").join(name);
    let mut command = Command::new(if unpacked.exists() { unpacked } else { PathBuf::from(name) });
    command.current_dir(path("")).stdin(Stdio::null());
    command
}

const MISSING: &str = "Prometheus is missing: scripts/test.sh installs it and runs this test";

/// Runs promtool in the repository to an end, which has to be a good one.
pub fn run_promtool(arguments: &[&str]) {
    let output = command("promtool").args(arguments).output().expect(MISSING);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}\n{}", String::from_utf8_lossy(&said));
}

/// A Prometheus that scrapes what it is told every second, by our rules with seconds for their minutes.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    pub fn start(targets: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in [rules::RECORDING, rules::ALERTS] {
            let name = PathBuf::from(file);
            let name = name.file_name().expect("a name");
            fs::write(folder.path().join(name), quick(&text(file))).expect("a copy");
        }
        let targets: Vec<_> = targets.iter().map(|target| format!("'{target}'")).collect();
        let configuration = text("deploy/prometheus/prometheus.yml")
            .replace("15s", "1s")
            .replace("'127.0.0.1:9632'", &targets.join(", "));
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).expect("a configuration");
        let log = File::create(folder.path().join("log")).expect("a log");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a free port")));
        let child = command("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect(MISSING);
        let mut prometheus = Self { child, address, folder };
        eventually("Prometheus is ready", || {
            let ended = prometheus.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{ended:?}: {}", prometheus.log());
            prometheus.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
        });
        prometheus
    }

    /// The series that an expression selects now: labels and value of each.
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"], "success", "{expression}: {body}");
        let series = body["data"]["result"].as_array().expect("a vector");
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().map(|one| (one["metric"].clone(), value(one).expect("a number"))).collect()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same rules for those who can't wait: rates over ten seconds, alerts after two.
fn quick(rules: &str) -> String {
    let quick = rules.replace("[5m]", "[10s]").replace("for: 5m", "for: 2s").replace("for: 1m", "for: 2s");
    assert_ne!(quick, rules, "there is something to wait for");
    quick
}
