//! Cutting a byte stream into the server's messages, without copying them.

use bytes::{Buf, Bytes, BytesMut};

/// A read buffer is allocated with this size, and a read fills what is left of it. Large reads are what makes
/// the server fast: it pays for every wake-up of its reader.
const BUFFER_SIZE: usize = 256 * 1024;

/// When less than this is left, the next buffer is taken.
const MIN_READ: usize = 64 * 1024;

/// A large message's buffer grows by at most this per read, so that an announced length alone takes no memory.
const MAX_GROWTH: usize = 16 * 1024 * 1024;

/// No message of a PostgreSQL server is longer: its own limit of one allocation is 1 GiB.
const MAX_LENGTH: usize = 1 << 30;

/// Type byte and length.
const HEADER: usize = 5;

/// A message of the server: its type byte and what follows the length.
///
/// The body is a slice of the read buffer and keeps all of that alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type byte, such as `b'd'` for CopyData.
    pub kind: u8,
    /// The body.
    pub body: Bytes,
}

/// A length that no message has: the bytes are no PostgreSQL protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message of type 0x{kind:02x} with impossible length {length}")]
pub struct FrameError {
    /// The type byte before the length.
    pub kind: u8,
    /// The length as sent.
    pub length: u32,
}

/// Collects bytes and gives whole messages.
///
/// ```
/// use cdc_pgconn::frames::FrameBuffer;
///
/// let mut frames = FrameBuffer::new();
/// frames.space().extend_from_slice(b"Z\0\0\0\x05");
/// assert_eq!(frames.next_frame(), Ok(None));
/// frames.space().extend_from_slice(b"I");
/// assert_eq!(frames.next_frame().unwrap().unwrap().body, "I");
/// ```
#[derive(Debug, Default)]
pub struct FrameBuffer {
    buffer: BytesMut,
}

impl FrameBuffer {
    /// An empty buffer; memory is taken at the first [`space`](Self::space).
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer to append read bytes to, with room for a large read.
    pub fn space(&mut self) -> &mut BytesMut {
        let length = self.buffer.len();
        let missing = match self.header() {
            Ok(Some((_, total))) => total.saturating_sub(length),
            _ => 0,
        };
        let wanted = missing.clamp(MIN_READ, MAX_GROWTH);
        if self.buffer.capacity() - length < wanted {
            self.buffer.reserve(wanted.max(BUFFER_SIZE.saturating_sub(length)));
        }
        &mut self.buffer
    }

