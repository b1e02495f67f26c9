//! The language of the scenarios.
//!
//! ```text
//! # 83  an unnamed statement outlives Sync and a change of server
//! a> Parse "" "select $1::int + 1"; Sync
//! b> Query "select 'takes the server in between'"
//! a> Bind "" "" [41]; Execute; Sync
//! ```
//! A scenario begins with `#` and its name. `x>` sends messages as client x and reads what is due (a client
//! connects when it is first named; `x: name=value …` before that gives it startup parameters). `x send>` only
//! sends; `x read>` only reads what is due; `x await> A` reads until a message of that type. `x cancel>` cancels
//! what x runs, `x drop>` closes its socket without a word. `setup> SQL` runs directly, as superuser; `until> SQL`
//! waits, directly, until the query says true; `cleanup> SQL` runs directly when all is over. `differs: why` accepts
//! that the line before reads otherwise. The lines between `repeat N` and `end` are played N times; a message with
//! `*N` behind it is sent N times. Lines that begin with `--` are comments.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use crate::client::Due;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub lines: Vec<Line>,
    /// SQL that undoes what would outlive the scenario's database.
    pub cleanup: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub number: usize,
    pub text: String,
    pub action: Action,
    /// Why the line may read otherwise through a pooler.
    pub differs: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Action {
    Parameters { client: char, values: Vec<(String, String)> },
    Say { client: char, messages: Vec<Request>, read: bool },
    Read { client: char },
    Await { client: char, tag: u8 },
    Cancel { client: char },
    Drop { client: char },
    Setup(String),
    Until(String),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub bytes: Vec<u8>,
    pub due: Option<Due>,
}

impl Line {
    /// Reads one line of a scenario; `None` if it isn't of the language.
    pub fn read(number: usize, text: &str) -> Option<Self> {
        Some(Self { number, text: text.to_owned(), action: action(text)?, differs: None })
    }
}

/// Reads a file of scenarios.
///
/// # Panics
/// With the line, when the text isn't of the language.
pub fn read(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut repeat = None;
    for (index, raw) in text.lines().enumerate() {
        let (number, line) = (index + 1, raw.trim());
        if line.is_empty() || line.starts_with("--") {
            continue;
        }
        if let Some(name) = line.strip_prefix('#') {
            let name = name.trim().to_owned();
            scenarios.push(Scenario { name, lines: Vec::new(), cleanup: Vec::new() });
            continue;
        }
        let scenario = scenarios.last_mut().unwrap_or_else(|| panic!("line {number}: no scenario yet"));
        if let Some(why) = line.strip_prefix("differs:") {
            let last =
                scenario.lines.last_mut().unwrap_or_else(|| panic!("line {number}: nothing to differ"));
            last.differs = Some(why.trim().to_owned());
        } else if let Some(sql) = line.strip_prefix("cleanup>") {
            scenario.cleanup.push(sql.trim().to_owned());
        } else if let Some(times) = line.strip_prefix("repeat ") {
            let times: usize = times.parse().unwrap_or_else(|_| panic!("line {number}: not a number"));
            repeat = Some((scenario.lines.len(), times));
        } else if line == "end" {
            let (from, times) = repeat.take().unwrap_or_else(|| panic!("line {number}: nothing to repeat"));
            let lines = scenario.lines.split_off(from);
            scenario.lines.extend(std::iter::repeat_n(lines, times).flatten());
        } else {
            let line =
                Line::read(number, line).unwrap_or_else(|| panic!("line {number}: can't read {line:?}"));
            scenario.lines.push(line);
        }
    }
    scenarios
}

fn action(line: &str) -> Option<Action> {
    if let Some((client, values)) = line.split_once(": ").filter(|(client, _)| client.len() == 1) {
        let values = words(values)?;
        let pair = |word: &Word| word.text().split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
        return Some(Action::Parameters {
            client: client.chars().next()?,
            values: values.iter().map(pair).collect::<Option<_>>()?,
        });
    }
    let (head, rest) = line.split_once('>')?;
    let rest = rest.trim();
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["setup"] => Some(Action::Setup(rest.to_owned())),
        ["until"] => Some(Action::Until(rest.to_owned())),
        [client] => Some(Action::Say { client: name(client)?, messages: requests(rest)?, read: true }),
        [client, "send"] => {
            Some(Action::Say { client: name(client)?, messages: requests(rest)?, read: false })
        }
        [client, "read"] => Some(Action::Read { client: name(client)? }),
        [client, "await"] => Some(Action::Await { client: name(client)?, tag: *rest.as_bytes().first()? }),
        [client, "cancel"] => Some(Action::Cancel { client: name(client)? }),
        [client, "drop"] => Some(Action::Drop { client: name(client)? }),
        _ => None,
    }
}

