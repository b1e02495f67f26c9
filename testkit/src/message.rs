//! Backend messages as lines of text, without what differs from run to run.

use std::collections::BTreeMap;
use std::fmt;

/// One message of a server.
#[derive(Clone)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

/// OIDs from here on are given to users' objects.
const FIRST_USER_OID: u32 = 16384;

impl Message {
    /// The message as a transcript shows it.
    pub fn line(&self) -> String {
        let mut reader = Reader(&self.body);
        match self.tag {
            b'1' => "ParseComplete".into(),
            b'2' => "BindComplete".into(),
            b'3' => "CloseComplete".into(),
            b'A' => {
                reader.i32();
                format!("Notification {} {}", reader.text(), reader.text())
            }
            b'C' => format!("CommandComplete {}", reader.text()),
            b'D' => format!("DataRow {}", reader.row()),
            b'E' => format!("Error {}", self.fields()),
            b'G' => "CopyInResponse".into(),
            b'H' => "CopyOutResponse".into(),
            b'I' => "EmptyQueryResponse".into(),
            b'N' => format!("Notice {}", self.fields()),
            b'S' => format!("ParameterStatus {}={}", reader.text(), reader.text()),
            b'T' => format!("RowDescription {}", reader.columns()),
            b'V' => format!("FunctionCallResponse {:?}", String::from_utf8_lossy(&self.body)),
            b'Z' => format!("ReadyForQuery {}", char::from(self.body.first().copied().unwrap_or(b'?'))),
            b'c' => "CopyDone".into(),
            b'd' => format!("CopyData {:?}", String::from_utf8_lossy(&self.body)),
            b'n' => "NoData".into(),
            b's' => "PortalSuspended".into(),
            b't' => {
                let count = reader.i16();
                let types: Vec<String> = (0..count).map(|_| type_name(reader.i32() as u32)).collect();
                format!("ParameterDescription [{}]", types.join(", "))
            }
            other => format!("{:?} {:?}", char::from(other), String::from_utf8_lossy(&self.body)),
        }
    }

    /// The fields of an error or a notice that an application may rely on.
    fn fields(&self) -> String {
        let fields = self.field_map();
        let shown: Vec<&str> =
            ['V', 'C', 'M', 'D', 'H', 'P'].iter().filter_map(|kind| fields.get(kind)).map(|s| &**s).collect();
        shown.join(" | ")
    }

    fn field_map(&self) -> BTreeMap<char, String> {
        let mut fields = BTreeMap::new();
        let mut reader = Reader(&self.body);
        while let Some((&kind, rest)) = reader.0.split_first().filter(|(kind, _)| **kind != 0) {
            reader.0 = rest;
            fields.insert(char::from(kind), reader.text());
        }
        fields
    }

    pub fn sqlstate(&self) -> Option<String> {
        self.field_map().remove(&'C')
    }

    /// A field of an ErrorResponse or NoticeResponse; empty if it lacks.
    pub fn field(&self, kind: char) -> String {
        self.field_map().remove(&kind).unwrap_or_default()
    }

    /// The columns of a DataRow.
    pub fn columns(&self) -> Vec<String> {
        let mut reader = Reader(&self.body);
        (0..reader.i16())
            .map(|_| match reader.i32() {
                -1 => "NULL".into(),
                length => String::from_utf8_lossy(reader.take(length.max(0) as usize)).into_owned(),
            })
            .collect()
    }

    /// The message in a few characters: `T`, `D[1,a]`, `C[SELECT 1]`, `E[ERROR 57014]`, `Z[I]`.
    pub fn brief(&self) -> String {
        let tag = char::from(self.tag);
        let text = || String::from_utf8_lossy(&self.body).trim_end_matches(['\0', '\n']).to_owned();
        match self.tag {
            b'D' => format!("D[{}]", self.columns().join(",")),
            b'C' | b'Z' | b'd' => format!("{tag}[{}]", text()),
            b'E' | b'N' => format!("{tag}[{} {}]", self.field('V'), self.field('C')),
            _ => tag.to_string(),
        }
    }
}

/// An answer in one line, without the NoticeResponses and ParameterStatuses that may come at any time.
pub fn brief(messages: &[Message]) -> String {
    let said = messages.iter().filter(|message| !matches!(message.tag, b'S' | b'N'));
    said.map(Message::brief).collect::<Vec<_>>().join(" ")
}

fn type_name(oid: u32) -> String {
    if oid < FIRST_USER_OID { oid.to_string() } else { "user".into() }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn i16(&mut self) -> i16 {
        self.take(2).try_into().map_or(0, i16::from_be_bytes)
    }

    fn i32(&mut self) -> i32 {
        self.take(4).try_into().map_or(0, i32::from_be_bytes)
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.take(1);
        text
    }

    fn row(&mut self) -> String {
        let columns: Vec<String> = (0..self.i16())
            .map(|_| match self.i32() {
                -1 => "NULL".into(),
                length => format!("{:?}", String::from_utf8_lossy(self.take(length.max(0) as usize))),
            })
            .collect();
        format!("[{}]", columns.join(", "))
    }

    fn columns(&mut self) -> String {
        let columns: Vec<String> = (0..self.i16())
            .map(|_| {
                let name = self.text();
                self.take(6);
                let kind = type_name(self.i32() as u32);
                self.take(2);
                let (modifier, format) = (self.i32(), self.i16());
                format!("{name}:{kind}:{modifier}:{format}")
            })
            .collect();
        format!("[{}]", columns.join(", "))
    }
}
