//! Reading the primitive types of a message, with errors that say where.

use std::fmt;

use bytes::{Buf, Bytes};

use crate::lsn::Lsn;

/// The bytes are no message of `pgoutput`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pgoutput message {message}, byte {offset}: {reason}")]
pub struct DecodeError {
    /// The message's name in the manual; `(none)` before its type is known.
    pub message: &'static str,
    /// The offset in the message, from its type byte, at which reading failed.
    pub offset: usize,
    /// What is wrong there.
    pub reason: DecodeErrorReason,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorReason {
    /// The message ends too early.
    Truncated,
    /// Bytes are left behind the message's end.
    TrailingBytes(usize),
    /// A type byte that no message has.
    UnknownMessage(u8),
    /// A byte that is none of those expected.
    UnexpectedByte {
        /// The field.
        field: &'static str,
        /// What stands there.
        byte: u8,
    },
    /// A count or length below zero.
    Negative {
        /// The field.
        field: &'static str,
    },
    /// A name that is not UTF-8 though the session's encoding is.
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
}

impl fmt::Display for DecodeErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the message ends too early"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes behind the message's end"),
            Self::UnknownMessage(byte) => write!(f, "unknown message type 0x{byte:02x}"),
            Self::UnexpectedByte { field, byte } => write!(f, "unexpected {field} 0x{byte:02x}"),
            Self::Negative { field } => write!(f, "negative {field}"),
            Self::NotUtf8 { field } => write!(f, "{field} is not UTF-8"),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// A message that is being read.
pub(super) struct Reader {
    rest: Bytes,
    length: usize,
    message: &'static str,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { length: bytes.len(), rest: bytes, message: "(none)" }
    }

    /// Names the message, for errors.
    pub(super) fn named(&mut self, message: &'static str) {
        self.message = message;
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn error(&self, reason: DecodeErrorReason) -> DecodeError {
        DecodeError { message: self.message, offset: self.length - self.rest.len(), reason }
    }

    /// An error at the byte that was just read.
    pub(super) fn unexpected(&self, field: &'static str, byte: u8) -> DecodeError {
        let mut error = self.error(DecodeErrorReason::UnexpectedByte { field, byte });
        error.offset = error.offset.saturating_sub(1);
        error
    }

    fn truncated(&self) -> DecodeError {
        self.error(DecodeErrorReason::Truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.rest.try_get_u8().map_err(|_| self.truncated())
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.rest.try_get_u32().map_err(|_| self.truncated())
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.rest.try_get_i32().map_err(|_| self.truncated())
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.rest.try_get_i64().map_err(|_| self.truncated())
    }

    pub(super) fn lsn(&mut self) -> Result<Lsn> {
        self.rest.try_get_u64().map(Lsn).map_err(|_| self.truncated())
    }

    /// A count of 16 bits that the protocol declares signed.
    pub(super) fn count16(&mut self, field: &'static str) -> Result<u16> {
        let count = self.rest.try_get_i16().map_err(|_| self.truncated())?;
        u16::try_from(count).map_err(|_| self.error(DecodeErrorReason::Negative { field }))
    }

    /// A count or length of 32 bits that the protocol declares signed.
    pub(super) fn count32(&mut self, field: &'static str) -> Result<usize> {
        let count = self.i32()?;
        usize::try_from(count).map_err(|_| self.error(DecodeErrorReason::Negative { field }))
    }

    /// Bytes of a known number, a slice of the input.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(self.truncated());
        }
        Ok(self.rest.split_to(length))
    }

    /// A text with a zero at its end.
    pub(super) fn text(&mut self, field: &'static str) -> Result<String> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.truncated())?;
        let text = self.rest.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| self.error(DecodeErrorReason::NotUtf8 { field }))?.to_owned();
        self.rest.advance(end + 1);
        Ok(text)
    }

    /// A flags field that has no flags yet, and must be zero.
    pub(super) fn no_flags(&mut self) -> Result<()> {
        match self.u8()? {
            0 => Ok(()),
            byte => Err(self.unexpected("flags", byte)),
        }
    }

    /// All that follows, to be walked by [`advance`](Self::advance).
    pub(super) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Skips bytes that were walked.
    pub(super) fn advance(&mut self, length: usize) {
        self.rest.advance(length.min(self.rest.len()));
    }

    /// The message must end here.
    pub(super) fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(self.error(DecodeErrorReason::TrailingBytes(count))),
        }
    }
}
