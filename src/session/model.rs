//! A model of one PostgreSQL backend, as far as the protocol goes: for tests of what stands between it and its
//! clients.
//!
//! Texts are commands of its own: `ok …` gives a row that tells the text, the parameters, and how many
//! statements ran before in this transaction; `err …` fails when it runs, `bad …` when it is parsed; `begin`,
//! `commit`, `rollback`, `copyin`, `copyout`, `execute n`, `deallocate n`, `deallocate all`, `discard all`,
//! and nothing at all do what they say. Each `$` in a text is a parameter.
//!
//! Held against PostgreSQL 15 by hand. Simplified: a failed transaction refuses to describe what it wouldn't run, and to bind
//! it before parameters are counted; `EXECUTE` runs `ok` and `err` only; nothing is rolled back, since the rows
//! show transactions well enough.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::frame::{self, HEAD};
use crate::wire::read::{self, Target};
use crate::wire::tag::{backend as b, frontend as f};
use crate::wire::write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tx {
    Idle,
    Open,
    Failed,
}

#[derive(Debug)]
struct Portal {
    text: String,
    parameters: Vec<String>,
}

/// A COPY FROM STDIN under way.
#[derive(Debug)]
enum Copying {
    No,
    Extended,
    /// With the statements of the Query that are still to run.
    Simple(VecDeque<String>),
}

#[derive(Debug)]
pub(super) struct Postgres {
    input: Vec<u8>,
    buffered: Vec<u8>,
    flushed: Vec<u8>,
    tx: Tx,
    /// Statements that ran since the transaction began, the implicit one too.
    ran: u32,
    skipping: bool,
    copying: Copying,
    pub dead: bool,
    pub prepared: BTreeMap<Vec<u8>, String>,
    pub unnamed: Option<String>,
    portals: BTreeMap<Vec<u8>, Portal>,
}

/// SQLSTATE and message.
type Error = (&'static str, String);
type Done = Result<(), Error>;

impl Default for Postgres {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            buffered: Vec::new(),
            flushed: Vec::new(),
            tx: Tx::Idle,
            ran: 0,
            skipping: false,
            copying: Copying::No,
            dead: false,
            prepared: BTreeMap::new(),
            unnamed: None,
            portals: BTreeMap::new(),
        }
    }
}

// -- bytes

impl Postgres {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// What it has flushed, at most `count` bytes.
    pub(super) fn send(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.flushed.len());
        self.flushed.drain(..count).collect()
    }

    /// All that it has flushed.
    pub(super) fn all_sent(&self) -> &[u8] {
        &self.flushed
    }

    /// Reads one message; false if there is none.
    pub(super) fn step(&mut self) -> bool {
        let Ok(Some(head)) = frame::head(&self.input) else { return false };
        if self.dead || self.input.len() < head.total {
            return false;
        }
        let message: Vec<u8> = self.input.drain(..head.total).collect();
        self.read(head.tag, &message[HEAD..]);
        true
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.input.is_empty() && self.flushed.is_empty()
    }

    /// No transaction is open, not even an implicit one.
    pub(super) fn is_at_rest(&self) -> bool {
        self.tx == Tx::Idle && self.ran == 0 && !self.skipping && matches!(self.copying, Copying::No)
    }

    fn put(&mut self, tag: u8, body: &[u8]) {
        write::message(&mut self.buffered, tag, |out| out.extend_from_slice(body));
    }

    fn flush(&mut self) {
        self.flushed.append(&mut self.buffered);
    }

    fn ready(&mut self) {
        let status = match self.tx {
            Tx::Idle => b'I',
            Tx::Open => b'T',
            Tx::Failed => b'E',
        };
        self.put(b::READY_FOR_QUERY, &[status]);
        self.flush();
    }

    fn complain(&mut self, severity: &str, (code, message): Error) {
        let body = format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0");
        self.put(b::ERROR_RESPONSE, body.as_bytes());
        self.flush();
    }
}

// -- messages

