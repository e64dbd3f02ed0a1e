//! Telling the rows of a COPY from everything else that a server sends.
//!
//! PostgreSQL manual, chapter "Frontend/Backend Protocol", section "COPY Operations". A COPY that was sent as a simple
//! query is answered without BindComplete: that is what tells it from the COPY of a prepared statement, which is left as it is.

use bytes::{Bytes, BytesMut};

use crate::frames::{FrameBuffer, header_of};

const BIND_COMPLETE: u8 = b'2';
const COPY_DATA: u8 = b'd';
const COPY_DONE: u8 = b'c';
const COPY_OUT_RESPONSE: u8 = b'H';
const READY_FOR_QUERY: u8 = b'Z';
/// NoticeResponse, ParameterStatus and NotificationResponse come at any time.
const ASYNCHRONOUS: [u8; 3] = *b"NSA";

/// What stands at the front of the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// [Bytes](CopySplitter::passing) that go on as they are.
    Pass,
    /// The rows of a simple query begin: to be [taken](CopySplitter::divert) or [left](CopySplitter::leave).
    Begins,
    /// Rows of a COPY that is taken; `whole` where at least one message is.
    Rows { whole: bool },
    /// A COPY that was taken has ended; how is said by what follows.
    Ended,
    /// More has to be read.
    More,
}

/// Cuts the bytes of a server at the rows of a COPY that are to be taken.
///
/// Everything else goes on in its order, and no message of it is waited for until it is whole.
#[derive(Debug, Default)]
pub(crate) struct CopySplitter {
    frames: FrameBuffer,
    /// So many bytes from the front on go on; they may not all be there.
    pass: usize,
    /// So many are thrown away before.
    skip: usize,
    /// The answer that comes is one to a prepared statement.
    bound: bool,
    /// The rows of a COPY are taken.
    taking: bool,
}

impl CopySplitter {
    /// Where to append what is read. Only after [`Piece::More`] or [`Piece::Rows`].
    pub(crate) fn space(&mut self) -> &mut BytesMut {
        self.frames.space()
    }

    /// Whether a read has room in the buffer that there is.
    pub(crate) fn has_room(&self) -> bool {
        self.frames.has_room()
    }

    fn len(&self) -> usize {
        self.frames.bytes().len()
    }

    /// Looks at what is at the front.
    pub(crate) fn next(&mut self) -> Piece {
        let skipped = self.skip.min(self.len());
        self.frames.take_bytes(skipped);
        self.skip -= skipped;
        if self.taking && self.pass == 0 {
            match header_of(self.frames.bytes()) {
                Ok(Some((COPY_DATA, total))) => return Piece::Rows { whole: self.len() >= total },
                Ok(Some((COPY_DONE, total))) => {
                    self.skip = total;
                    self.taking = false;
                    return Piece::Ended;
                }
                Ok(Some((kind, total))) if ASYNCHRONOUS.contains(&kind) => self.pass = total,
                Ok(None) => return Piece::More,
                // An error, or what has no place here: whoever reads on says so.
                Ok(Some(_)) | Err(_) => {
                    self.taking = false;
                    return Piece::Ended;
                }
            }
        }
        if !self.taking {
            self.look_ahead();
        }
        match (self.pass, self.len()) {
            (_, 0) => Piece::More,
            (0, _) if matches!(header_of(self.frames.bytes()), Ok(Some(_))) => Piece::Begins,
            (0, _) => Piece::More,
            _ => Piece::Pass,
        }
    }

    /// Goes through what is there up to the beginning of a COPY that might be taken.
    fn look_ahead(&mut self) {
        while let Some(bytes) = self.frames.bytes().get(self.pass..) {
            match header_of(bytes) {
                Ok(None) => return,
                Ok(Some((COPY_OUT_RESPONSE, _))) if !self.bound => return,
                Ok(Some((kind, total))) => {
                    match kind {
                        BIND_COMPLETE => self.bound = true,
                        READY_FOR_QUERY => self.bound = false,
                        _ => {}
                    }
                    self.pass += total;
                }
                // No protocol of PostgreSQL: whoever reads on says so.
                Err(_) => self.pass = usize::MAX,
            }
        }
    }

    /// What goes on and is there.
    pub(crate) fn passing(&self) -> &[u8] {
        let bytes = self.frames.bytes();
        bytes.get(..self.pass).unwrap_or(bytes)
    }

    /// So much of it was given on.
    pub(crate) fn passed(&mut self, count: usize) {
        self.frames.take_bytes(count);
        self.pass = self.pass.saturating_sub(count);
    }

    /// The COPY that begins is taken.
    pub(crate) fn divert(&mut self) {
        self.taking = true;
        self.skip = self.front();
    }

    /// The COPY that begins goes on like everything else.
    pub(crate) fn leave(&mut self) {
        self.pass = self.front();
    }

    /// All rows that are there whole: CopyData messages with their headers.
    pub(crate) fn take_rows(&mut self) -> Bytes {
        // The length at the front is known to be possible.
        self.frames.take_run(COPY_DATA).unwrap_or_default()
    }

    /// Throws the row at the front away, also what of it is still to come.
    pub(crate) fn discard_row(&mut self) {
        self.skip = self.front();
    }

