//! A buffer with room made beforehand: what is written moves a cursor that stays in a register, where appending to a
//! `Vec` stores its length after every piece and waits for it before the next.

use crate::connect::base64;
use crate::connect::iso;
use crate::connect::schema::JsonName;
use crate::value::digits::each_word;

use super::text::{copy_clean, write_string};

/// So many bytes more than needed are made when the room has run out.
const MORE: usize = 512;

/// The end of a buffer under the cursor. It is given and taken by value: behind a reference the cursor would be in
/// memory.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    out: &'a mut Vec<u8>,
    /// What is written ends here, and room follows.
    at: usize,
}

impl<'a> Page<'a> {
    /// Writes after what is in the buffer. When room for `expected` bytes is not enough, more is made.
    #[inline(always)]
    pub(crate) fn after(out: &'a mut Vec<u8>, expected: usize) -> Self {
        let at = out.len();
        out.resize(at + expected, 0);
        Page { out, at }
    }

    /// Where the next byte goes.
    #[inline(always)]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Ends the buffer with what is written.
    #[inline(always)]
    pub(crate) fn finish(self) {
        self.out.truncate(self.at);
    }

    /// The buffer, for what appends; [`come_back`](Self::come_back) then.
    #[inline(always)]
    pub(crate) fn leave(&mut self) -> &mut Vec<u8> {
        self.out.truncate(self.at);
        self.out
    }

    /// Goes on after what was appended.
    #[inline(always)]
    pub(crate) fn come_back(&mut self) {
        self.at = self.out.len();
    }

    #[inline(always)]
    fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.out.get_mut(self.at..)?.first_chunk_mut()
    }

    /// Writes the first bytes of an array: a copy of a fixed length is cheaper than a short one of any.
    #[inline(always)]
    pub(crate) fn start_of<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        match self.room() {
            Some(room) => *room = *bytes,
            None => append(self.out, self.at, bytes),
        }
        self.at += len;
    }

    /// Writes an array.
    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.start_of(bytes, N);
    }

    /// Writes what a function makes of a place of `N` bytes.
    #[inline(always)]
    pub(crate) fn fill<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N])) {
        match self.room() {
            Some(room) => fill(room),
            None => {
                let mut bytes = [0; N];
                fill(&mut bytes);
                append(self.out, self.at, &bytes);
            }
        }
        self.at += N;
    }

    /// Writes bytes of any number.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let room = self.out.get_mut(self.at..).and_then(|room| room.get_mut(..bytes.len()));
        match room {
            Some(room) => room.copy_from_slice(bytes),
            None => append(self.out, self.at, bytes),
        }
        self.at += bytes.len();
    }

    /// Replaces a byte that is written.
    #[inline(always)]
    pub(crate) fn replace(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.out.get_mut(at) {
            *place = byte;
        }
    }

    /// Writes the comma, name and colon before a value.
    #[inline(always)]
    pub(crate) fn name(&mut self, name: &JsonName) {
        match name.short() {
            Some((short, len)) => self.start_of(short, len),
            None => self.bytes(name.text()),
        }
    }

    #[inline(always)]
    pub(crate) fn null(&mut self) {
        self.array(b"null");
    }

    #[inline(always)]
    pub(crate) fn boolean(&mut self, value: bool) {
        let (word, len) = if value { (b"true    ", 4) } else { (b"false   ", 5) };
        self.start_of(word, len);
    }

    #[inline(always)]
    pub(crate) fn i64(&mut self, value: i64) {
        if value < 0 {
            self.array(b"-");
        }
        each_word(value.unsigned_abs(), |digits, len| self.start_of(&digits, len));
    }

    /// Writes a text as a JSON string.
    #[inline(always)]
    pub(crate) fn text(&mut self, text: &str) {
        let len = text.len() + 2;
        let room = self.out.get_mut(self.at..).and_then(|room| room.get_mut(..len));
        if room.is_some_and(|room| copy_clean(text.as_bytes(), room)) {
            self.at += len;
        } else {
            write_string(text, self.leave());
            self.come_back();
        }
    }

    /// Writes an instant in microseconds as a `ZonedTimestamp` of six digits; `false` and nothing where it is not of
    /// the usual years.
    #[inline(always)]
    pub(crate) fn instant(&mut self, micros: i64) -> bool {
        let Some(micros) = iso::UsualMicros::new(micros) else { return false };
        self.fill(|room| micros.write_quoted(room));
        true
    }

    /// Writes a Connect `Decimal`.
    #[inline(always)]
    pub(crate) fn unscaled(&mut self, unscaled: i64) {
        let (text, len) = base64::quoted_i64(unscaled);
        self.start_of(&text, len);
    }
}

/// Makes room where it has run out, and writes.
#[cold]
#[inline(never)]
fn append(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    out.truncate(at);
    out.extend_from_slice(bytes);
    out.resize(out.len() + MORE, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_without_room_makes_it() {
        for expected in [0, 3, 1_000] {
            let mut out = b"x".to_vec();
            let mut page = Page::after(&mut out, expected);
            page.boolean(false);
            page.array(b",");
            page.i64(-120);
            page.bytes(b",");
            page.null();
            page.leave().extend_from_slice(b",1,");
            page.come_back();
            page.text(&"y".repeat(700));
            page.fill(|room: &mut [u8; 2]| *room = *b",z");
            page.replace(0, b'w');
            page.finish();
            let text = format!("wfalse,-120,null,1,\"{}\",z", "y".repeat(700));
            assert_eq!(String::from_utf8(out), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_appended(
            numbers: Vec<i64>, texts: Vec<String>, ascii in "[ -~]{0,80}", expected in 0usize..300
        ) {
            let mut appended = Vec::new();
            let mut out = Vec::new();
            let mut page = Page::after(&mut out, expected);
            for number in numbers {
                page.i64(number);
                appended.extend_from_slice(number.to_string().as_bytes());
                page.unscaled(number);
                appended.push(b'"');
                crate::value::Decimal::new(number, 0)
                    .with_unscaled_be_bytes(|bytes| base64::encode(bytes, &mut appended));
                appended.push(b'"');
            }
            for text in texts.iter().chain([&ascii]) {
                page.text(text);
                write_string(text, &mut appended);
            }
            page.finish();
            prop_assert_eq!(out, appended);
        }
    }
}