impl Postgres {
    fn read(&mut self, tag: u8, body: &[u8]) {
        if !matches!(self.copying, Copying::No) {
            return self.read_in_copy(tag, body);
        }
        if self.skipping && tag != f::SYNC {
            return;
        }
        match tag {
            f::COPY_DATA | f::COPY_DONE | f::COPY_FAIL => {}
            f::FLUSH => self.flush(),
            f::SYNC => {
                self.skipping = false;
                self.end_of_implicit();
                self.ready();
            }
            f::QUERY => self.query(body),
            f::FUNCTION_CALL => {
                match self.refuse_if_failed("function") {
                    Ok(()) if body == b"err" => self.fail(("22000", "function failed".into())),
                    Ok(()) => self.put(b::FUNCTION_CALL_RESPONSE, &[0xff; 4]),
                    Err(error) => self.fail(error),
                }
                self.end_of_implicit();
                self.ready();
            }
            _ => {
                if let Err(error) = self.extended(tag, body) {
                    self.fail(error);
                    self.skipping = true;
                }
            }
        }
    }

    fn read_in_copy(&mut self, tag: u8, body: &[u8]) {
        let error = match tag {
            f::FLUSH | f::SYNC => return,
            f::COPY_DATA if body != b"bad" => return,
            f::COPY_DONE => return self.copied(),
            f::COPY_DATA => ("22P04", "bad copy data".to_owned()),
            f::COPY_FAIL => ("57014", "COPY from stdin failed".to_owned()),
            other => {
                self.complain("ERROR", ("08P01", format!("unexpected message type {other:#x} during COPY")));
                self.complain("FATAL", ("08P01", "protocol synchronization was lost".to_owned()));
                self.dead = true;
                return;
            }
        };
        let was = std::mem::replace(&mut self.copying, Copying::No);
        self.fail(error);
        match was {
            Copying::Simple(_) => self.ready(),
            _ => self.skipping = true,
        }
    }

    fn copied(&mut self) {
        self.put(b::COMMAND_COMPLETE, b"COPY 1\0");
        if let Copying::Simple(rest) = std::mem::replace(&mut self.copying, Copying::No) {
            self.run_all(rest);
        }
    }

    fn fail(&mut self, error: Error) {
        self.complain("ERROR", error);
        match self.tx {
            Tx::Idle => self.end_of_implicit(),
            Tx::Open | Tx::Failed => self.tx = Tx::Failed,
        }
        self.portals.clear();
    }

    /// Ends an implicit transaction, if no explicit one is open.
    fn end_of_implicit(&mut self) {
        if self.tx == Tx::Idle {
            self.ran = 0;
            self.portals.clear();
        }
    }

    fn refuse_if_failed(&self, text: &str) -> Done {
        if self.tx == Tx::Failed && !matches!(text, "commit" | "rollback" | "") {
            return Err(("25P02", "current transaction is aborted".into()));
        }
        Ok(())
    }
}

// -- the simple protocol

impl Postgres {
    fn query(&mut self, body: &[u8]) {
        self.unnamed = None;
        let text = String::from_utf8_lossy(&body[..body.len() - 1]).into_owned();
        let statements: VecDeque<String> =
            text.split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        if statements.is_empty() {
            self.put(b::EMPTY_QUERY_RESPONSE, b"");
        }
        if statements.iter().any(|text| text.starts_with("bad")) {
            self.fail(("42601", "syntax error".into()));
            return self.ready();
        }
        if statements.len() > 1 && statements.iter().any(|text| text == "discard all") {
            self.fail(("25001", "DISCARD ALL cannot run inside a transaction block".into()));
            return self.ready();
        }
        self.run_all(statements);
    }

