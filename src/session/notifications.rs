//! NotificationResponse messages outside of an exchange: reading one, and a row of them that came together.

use crate::sql::quote_identifier;
use crate::wire::frame::{self, HEAD};
use crate::wire::read::{self, Malformed};

/// The body of a NotificationResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process that sent it.
    pub pid: i32,
    pub channel: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Reads a body.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let malformed = Malformed("NotificationResponse");
        let (&pid, rest) = body.split_first_chunk().ok_or(malformed)?;
        let (channel, rest) = read::text(rest).ok_or(malformed)?;
        let (payload, rest) = read::text(rest).ok_or(malformed)?;
        if rest.is_empty() {
            Ok(Self { pid: i32::from_be_bytes(pid), channel, payload })
        } else {
            Err(malformed)
        }
    }
}

/// The messages of a row, whole.
fn messages(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = row;
    std::iter::from_fn(move || {
        let head = frame::head(rest).ok()??;
        let (message, after) = rest.split_at_checked(head.total)?;
        rest = after;
        Some(message)
    })
}

/// What stands before a mark and what behind it, without the marks of others; `None` without the mark.
pub fn split_at_mark(row: &[u8], channel: &str, payload: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut before, mut behind) = (Vec::new(), None);
    for message in messages(row) {
        let sent = Notification::read(&message[HEAD..]).ok()?;
        if sent.channel != channel.as_bytes() {
            behind.as_mut().unwrap_or(&mut before).extend_from_slice(message);
        } else if sent.payload == payload.as_bytes() {
            behind = Some(Vec::new());
        }
    }
    Some((before, behind?))
}

/// Appends a row, as it is for the client: what process `from` sent is from `to`.
pub fn append_readdressed(out: &mut Vec<u8>, row: &[u8], from: i32, to: i32) {
    for message in messages(row) {
        let (at, pid) = (out.len() + HEAD, from.to_be_bytes());
        out.extend_from_slice(message);
        if message[HEAD..].starts_with(&pid) {
            out[at..at + pid.len()].copy_from_slice(&to.to_be_bytes());
        }
    }
}

/// A text that listens to `channels` and to the mark's channel, and sends the mark; all in one transaction, which is
/// durable only as far as that costs nothing: a mark is of no use after a crash.
pub fn mark_text(channels: &[Box<str>], mark_channel: &str, payload: &str) -> String {
    let mut text = b"SET LOCAL synchronous_commit = off; ".to_vec();
    for channel in channels.iter().map(|channel| &**channel).chain([mark_channel]) {
        text.extend_from_slice(b"LISTEN ");
        quote_identifier(channel.as_bytes(), &mut text);
        text.extend_from_slice(b"; ");
    }
    text.extend_from_slice(format!("NOTIFY {mark_channel}, '{payload}'").as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
pub(super) fn notification(pid: i32, channel: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    crate::wire::write::message(&mut out, crate::wire::tag::backend::NOTIFICATION_RESPONSE, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        crate::wire::write::text(out, channel.as_bytes());
        crate::wire::write::text(out, payload.as_bytes());
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_with_checks() {
        let message = notification(7, "c", "p");
        let read = Notification::read(&message[HEAD..]).unwrap();
        assert_eq!(read, Notification { pid: 7, channel: b"c", payload: b"p" });
        for cut in HEAD..message.len() {
            assert!(Notification::read(&message[HEAD..cut]).is_err());
        }
    }

    #[test]
    fn a_row_is_split_at_the_mark_and_nowhere_else() {
        let [one, mark, two] =
            [notification(7, "c", "1"), notification(7, "m", "mark"), notification(8, "c", "mark")];
        let other = notification(9, "m", "another's");
        let row = [&other[..], &one, &mark, &two, &other].concat();
        assert_eq!(split_at_mark(&row, "m", "mark"), Some((one, two)));
        assert_eq!(split_at_mark(&row, "m", "none"), None);
    }

    #[test]
    fn only_what_a_process_sent_itself_gets_its_other_name() {
        let mut out = b"before".to_vec();
        append_readdressed(&mut out, &[notification(7, "c", "p"), notification(8, "c", "p")].concat(), 7, 9);
        let wanted = [&b"before"[..], &notification(9, "c", "p"), &notification(8, "c", "p")].concat();
        assert_eq!(out, wanted);
    }
}
