//! The log as a whole, into a buffer or a reader that doesn't read.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use tracing::subscriber::with_default;

use super::*;

/// A sink that keeps what was written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `say` logs under `settings`.
fn logged(settings: &LogSettings, say: impl FnOnce()) -> String {
    let kept = Kept::default();
    let (subscriber, log) = build(settings, kept.clone());
    with_default(subscriber, say);
    drop(log);
    let bytes = kept.0.lock().clone();
    String::from_utf8(bytes).expect("the log is UTF-8")
}

fn settings(format: Format) -> LogSettings {
    LogSettings { format, ..LogSettings::default() }
}

#[test]
fn f120_a_name_from_the_network_stays_quoted_on_one_line() {
    let text = logged(&settings(Format::Text), || {
        let (user, database) = ("eve\n2026-01-01 INFO all is well", "\x1b]0;title\x07");
        tracing::warn!(user = ?user, database = %database, "login failed");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(r#"user="eve\n2026"#), "{text}");
    assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
}

#[test]
fn a_json_line_is_an_object_with_its_fields_at_the_top() {
    let text = logged(&settings(Format::Json), || tracing::info!(pool = "a/b", "two\nlines"));
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&line["message"], &line["pool"], &line["level"]),
        (&"two\nlines".into(), &"a/b".into(), &"INFO".into())
    );
}

#[test]
fn the_level_is_the_configured_one() {
    let warn = LogSettings { level: LevelFilter::WARN, ..LogSettings::default() };
    let text = logged(&warn, || {
        tracing::info!("quiet");
        tracing::warn!("loud");
    });
    assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
}

/// A sink whose writes wait until the gate is opened by dropping its other end.
struct Gate(Sender<()>, Receiver<()>);

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn f67_a_reader_that_stops_reading_costs_lines_and_nothing_else() {
    let ((arrived, first_line), (open, gate)) = (channel(), channel());
    let (subscriber, log) = build(&LogSettings::default(), Gate(arrived, gate));
    let dropped = log.dropped_lines();
    with_default(subscriber, || {
        tracing::info!("stuck in the sink");
        first_line.recv().expect("the worker writes");
        for _ in 0..QUEUED_LINES + 7 {
            tracing::info!("queued");
        }
    });
    let lost = dropped.get();
    drop(open);
    assert_eq!(lost, 7);
    drop(log);
}