    fn run_all(&mut self, mut statements: VecDeque<String>) {
        while let Some(text) = statements.pop_front() {
            if text == "copyin" && self.refuse_if_failed(&text).is_ok() {
                self.ran += 1;
                self.put(b::COPY_IN_RESPONSE, &[0, 0, 0]);
                self.flush();
                self.copying = Copying::Simple(statements);
                return;
            }
            if text.starts_with("ok") && self.tx != Tx::Failed {
                self.put(b::ROW_DESCRIPTION, &[0, 0]);
            }
            if let Err(error) = self.run(&text, &[]) {
                self.fail(error);
                return self.ready();
            }
        }
        self.end_of_implicit();
        self.ready();
    }
}

// -- the extended protocol

impl Postgres {
    fn extended(&mut self, tag: u8, body: &[u8]) -> Done {
        match tag {
            f::PARSE => self.parse(body),
            f::BIND => self.bind(body),
            f::DESCRIBE => self.describe(body),
            f::EXECUTE => self.execute(body),
            f::CLOSE => {
                match read::target(body, "Close").unwrap() {
                    Target::Statement(b"") => self.unnamed = None,
                    Target::Statement(name) => drop(self.prepared.remove(name)),
                    Target::Portal(name) => drop(self.portals.remove(name)),
                }
                self.put(b::CLOSE_COMPLETE, b"");
                Ok(())
            }
            other => panic!("unexpected message {:?}", char::from(other)),
        }
    }

    fn parse(&mut self, body: &[u8]) -> Done {
        let parse = read::parse(body).unwrap();
        let text = String::from_utf8_lossy(parse.query).into_owned();
        if parse.name.is_empty() {
            self.unnamed = None;
        }
        if text.starts_with("bad") {
            return Err(("42601", "syntax error".into()));
        }
        self.refuse_if_failed(&text)?;
        if parse.name.is_empty() {
            self.unnamed = Some(text);
        } else if self.prepared.contains_key(parse.name) {
            let name = String::from_utf8_lossy(parse.name);
            return Err(("42P05", format!("prepared statement \"{name}\" already exists")));
        } else {
            self.prepared.insert(parse.name.to_vec(), text);
        }
        self.put(b::PARSE_COMPLETE, b"");
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<String, Error> {
        if name.is_empty() {
            return self
                .unnamed
                .clone()
                .ok_or_else(|| ("26000", "unnamed prepared statement does not exist".into()));
        }
        let name_text = String::from_utf8_lossy(name);
        let missing = || ("26000", format!("prepared statement \"{name_text}\" does not exist"));
        self.prepared.get(name).cloned().ok_or_else(missing)
    }

    fn bind(&mut self, body: &[u8]) -> Done {
        let bind = read::bind(body).unwrap();
        let text = self.statement(bind.statement)?;
        self.refuse_if_failed(&text)?;
        let parameters = parameters(&body[bind.names..]);
        let (given, wanted) = (parameters.len(), text.matches('$').count());
        if given != wanted {
            let statement = String::from_utf8_lossy(bind.statement);
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{statement}\" requires {wanted}"
            );
            return Err(("08P01", message));
        }
        if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
            let portal = String::from_utf8_lossy(bind.portal);
            return Err(("42P03", format!("portal \"{portal}\" already exists")));
        }
        self.portals.insert(bind.portal.to_vec(), Portal { text, parameters });
        self.put(b::BIND_COMPLETE, b"");
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Done {
        let text = match read::target(body, "Describe").unwrap() {
            Target::Statement(name) => {
                let text = self.statement(name)?;
                self.refuse_if_failed(&text)?;
                let count = text.matches('$').count() as u8;
                self.put(b::PARAMETER_DESCRIPTION, &[0, count]);
                text
            }
            Target::Portal(name) => self.portal(name)?.0,
        };
        self.refuse_if_failed(&text)?;
        match text.starts_with("ok") {
            true => self.put(b::ROW_DESCRIPTION, &[0, 0]),
            false => self.put(b::NO_DATA, b""),
        }
        Ok(())
    }

    fn portal(&self, name: &[u8]) -> Result<(String, Vec<String>), Error> {
        let portal = self.portals.get(name);
        portal
            .map(|portal| (portal.text.clone(), portal.parameters.clone()))
            .ok_or_else(|| ("34000", format!("portal \"{}\" does not exist", String::from_utf8_lossy(name))))
    }