    /// The size of the message at the front.
    fn front(&self) -> usize {
        header_of(self.frames.bytes()).ok().flatten().map_or(0, |(_, total)| total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    /// What came out of a splitter.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Out {
        passed: Vec<u8>,
        rows: Vec<u8>,
        begun: usize,
        ended: usize,
    }

    impl Out {
        /// Takes everything that needs no more bytes. At most `step` bytes go on at a time.
        fn take(&mut self, splitter: &mut CopySplitter, takes: bool, keeps: bool, step: usize) {
            loop {
                match splitter.next() {
                    Piece::More => return,
                    Piece::Rows { whole: false } if keeps => return,
                    Piece::Pass => {
                        let some = splitter.passing();
                        let some = &some[..some.len().min(step)];
                        self.passed.extend_from_slice(some);
                        let count = some.len();
                        splitter.passed(count);
                    }
                    Piece::Begins if takes => {
                        self.begun += 1;
                        splitter.divert();
                    }
                    Piece::Begins => {
                        self.begun += 1;
                        splitter.leave();
                    }
                    Piece::Rows { .. } if keeps => self.rows.extend(splitter.take_rows()),
                    Piece::Rows { .. } => splitter.discard_row(),
                    Piece::Ended => self.ended += 1,
                }
            }
        }
    }

    fn split(bytes: &[u8], cuts: &[usize], takes: bool, keeps: bool, step: usize) -> Out {
        let mut splitter = CopySplitter::default();
        let mut out = Out::default();
        let mut rest = bytes;
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            splitter.space().extend_from_slice(now);
            out.take(&mut splitter, takes, keeps, step);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        out
    }

    fn login() -> Vec<u8> {
        [frame(b'R', &[0; 4]), frame(b'S', b"a\0b\0"), frame(b'Z', b"I")].concat()
    }

    /// A COPY by a simple query: its rows, and the rest.
    fn copy(rows: &[Vec<u8>], end: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let rows: Vec<Vec<u8>> = rows.iter().map(|row| frame(b'd', row)).collect();
        let notice = frame(b'N', b"SNOTICE\0");
        let half = rows.len() / 2;
        let all = [
            frame(b'H', &[0; 5]),
            rows[..half].concat(),
            notice.clone(),
            rows[half..].concat(),
            end.to_vec(),
        ];
        let end = end.strip_prefix(&frame(b'c', b"")[..]).unwrap_or(end);
        (all.concat(), rows.concat(), [notice, end.to_vec()].concat())
    }

    fn done() -> Vec<u8> {
        [frame(b'c', b""), frame(b'C', b"COPY 3\0"), frame(b'Z', b"I")].concat()
    }

    fn failed() -> Vec<u8> {
        [frame(b'E', b"SERROR\0\0"), frame(b'Z', b"I")].concat()
    }

    /// A COPY by a prepared statement.
    fn prepared(rows: &[Vec<u8>]) -> Vec<u8> {
        let rows: Vec<u8> = rows.iter().flat_map(|row| frame(b'd', row)).collect();
        [frame(b'2', b""), frame(b'H', &[0; 5]), rows, done()].concat()
    }

    #[test]
    fn the_copy_of_a_prepared_statement_goes_on_as_it_is() {
        let bytes = [login(), prepared(&[b"1\n".to_vec()]), prepared(&[])].concat();
        let out = split(&bytes, &[usize::MAX], true, true, usize::MAX);
        assert_eq!(out, Out { passed: bytes, ..Out::default() });
    }

    #[test]
    fn what_is_no_protocol_goes_on_to_whoever_says_so() {
        let bytes = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
        let out = split(&bytes, &[3], true, true, usize::MAX);
        assert_eq!((out.passed, out.begun), (bytes, 0));

        let (begun, rows, _) = copy(&[b"1\n".to_vec()], b"");
        let out = split(&[&begun[..], b"d\0\0\0\0zzz"].concat(), &[100], true, true, usize::MAX);
        assert!(out.rows == rows && out.passed.ends_with(b"d\0\0\0\0zzz"), "{out:?}");
    }

    #[test]
    fn a_long_message_goes_on_before_it_is_whole() {
        let bytes = frame(b'D', &[7; 5000]);
        let mut splitter = CopySplitter::default();
        splitter.space().extend_from_slice(&bytes[..2000]);
        assert_eq!(splitter.next(), Piece::Pass);
        assert_eq!(splitter.passing(), &bytes[..2000]);
        splitter.passed(2000);
        assert_eq!(splitter.next(), Piece::More);
    }

    #[test]
    fn a_row_that_is_thrown_away_is_not_waited_for() {
        let (bytes, _, _) = copy(&[vec![b'x'; 100_000]], b"");
        let mut splitter = CopySplitter::default();
        splitter.space().extend_from_slice(&bytes[..50_000]);
        Out::default().take(&mut splitter, true, false, usize::MAX);
        assert_eq!(splitter.len(), 0);
    }

    proptest! {
        #[test]
        fn rows_are_taken_and_all_else_goes_on_however_the_bytes_are_cut(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
            fails: bool,
            takes: bool,
            keeps: bool,
            cuts in prop::collection::vec(1usize..40, 1..30),
            step in 1usize..30,
        ) {
            let (all, taken, others) = copy(&rows, &if fails { failed() } else { done() });
            let bytes = [login(), prepared(&rows), all.clone(), prepared(&rows), all].concat();
            let out = split(&bytes, &cuts, takes, keeps, step);
            prop_assert_eq!(out.begun, 2);
            if !takes {
                prop_assert_eq!(out.passed, bytes);
                return Ok(());
            }
            prop_assert_eq!(out.passed, [login(), prepared(&rows), others.clone(), prepared(&rows), others].concat());
            prop_assert_eq!(out.rows, if keeps { taken.repeat(2) } else { Vec::new() });
            prop_assert_eq!(out.ended, 2);
        }

        #[test]
        fn any_bytes_are_cut_without_panic(
            bytes: Vec<u8>, takes: bool, keeps: bool, cut in 1usize..20, step in 1usize..20,
        ) {
            split(&bytes, &[cut], takes, keeps, step);
            let (begun, _, _) = copy(&[], b"");
            split(&[&begun[..], &bytes].concat(), &[cut], takes, keeps, step);
        }
    }
}
