//! Many messages of the stream in the buffer they came in.

use bytes::Bytes;

use super::replication::CopyDataError;
use crate::lsn::Lsn;

/// Type byte and length of a message.
const HEADER: usize = 5;

/// Whole CopyData messages, one behind the other, as they were read: cut apart only when they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBlock(Bytes);

/// A message of the server in the replication stream, borrowed from its block. Times are microseconds since 2000-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogMessage<'a> {
    /// A piece of the log: with a logical slot, one message of the output plugin.
    XLogData {
        /// Where the data starts in the log. A message that belongs to no position has zero.
        start: Lsn,
        /// The output plugin's message.
        data: &'a [u8],
    },
    /// The server is alive.
    Keepalive {
        /// Up to here everything for this slot was sent.
        end: Lsn,
        /// The server wants a status update now, else it gives up soon.
        reply_requested: bool,
    },
}

impl LogBlock {
    /// Takes whole CopyData messages, with their headers.
    pub(crate) fn new(messages: Bytes) -> Self {
        LogBlock(messages)
    }

    /// The bytes of all messages; slices of it keep its buffer alive.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The messages in their order. After an error there are no more.
    pub fn messages(&self) -> LogMessages<'_> {
        LogMessages { rest: &self.0 }
    }
}

/// The messages of a block.
#[derive(Debug, Clone)]
pub struct LogMessages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LogMessages<'a> {
    type Item = Result<LogMessage<'a>, CopyDataError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[_, a, b, c, d], rest) = self.rest.split_first_chunk::<HEADER>()?;
        // The length counts itself.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?.checked_sub(4)?;
        let (body, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        let message = LogMessage::parse(body);
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

impl<'a> LogMessage<'a> {
    /// Parses the body of a CopyData message.
    ///
    /// # Errors
    /// [`CopyDataError`] where it is neither of the two messages, or has a wrong length.
    #[inline]
    pub fn parse(body: &'a [u8]) -> Result<Self, CopyDataError> {
        let wrong = |kind| CopyDataError::WrongLength { kind, length: body.len() };
        let (&kind, rest) = body.split_first().ok_or_else(|| wrong(0))?;
        let (&lsn, rest) = match kind {
            b'w' | b'k' => rest.split_first_chunk::<8>().ok_or_else(|| wrong(kind))?,
            other => return Err(CopyDataError::UnknownType(other)),
        };
        let lsn = Lsn(u64::from_be_bytes(lsn));
        if kind == b'w' {
            // The end of the log and the server's clock are of no use here.
            let (_, data) = rest.split_at_checked(16).ok_or_else(|| wrong(kind))?;
            return Ok(LogMessage::XLogData { start: lsn, data });
        }
        match rest {
            [_, _, _, _, _, _, _, _, reply] => {
                Ok(LogMessage::Keepalive { end: lsn, reply_requested: *reply != 0 })
            }
            _ => Err(wrong(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::replication::ReplicationMessage;
    use super::*;
    use proptest::prelude::*;

    /// The same from both parsers.
    fn agree(body: &[u8]) {
        let owned = ReplicationMessage::parse(Bytes::copy_from_slice(body));
        let expected = match &owned {
            Ok(ReplicationMessage::XLogData { start, data, .. }) => {
                Ok(LogMessage::XLogData { start: *start, data })
            }
            Ok(ReplicationMessage::Keepalive { end, reply_requested, .. }) => {
                Ok(LogMessage::Keepalive { end: *end, reply_requested: *reply_requested })
            }
            Err(error) => Err(*error),
        };
        assert_eq!(LogMessage::parse(body), expected);
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [b"d", &length.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn messages_come_in_their_order_and_end_with_the_first_error() {
        let data = [&[b'w'][..], &[0; 23], &[9], b"BODY"].concat();
        let keepalive = [&[b'k'][..], &[0; 17]].concat();
        let bytes = [message(&data), message(&keepalive), message(b"x"), message(&data)].concat();
        let block = LogBlock::new(bytes.into());
        let messages: Vec<_> = block.messages().collect();
        assert_eq!(messages[0], Ok(LogMessage::XLogData { start: Lsn(0), data: b"BODY" }));
        assert!(matches!(messages[1], Ok(LogMessage::Keepalive { reply_requested: false, .. })));
        assert_eq!(messages[2], Err(CopyDataError::UnknownType(b'x')));
        assert_eq!(messages.len(), 3);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_parser_of_single_messages(
            kind in prop::sample::select(b"wkx".to_vec()), body in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            agree(&body);
            agree(&[&[kind], &body[..]].concat());
        }
    }
}