    /// Whether [`next_frame`](Self::next_frame) has something to say without more bytes.
    pub fn is_ready(&self) -> bool {
        match self.header() {
            Ok(Some((_, total))) => self.buffer.len() >= total,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Takes the next whole message, or `None` where bytes are missing.
    ///
    /// # Errors
    /// [`FrameError`] for an impossible length; the stream cannot be read any further.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((kind, total)) = self.header()? else { return Ok(None) };
        if self.buffer.len() < total {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let body = self.buffer.split_to(total - HEADER).freeze();
        Ok(Some(Frame { kind, body }))
    }

    /// Takes all whole messages of one kind that stand at the front, with their headers; empty where there are none.
    ///
    /// # Errors
    /// [`FrameError`] for an impossible length at the front; the stream cannot be read any further.
    pub fn take_run(&mut self, kind: u8) -> Result<Bytes, FrameError> {
        let mut end = 0;
        loop {
            match header_of(self.buffer.get(end..).unwrap_or_default()) {
                Ok(Some((found, total))) if found == kind && self.buffer.len() - end >= total => {
                    end += total;
                }
                Err(error) if end == 0 => return Err(error),
                // What comes behind is looked at when it is at the front.
                _ => return Ok(self.buffer.split_to(end).freeze()),
            }
        }
    }

    /// Whether [`space`](Self::space) needs no other memory.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer.capacity() - self.buffer.len() >= MIN_READ
    }

    /// What is there and was not taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes so many bytes, of what is there, without a look at them.
    pub(crate) fn take_bytes(&mut self, count: usize) {
        self.buffer.advance(count.min(self.buffer.len()));
    }

    /// Type and whole size of the message at the front.
    fn header(&self) -> Result<Option<(u8, usize)>, FrameError> {
        header_of(&self.buffer)
    }
}

/// Type and whole size of the message that begins here; `None` where its header is not whole.
pub(crate) fn header_of(bytes: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
    let Some(&[kind, a, b, c, d]) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        // The length counts itself, not the type byte.
        Ok(size) if (4..=MAX_LENGTH).contains(&size) => Ok(Some((kind, size + 1))),
        _ => Err(FrameError { kind, length }),
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

    #[test]
    fn a_length_below_four_or_above_one_gibibyte_is_an_error() {
        for (bytes, length) in [(b"Z\0\0\0\x03", 3), (b"HTTP/", 0x5454_502f)] {
            let mut frames = FrameBuffer::new();
            frames.space().extend_from_slice(bytes);
            assert!(frames.is_ready());
            assert_eq!(frames.next_frame(), Err(FrameError { kind: bytes[0], length }));
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_its_bytes_come() {
        let mut frames = FrameBuffer::new();
        frames.space().extend_from_slice(b"d\x3f\xff\xff\xff");
        assert!(frames.space().capacity() <= 2 * MAX_GROWTH);
    }

    #[test]
    fn a_run_ends_at_another_kind_and_at_a_message_that_is_not_whole() {
        let mut frames = FrameBuffer::new();
        let (one, two) = (frame(b'd', b"one"), frame(b'd', b"two"));
        let cut = &two[..two.len() - 1];
        let bytes = [&one[..], &two, &frame(b'E', b"x"), &one, cut].concat();
        frames.space().extend_from_slice(&bytes);
        assert_eq!(frames.take_run(b'd').unwrap(), [&one[..], &two].concat());
        assert_eq!(frames.take_run(b'd').unwrap(), "");
        assert_eq!(frames.next_frame().unwrap().unwrap().kind, b'E');
        assert_eq!(frames.take_run(b'd').unwrap(), one);
        assert_eq!(frames.take_run(b'd').unwrap(), "");
        frames.space().extend_from_slice(&two[two.len() - 1..]);
        assert_eq!(frames.take_run(b'd').unwrap(), two);
    }

    #[test]
    fn bodies_are_slices_of_the_read_buffer() {
        let mut frames = FrameBuffer::new();
        frames.space().extend_from_slice(&[frame(b'd', b"one"), frame(b'd', b"two")].concat());
        let start = frames.buffer.as_ptr() as usize;
        for offset in [HEADER, 2 * HEADER + 3] {
            let body = frames.next_frame().unwrap().unwrap().body;
            assert_eq!(body.as_ptr() as usize - start, offset);
        }
    }

    #[test]
    fn the_buffer_is_used_again_when_nobody_holds_it() {
        let mut frames = FrameBuffer::new();
        let message = frame(b'd', &[7; 1000]);
        for _ in 0..10_000 {
            frames.space().extend_from_slice(&message);
            assert_eq!(frames.next_frame().unwrap().unwrap().body.len(), 1000);
        }
        assert!(frames.buffer.capacity() <= 2 * BUFFER_SIZE);
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_bytes_are_cut(
            bodies in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..50),
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|(kind, body)| frame(*kind, body)).collect();
            let mut frames = FrameBuffer::new();
            let mut seen = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                frames.space().extend_from_slice(now);
                while let Some(frame) = frames.next_frame().unwrap() {
                    seen.push((frame.kind, frame.body.to_vec()));
                }
                prop_assert!(!frames.is_ready());
                rest = later;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(seen, bodies);
        }

        #[test]
        fn any_bytes_are_cut_or_refused_without_panic(bytes: Vec<u8>) {
            let mut frames = FrameBuffer::new();
            frames.space().extend_from_slice(&bytes);
            while let Ok(Some(_)) = frames.next_frame() {}
        }
    }
}