fn name(text: &str) -> Option<char> {
    let mut letters = text.chars();
    letters.next().filter(|letter| letter.is_ascii_lowercase() && letters.next().is_none())
}

/// A word of a line: bare, quoted, or a list in brackets; what ends a message or repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Text(String),
    List(Vec<Self>),
    Times(usize),
    End,
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

fn words(line: &str) -> Option<Vec<Word>> {
    let mut rest = line.chars().peekable();
    let words = list(&mut rest)?;
    rest.next().is_none().then_some(words)
}

fn list(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    while let Some(&next) = rest.peek() {
        match next {
            ' ' | ',' => drop(rest.next()),
            ']' => return Some(words),
            ';' => {
                rest.next();
                words.push(Word::End);
            }
            '[' => {
                rest.next();
                words.push(Word::List(list(rest)?));
                (rest.next() == Some(']')).then_some(())?;
            }
            '"' => {
                rest.next();
                words.push(Word::Text(quoted(rest)?));
            }
            _ => {
                let mut bare = String::new();
                while let Some(&letter) = rest.peek().filter(|letter| !" ,;[]".contains(**letter)) {
                    rest.next();
                    match letter {
                        '"' => bare.push_str(&quoted(rest)?),
                        other => bare.push(other),
                    }
                }
                match bare.strip_prefix('*').and_then(|times| times.parse().ok()) {
                    Some(times) => words.push(Word::Times(times)),
                    None => words.push(Word::Text(bare)),
                }
            }
        }
    }
    Some(words)
}

