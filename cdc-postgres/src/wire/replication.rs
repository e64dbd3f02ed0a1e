//! What travels inside CopyData while the log is streamed.
//!
//! PostgreSQL manual, "Streaming Replication Protocol": XLogData, primary keepalive, standby status update.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::lsn::Lsn;

/// 2000-01-01T00:00:00Z, where PostgreSQL's clock starts, from the Unix epoch.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// A message of the server in the replication stream. Times are microseconds since 2000-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationMessage {
    /// A piece of the log: with a logical slot, one message of the output plugin.
    XLogData {
        /// Where the data starts in the log. A message that belongs to no position has zero.
        start: Lsn,
        /// The current end of the log on the server.
        end: Lsn,
        /// The server's clock when it was sent.
        sent_at: i64,
        /// The output plugin's message.
        data: Bytes,
    },
    /// The server is alive.
    Keepalive {
        /// Up to here everything for this slot was sent.
        end: Lsn,
        /// The server's clock when it was sent.
        sent_at: i64,
        /// The server wants a status update now, else it gives up soon.
        reply_requested: bool,
    },
}

/// The body of a CopyData message is not what the replication protocol has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyDataError {
    /// Neither XLogData nor keepalive.
    #[error("replication message of unknown type 0x{0:02x}")]
    UnknownType(u8),
    /// Too short, or a keepalive that is too long.
    #[error("replication message of type 0x{kind:02x} with {length} bytes")]
    WrongLength {
        /// The type byte; zero for an empty message.
        kind: u8,
        /// Its bytes in all.
        length: usize,
    },
}

impl ReplicationMessage {
    /// Parses the body of a CopyData message; the data is a slice of it.
    ///
    /// # Errors
    /// [`CopyDataError`] where it is neither of the two messages, or has a wrong length.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use cdc_postgres::wire::replication::ReplicationMessage;
    ///
    /// let keepalive = Bytes::from_static(b"k\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\0\0\x01\x01");
    /// let message = ReplicationMessage::parse(keepalive)?;
    /// assert!(matches!(message, ReplicationMessage::Keepalive { reply_requested: true, .. }));
    /// # Ok::<(), cdc_postgres::wire::replication::CopyDataError>(())
    /// ```
    pub fn parse(mut body: Bytes) -> Result<Self, CopyDataError> {
        let length = body.len();
        let wrong = |kind| CopyDataError::WrongLength { kind, length };
        let mut head = body.as_ref();
        let kind = head.try_get_u8().map_err(|_| wrong(0))?;
        match kind {
            b'w' => {
                let start = head.try_get_u64().map_err(|_| wrong(kind))?;
                let end = head.try_get_u64().map_err(|_| wrong(kind))?;
                let sent_at = head.try_get_i64().map_err(|_| wrong(kind))?;
                body.advance(length - head.len());
                Ok(Self::XLogData { start: Lsn(start), end: Lsn(end), sent_at, data: body })
            }
            b'k' => {
                let end = head.try_get_u64().map_err(|_| wrong(kind))?;
                let sent_at = head.try_get_i64().map_err(|_| wrong(kind))?;
                let reply_requested = head.try_get_u8().map_err(|_| wrong(kind))? != 0;
                if !head.is_empty() {
                    return Err(wrong(kind));
                }
                Ok(Self::Keepalive { end: Lsn(end), sent_at, reply_requested })
            }
            other => Err(CopyDataError::UnknownType(other)),
        }
    }
}

/// What this side tells the server: how far it has come.
///
/// For a logical slot `flush` counts: the server may remove the log before it, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StandbyStatus {
    /// Received up to here.
    pub write: Lsn,
    /// Durable up to here: it is never asked for again.
    pub flush: Lsn,
    /// Applied up to here; only shown in `pg_stat_replication` and used for synchronous replication.
    pub apply: Lsn,
    /// Ask for a keepalive in return.
    pub reply_requested: bool,
}

impl StandbyStatus {
    /// Appends the status as a CopyData message; `now` is microseconds since 2000-01-01 UTC.
    pub fn encode(&self, now: i64, out: &mut BytesMut) {
        out.put_u8(b'd');
        out.put_u32(4 + 1 + 3 * 8 + 8 + 1);
        out.put_u8(b'r');
        out.put_u64(self.write.0);
        out.put_u64(self.flush.0);
        out.put_u64(self.apply.0);
        out.put_i64(now);
        out.put_u8(u8::from(self.reply_requested));
    }
}

/// The time now, in microseconds since 2000-01-01 UTC; zero for a clock before that.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + POSTGRES_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn log_data_is_a_slice_behind_its_header() {
        let mut bytes = BytesMut::new();
        bytes.put_u8(b'w');
        bytes.put_u64(5);
        bytes.put_u64(9);
        bytes.put_i64(-1);
        bytes.put_slice(b"BODY");
        assert_eq!(
            ReplicationMessage::parse(bytes.freeze()),
            Ok(ReplicationMessage::XLogData {
                start: Lsn(5),
                end: Lsn(9),
                sent_at: -1,
                data: Bytes::from_static(b"BODY"),
            })
        );
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        let parse = |bytes: &[u8]| ReplicationMessage::parse(Bytes::copy_from_slice(bytes));
        assert_eq!(parse(b""), Err(CopyDataError::WrongLength { kind: 0, length: 0 }));
        assert_eq!(parse(b"x"), Err(CopyDataError::UnknownType(b'x')));
        assert_eq!(parse(&[b'w'; 24]), Err(CopyDataError::WrongLength { kind: b'w', length: 24 }));
        assert!(parse(&[b'w'; 25]).is_ok());
        for length in [1, 17, 19] {
            let wrong = CopyDataError::WrongLength { kind: b'k', length };
            assert_eq!(parse(&vec![b'k'; length]), Err(wrong));
        }
    }

    #[test]
    fn a_status_has_the_layout_of_the_manual() {
        let mut out = BytesMut::new();
        let status =
            StandbyStatus { write: Lsn(3), flush: Lsn(2), apply: Lsn(1), reply_requested: true };
        status.encode(4, &mut out);
        let mut expected = vec![b'd', 0, 0, 0, 38, b'r'];
        for number in [3u64, 2, 1, 4] {
            expected.extend(number.to_be_bytes());
        }
        expected.push(1);
        assert_eq!(out, expected);
    }

    #[test]
    fn the_clock_counts_from_the_year_2000() {
        let year = 365 * 24 * 3600 * 1_000_000;
        assert!((20 * year..100 * year).contains(&now()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = ReplicationMessage::parse(bytes.into());
        }
    }
}