    fn execute(&mut self, body: &[u8]) -> Done {
        let (name, _) = read::text(body).unwrap();
        let (text, parameters) = self.portal(name)?;
        if text.is_empty() {
            self.put(b::EMPTY_QUERY_RESPONSE, b"");
            return Ok(());
        }
        if text == "copyin" {
            self.refuse_if_failed(&text)?;
            self.ran += 1;
            self.put(b::COPY_IN_RESPONSE, &[0, 0, 0]);
            self.flush();
            self.copying = Copying::Extended;
            return Ok(());
        }
        self.run(&text, &parameters)
    }
}

/// The parameters of a Bind, behind its names.
fn parameters(rest: &[u8]) -> Vec<String> {
    let u16_at = |at: usize| usize::from(u16::from_be_bytes(rest[at..at + 2].try_into().unwrap()));
    let mut at = 2 + 2 * u16_at(0);
    let count = u16_at(at);
    at += 2;
    let mut parameters = Vec::new();
    for _ in 0..count {
        let length = u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        at += 4;
        parameters.push(String::from_utf8_lossy(&rest[at..at + length]).into_owned());
        at += length;
    }
    parameters
}

// -- commands

impl Postgres {
    fn run(&mut self, text: &str, parameters: &[String]) -> Done {
        self.refuse_if_failed(text)?;
        let tag = match text {
            "begin" => {
                self.tx = Tx::Open;
                "BEGIN".to_owned()
            }
            "commit" | "rollback" => {
                let tag = if text == "commit" && self.tx != Tx::Failed { "COMMIT" } else { "ROLLBACK" };
                self.tx = Tx::Idle;
                self.ran = 0;
                self.portals.clear();
                self.complete(tag);
                return Ok(());
            }
            "copyout" => {
                self.put(b::COPY_OUT_RESPONSE, &[0, 0, 0]);
                self.put(b::COPY_DATA, b"line");
                self.put(b::COPY_DONE, b"");
                "COPY 1".to_owned()
            }
            "deallocate all" => {
                self.prepared.clear();
                "DEALLOCATE ALL".to_owned()
            }
            "discard all" => {
                if self.tx != Tx::Idle || self.ran > 0 {
                    return Err(("25001", "DISCARD ALL cannot run inside a transaction block".into()));
                }
                self.prepared.clear();
                "DISCARD ALL".to_owned()
            }
            _ => self.run_other(text, parameters)?,
        };
        self.ran += 1;
        self.complete(&tag);
        Ok(())
    }

    fn run_other(&mut self, text: &str, parameters: &[String]) -> Result<String, Error> {
        if let Some(name) = text.strip_prefix("deallocate ") {
            self.statement(unquoted(name))?;
            self.prepared.remove(unquoted(name));
            return Ok("DEALLOCATE".to_owned());
        }
        if let Some(name) = text.strip_prefix("execute ") {
            let inner = self.statement(unquoted(name))?;
            if !inner.starts_with("ok") && !inner.starts_with("err") {
                return Err(("0A000", "EXECUTE of this is not supported".into()));
            }
            if inner.contains('$') {
                return Err((
                    "42601",
                    format!(
                        "wrong number of parameters for prepared statement \"{}\"",
                        name.trim_matches('"')
                    ),
                ));
            }
            return self.run_other(&inner, parameters);
        }
        if text.starts_with("err") {
            return Err(("22012", format!("failed: {text}")));
        }
        assert!(text.starts_with("ok"), "unknown command {text:?}");
        let row = format!("{text} {parameters:?} {}", self.ran);
        self.put(b::DATA_ROW, row.as_bytes());
        Ok("SELECT 1".to_owned())
    }

    fn complete(&mut self, tag: &str) {
        self.put(b::COMMAND_COMPLETE, format!("{tag}\0").as_bytes());
    }
}

fn unquoted(name: &str) -> &[u8] {
    name.trim_matches('"').as_bytes()
}