/// Up to the closing quote; `""` is a quote, `\n`, `\t`, `\0` and `\\` are what they are elsewhere.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' if rest.peek() == Some(&'"') => {
                rest.next();
                text.push('"');
            }
            '"' => return Some(text),
            '\\' => match rest.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                '0' => text.push('\0'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

fn requests(line: &str) -> Option<Vec<Request>> {
    let words = words(line)?;
    let mut requests = Vec::new();
    for words in words.split(|word| *word == Word::End).filter(|words| !words.is_empty()) {
        let (words, times) = match words.split_last() {
            Some((Word::Times(times), words)) => (words, *times),
            _ => (words, 1),
        };
        requests.extend(std::iter::repeat_n(request(words)?, times));
    }
    Some(requests)
}

fn request(words: &[Word]) -> Option<Request> {
    let text = |at: usize| words.get(at).map_or("", |word| word.text());
    let items = |at: usize| match words.get(at) {
        Some(Word::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    let mut out = BytesMut::new();
    let due = match text(0) {
        "Query" => frontend::query(text(1), &mut out).ok().map(|()| Due::Query),
        "Parse" => {
            let types = items(3).iter().map(|word| word.text().parse().ok()).collect::<Option<Vec<u32>>>()?;
            frontend::parse(text(1), text(2), types, &mut out).ok().map(|()| Due::Parse)
        }
        "Bind" => {
            let values = items(3);
            let write = |word: Word, out: &mut BytesMut| {
                out.extend_from_slice(word.text().as_bytes());
                let null = word == Word::Text("NULL".into());
                Ok(if null { postgres_protocol::IsNull::Yes } else { postgres_protocol::IsNull::No })
            };
            let bound = frontend::bind(text(1), text(2), [], values, write, [], &mut out);
            bound.ok().map(|()| Due::Bind)
        }
        "Describe" => {
            let kind = *text(1).as_bytes().first()?;
            frontend::describe(kind, text(2), &mut out).ok().map(|()| Due::Describe)
        }
        "Execute" => {
            let rows = text(2).parse().unwrap_or(0);
            frontend::execute(text(1), rows, &mut out).ok().map(|()| Due::Execute)
        }
        "Close" => {
            let kind = *text(1).as_bytes().first()?;
            frontend::close(kind, text(2), &mut out).ok().map(|()| Due::Close)
        }
        "Sync" => {
            frontend::sync(&mut out);
            Some(Due::Sync)
        }
        "Flush" => {
            out.extend_from_slice(b"H\0\0\0\x04");
            return Some(Request { bytes: out.to_vec(), due: None });
        }
        "CopyData" => {
            out.extend_from_slice(b"d");
            out.extend_from_slice(&(text(1).len() as u32 + 4).to_be_bytes());
            out.extend_from_slice(text(1).as_bytes());
            return Some(Request { bytes: out.to_vec(), due: None });
        }
        "CopyDone" => {
            frontend::copy_done(&mut out);
            Some(Due::CopyEnd)
        }
        "CopyFail" => frontend::copy_fail(text(1), &mut out).ok().map(|()| Due::CopyEnd),
        "FunctionCall" => {
            // Function, no formats, arguments as text, result as text.
            let arguments = items(2);
            let mut body = Vec::new();
            body.extend_from_slice(&text(1).parse::<u32>().ok()?.to_be_bytes());
            body.extend_from_slice(&0_u16.to_be_bytes());
            body.extend_from_slice(&(arguments.len() as u16).to_be_bytes());
            for argument in &arguments {
                body.extend_from_slice(&(argument.text().len() as u32).to_be_bytes());
                body.extend_from_slice(argument.text().as_bytes());
            }
            body.extend_from_slice(&0_u16.to_be_bytes());
            out.extend_from_slice(b"F");
            out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            out.extend_from_slice(&body);
            Some(Due::FunctionCall)
        }
        "Terminate" => {
            frontend::terminate(&mut out);
            return Some(Request { bytes: out.to_vec(), due: None });
        }
        _ => None,
    };
    due.map(|due| Request { bytes: out.to_vec(), due: Some(due) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(line: &str) -> Vec<Request> {
        requests(line).expect("a line of the language")
    }

    #[test]
    fn a_scenario_has_a_name_lines_and_a_cleanup() {
        let text = "-- a comment\n# 1  first\na> Sync\n\ncleanup> drop role r\n# second\nsetup> select 1\n";
        let scenarios = read(text);
        assert_eq!(scenarios.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["1  first", "second"]);
        assert_eq!((scenarios[0].lines[0].number, &*scenarios[0].lines[0].text), (3, "a> Sync"));
        assert_eq!(scenarios[0].cleanup, ["drop role r"]);
        assert!(matches!(&scenarios[1].lines[0].action, Action::Setup(sql) if sql == "select 1"));
    }

    #[test]
    fn a_difference_belongs_to_the_line_before() {
        let scenario = &read("# s\na> Sync\ndiffers: because\na> Sync")[0];
        let differs: Vec<_> = scenario.lines.iter().map(|line| line.differs.as_deref()).collect();
        assert_eq!(differs, [Some("because"), None]);
    }

    #[test]
    fn lines_and_messages_repeat() {
        let scenario = &read("# s\na> Sync\nrepeat 3\na> Flush\nb> Flush\nend\na> Sync")[0];
        let texts: String = scenario.lines.iter().filter_map(|line| line.text.chars().next()).collect();
        assert_eq!(texts, "aabababa");
        assert_eq!(sent("Sync *3; Flush").len(), 4);
    }

    #[test]
    fn quotes_and_escapes() {
        let query = |text: &str| sent(text)[0].bytes[5..].to_vec();
        assert_eq!(query(r#"Query "select ""a b""; -- \\ \n""#), b"select \"a b\"; -- \\ \n\0");
        assert_eq!(sent(r#"CopyData "1\tone\n""#)[0].bytes, b"d\0\0\0\x0a1\tone\n");
    }

    #[test]
    fn messages_say_what_they_await() {
        let due: Vec<_> =
            sent(r#"Parse s "select $1" [23]; Bind "" s [NULL]; Execute "" 2; Flush; CopyDone; Sync"#)
                .iter()
                .map(|request| request.due)
                .collect();
        let awaited = [Due::Parse, Due::Bind, Due::Execute].map(Some);
        assert_eq!(due[..3], awaited);
        assert_eq!(due[3..], [None, Some(Due::CopyEnd), Some(Due::Sync)]);
    }

    #[test]
    fn what_is_not_of_the_language_is_refused() {
        for line in
            ["Queri \"x\"", "Query \"open", "Bind \"\" s [1", "Parse s \"x\" [int4]", "FunctionCall x []"]
        {
            assert!(requests(line).is_none(), "{line}");
        }
        for line in ["ab> Sync", "A> Sync", "a jump> Sync", "nonsense"] {
            assert!(action(line).is_none(), "{line}");
        }
    }
}
