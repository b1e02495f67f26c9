//! One direction of a connection pair: bytes come in, are judged message by message, and leave in runs.
//!
//! ```text
//!   made            read from the peer
//!   ┌───────────┐   ┌──────────┬──────────────┬─────────────┬────────┐
//!   │ out       │ → │ (gone)   │ run: judged, │ not yet     │ room   │
//!   │           │   │          │ to be sent   │ judged      │        │
//!   └───────────┘   0        start          judged        filled   capacity
//! ```
//!
//! What leaves is always `out` first, then the run. In the common case `out` is empty and whole runs of
//! messages leave untouched from the buffer that they were read into. Only where a message is made, changed
//! or dropped does the run in front of it move to `out`, so that the order holds.
//!
//! Invariants: `start ≤ judged ≤ filled ≤ capacity`; a message that is longer than the buffer may grow is
//! never gathered: what is left of it is [`Passing`]; nothing is allocated by a length that a peer claims.

use std::ops::Range;

use super::frame::{self, BadLength, HEAD, Head};

/// The buffer starts with this many bytes…
pub const SMALL: usize = 8 * 1024;
/// …and grows to this many when reads fill it. A message that is read whole may need more ([`Lane::gather`]).
pub const LARGE: usize = 64 * 1024;

/// The rest of a message whose beginning was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    Nothing,
    Forward(usize),
    Discard(usize),
}

#[derive(Debug)]
pub struct Lane {
    buffer: Box<[u8]>,
    start: usize,
    judged: usize,
    filled: usize,
    passing: Passing,
    out: Vec<u8>,
    out_sent: usize,
}

/// The next message to judge.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub tag: u8,
    /// The whole message in bytes, header included.
    pub total: usize,
    /// The body's bytes that are here.
    pub body: &'a [u8],
}

impl Frame<'_> {
    pub fn is_whole(&self) -> bool {
        self.body.len() + HEAD == self.total
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            buffer: vec![0; SMALL].into_boxed_slice(),
            start: 0,
            judged: 0,
            filled: 0,
            passing: Passing::Nothing,
            out: Vec::new(),
            out_sent: 0,
        }
    }
}

// -- reading in

impl Lane {
    /// Room for the next read; empty when everything that the lane may hold is waiting to leave.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.filled {
            (self.start, self.judged, self.filled) = (0, 0, 0);
        } else if self.buffer.len() - self.filled < self.buffer.len() / 4 {
            self.make_room();
        }
        &mut self.buffer[self.filled..]
    }

    /// Moves what is left to the front, or grows while the limit allows it.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.judged -= self.start;
            self.filled -= self.start;
            self.start = 0;
        } else if self.filled == self.buffer.len() {
            self.widen();
        }
    }

    /// Grows to [`LARGE`]: the last read filled the buffer, so more is coming.
    pub fn widen(&mut self) {
        if self.buffer.len() < LARGE {
            self.grow(LARGE);
        }
    }

    fn grow(&mut self, capacity: usize) {
        let mut larger = vec![0; capacity].into_boxed_slice();
        larger[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
        self.buffer = larger;
    }

    /// Makes room for a message that must be read whole, at most `total` bytes of it: the buffer doubles as
    /// bytes really arrive, so a claimed length alone costs nothing.
    pub fn gather(&mut self, total: usize) {
        if self.filled == self.buffer.len() {
            if self.start > 0 {
                self.make_room();
            } else if self.buffer.len() < total {
                self.grow((self.buffer.len() * 2).min(total.next_power_of_two()).max(SMALL));
            }
        }
    }

    /// `count` bytes were read into [`Self::room`]; the part that belongs to a passing message goes its way.
    pub fn filled(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.buffer.len());
        match self.passing {
            Passing::Nothing => {}
            Passing::Forward(left) => self.forward(left),
            Passing::Discard(left) => self.discard(left),
        }
    }

    /// Bytes that the buffer can hold now.
    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }
}

// -- judging

impl Lane {
    /// The next message, with as much of its body as is here; `None` until its header is.
    pub fn frame(&self) -> Result<Option<Frame<'_>>, BadLength> {
        if self.passing != Passing::Nothing {
            return Ok(None);
        }
        let bytes = &self.buffer[self.judged..self.filled];
        let Some(Head { tag, total }) = frame::head(bytes)? else { return Ok(None) };
        Ok(Some(Frame { tag, total, body: &bytes[HEAD..total.min(bytes.len())] }))
    }

    /// Whether a message of `total` bytes is longer than the buffer may grow, so that it has to stream.
    pub fn must_stream(total: usize) -> bool {
        total > LARGE
    }

    /// The next `count` bytes leave as they are: those that are here now, the rest as it arrives.
    pub fn forward(&mut self, count: usize) {
        let here = count.min(self.filled - self.judged);
        self.judged += here;
        self.passing = if here < count { Passing::Forward(count - here) } else { Passing::Nothing };
    }

    /// Messages of type `tag` that stand next and are here as a whole leave as they are. Gives their number.
    pub fn forward_alike(&mut self, tag: u8) -> u64 {
        debug_assert!(!self.is_passing());
        let mut count = 0;
        while let Ok(Some(head)) = frame::head(&self.buffer[self.judged..self.filled])
            && head.tag == tag
            && head.total <= self.filled - self.judged
        {
            self.judged += head.total;
            count += 1;
        }
        count
    }

    /// The next `count` bytes are dropped.
    pub fn discard(&mut self, count: usize) {
        self.close_run();
        let here = count.min(self.filled - self.judged);
        self.judged += here;
        self.start = self.judged;
        self.passing = if here < count { Passing::Discard(count - here) } else { Passing::Nothing };
    }

    /// Where bytes made by us are appended, behind everything judged so far.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.close_run();
        &mut self.out
    }

    fn close_run(&mut self) {
        if self.start < self.judged {
            self.out.extend_from_slice(&self.buffer[self.start..self.judged]);
            self.start = self.judged;
        }
    }

    /// Forgets what was read and not judged.
    pub fn drop_unjudged(&mut self) {
        self.filled = self.judged;
    }

    /// Forgets what was to be written.
    pub fn clear_output(&mut self) {
        self.start = self.judged;
        self.out.clear();
        self.out_sent = 0;
    }

    /// Bytes read and not judged.
    pub fn unjudged(&self) -> usize {
        self.filled - self.judged
    }

    /// Whether a message is here in part: its rest passes, or its beginning waits to be judged.
    pub fn is_between_messages(&self) -> bool {
        self.passing == Passing::Nothing && self.judged == self.filled
    }

    /// Whether the rest of a judged message is still to come.
    pub fn is_passing(&self) -> bool {
        self.passing != Passing::Nothing
    }
}

// -- writing out

impl Lane {
    pub fn has_output(&self) -> bool {
        self.start < self.judged || self.out_sent < self.out.len()
    }

    /// What to write: made bytes, then the run.
    pub fn output(&self) -> (&[u8], &[u8]) {
        (&self.out[self.out_sent..], &self.buffer[self.run()])
    }

    fn run(&self) -> Range<usize> {
        self.start..self.judged
    }

    /// `count` bytes of [`Self::output`] were written.
    pub fn wrote(&mut self, count: usize) {
        let made = count.min(self.out.len() - self.out_sent);
        self.out_sent += made;
        if self.out_sent == self.out.len() {
            self.out.clear();
            self.out_sent = 0;
        }
        self.start += count - made;
        debug_assert!(self.start <= self.judged);
    }

    /// Forgets everything: the peer is gone, or the lane goes to another pair.
    pub fn clear(&mut self) {
        (self.start, self.judged, self.filled, self.out_sent) = (0, 0, 0, 0);
        self.passing = Passing::Nothing;
        self.out.clear();
        if self.buffer.len() > LARGE {
            self.buffer = vec![0; SMALL].into_boxed_slice();
        }
        if self.out.capacity() > LARGE {
            self.out = Vec::new();
        }
    }

    /// Nothing read, nothing to write, nothing passing.
    pub fn is_empty(&self) -> bool {
        self.is_between_messages() && !self.has_output()
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
