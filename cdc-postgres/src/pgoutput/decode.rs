//! From bytes to messages.

use bytes::Bytes;

use super::message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relation, RelationColumn, ReplicaIdentity, RollbackPrepared, StreamAbort,
    StreamCommit, StreamStart, Truncate, TypeInfo, Update,
};
use super::reader::{DecodeErrorReason, Reader, Result};
use super::tuple::Tuple;

/// Decodes one message, the data of one XLogData.
///
/// `in_stream`: it came between Stream Start and Stream Stop, where messages of changes carry their
/// transaction. Rows and contents are slices of the input; nothing of them is copied.
///
/// # Errors
/// [`super::DecodeError`] with the message's name and the offset: what is cut off, has bytes left over, or has a
/// value that the protocol does not know.
///
/// ```
/// use bytes::Bytes;
/// use cdc_postgres::pgoutput::{Message, decode};
///
/// assert_eq!(decode(Bytes::from_static(b"E"), true), Ok(Message::StreamStop));
/// let error = decode(Bytes::from_static(b"C\0\0"), false).unwrap_err();
/// assert_eq!(error.to_string(), "pgoutput message Commit, byte 2: the message ends too early");
/// ```
pub fn decode(bytes: Bytes, in_stream: bool) -> Result<Message> {
    let mut reader = Reader::new(bytes);
    let message = read(&mut reader, in_stream)?;
    reader.end()?;
    Ok(message)
}

/// Decodes bytes in both ways and walks every row: what a fuzzer calls.
pub fn decode_any(bytes: &[u8]) {
    for in_stream in [false, true] {
        let Ok(message) = decode(Bytes::copy_from_slice(bytes), in_stream) else { continue };
        let tuples: Vec<&Tuple> = match &message {
            Message::Insert(insert) => vec![&insert.new],
            Message::Update(update) => {
                let old = update.old.as_ref().map(OldTuple::tuple);
                old.into_iter().chain([&update.new]).collect()
            }
            Message::Delete(delete) => vec![delete.old.tuple()],
            _ => Vec::new(),
        };
        for tuple in tuples {
            assert_eq!(tuple.columns().count(), tuple.len(), "a checked tuple has all its columns");
        }
    }
}

fn read(r: &mut Reader, in_stream: bool) -> Result<Message> {
    let kind = r.u8()?;
    Ok(match kind {
        b'B' => {
            r.named("Begin");
            let (final_lsn, commit_time, xid) = (r.lsn()?, r.i64()?, r.u32()?);
            Message::Begin(Begin { final_lsn, commit_time, xid })
        }
        b'C' => {
            r.named("Commit");
            r.no_flags()?;
            let (commit_lsn, end_lsn, commit_time) = (r.lsn()?, r.lsn()?, r.i64()?);
            Message::Commit(Commit { commit_lsn, end_lsn, commit_time })
        }
        b'O' => {
            r.named("Origin");
            let (commit_lsn, name) = (r.lsn()?, r.text("origin name")?);
            Message::Origin(Origin { commit_lsn, name })
        }
        b'R' => {
            r.named("Relation");
            relation(r, in_stream)?
        }
        b'Y' => {
            r.named("Type");
            let (xid, id) = (stream_xid(r, in_stream)?, r.u32()?);
            let (namespace, name) = (r.text("schema name")?, r.text("type name")?);
            Message::Type(TypeInfo { xid, id, namespace, name })
        }
        b'I' => {
            r.named("Insert");
            let (xid, relation_id) = (stream_xid(r, in_stream)?, r.u32()?);
            new_tuple_follows(r)?;
            Message::Insert(Insert { xid, relation_id, new: Tuple::read(r)? })
        }
        b'U' => {
            r.named("Update");
            update(r, in_stream)?
        }
        b'D' => {
            r.named("Delete");
            let (xid, relation_id) = (stream_xid(r, in_stream)?, r.u32()?);
            let old = match r.u8()? {
                b'K' => OldTuple::Key(Tuple::read(r)?),
                b'O' => OldTuple::Full(Tuple::read(r)?),
                byte => return Err(r.unexpected("tuple kind", byte)),
            };
            Message::Delete(Delete { xid, relation_id, old })
        }
        b'T' => {
            r.named("Truncate");
            truncate(r, in_stream)?
        }
        b'M' => {
            r.named("Message");
            logical_message(r, in_stream)?
        }
        b'S' => {
            r.named("Stream Start");
            let xid = r.u32()?;
            let first = match r.u8()? {
                0 => false,
                1 => true,
                byte => return Err(r.unexpected("first segment", byte)),
            };
            Message::StreamStart(StreamStart { xid, first })
        }
        b'E' => {
            r.named("Stream Stop");
            Message::StreamStop
        }
        b'c' => {
            r.named("Stream Commit");
            let xid = r.u32()?;
            r.no_flags()?;
            let (commit_lsn, end_lsn, commit_time) = (r.lsn()?, r.lsn()?, r.i64()?);
            Message::StreamCommit(StreamCommit { xid, commit_lsn, end_lsn, commit_time })
        }
        b'A' => {
            r.named("Stream Abort");
            let (xid, subxid) = (r.u32()?, r.u32()?);
            // Only the length tells the two forms apart.
            let at = if r.remaining() == 0 { None } else { Some((r.lsn()?, r.i64()?)) };
            Message::StreamAbort(StreamAbort { xid, subxid, at })
        }
        b'b' => {
            r.named("Begin Prepare");
            let (prepare_lsn, end_lsn, prepare_time) = (r.lsn()?, r.lsn()?, r.i64()?);
            let (xid, gid) = (r.u32()?, r.text("gid")?);
            Message::BeginPrepare(BeginPrepare { prepare_lsn, end_lsn, prepare_time, xid, gid })
        }
        b'P' => {
            r.named("Prepare");
            Message::Prepare(prepare(r)?)
        }
        b'K' => {
            r.named("Commit Prepared");
            r.no_flags()?;
            let (commit_lsn, end_lsn, commit_time) = (r.lsn()?, r.lsn()?, r.i64()?);
            let (xid, gid) = (r.u32()?, r.text("gid")?);
            Message::CommitPrepared(CommitPrepared { commit_lsn, end_lsn, commit_time, xid, gid })
        }
        b'r' => {
            r.named("Rollback Prepared");
            r.no_flags()?;
            let (prepare_end_lsn, rollback_end_lsn) = (r.lsn()?, r.lsn()?);
            let (prepare_time, rollback_time) = (r.i64()?, r.i64()?);
            let (xid, gid) = (r.u32()?, r.text("gid")?);
            Message::RollbackPrepared(RollbackPrepared {
                prepare_end_lsn,
                rollback_end_lsn,
                prepare_time,
                rollback_time,
                xid,
                gid,
            })
        }
        b'p' => {
            r.named("Stream Prepare");
            Message::StreamPrepare(prepare(r)?)
        }
        other => {
            let mut error = r.error(DecodeErrorReason::UnknownMessage(other));
            error.offset = 0;
            return Err(error);
        }
    })
}

fn stream_xid(r: &mut Reader, in_stream: bool) -> Result<Option<u32>> {
    if in_stream { r.u32().map(Some) } else { Ok(None) }
}

fn new_tuple_follows(r: &mut Reader) -> Result<()> {
    match r.u8()? {
        b'N' => Ok(()),
        byte => Err(r.unexpected("tuple kind", byte)),
    }
}

fn relation(r: &mut Reader, in_stream: bool) -> Result<Message> {
    let (xid, id) = (stream_xid(r, in_stream)?, r.u32()?);
    let (namespace, name) = (r.text("schema name")?, r.text("table name")?);
    let replica_identity = match r.u8()? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        byte => return Err(r.unexpected("replica identity", byte)),
    };
    let count = r.count16("column count")?;
    let columns = (0..count).map(|_| {
        let is_key = match r.u8()? {
            0 => false,
            1 => true,
            byte => return Err(r.unexpected("column flags", byte)),
        };
        let name = r.text("column name")?;
        Ok(RelationColumn { is_key, name, type_id: r.u32()?, type_modifier: r.i32()? })
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(Message::Relation(Relation { xid, id, namespace, name, replica_identity, columns }))
}

fn update(r: &mut Reader, in_stream: bool) -> Result<Message> {
    let (xid, relation_id) = (stream_xid(r, in_stream)?, r.u32()?);
    let old = match r.u8()? {
        b'K' => Some(OldTuple::Key(Tuple::read(r)?)),
        b'O' => Some(OldTuple::Full(Tuple::read(r)?)),
        b'N' => None,
        byte => return Err(r.unexpected("tuple kind", byte)),
    };
    if old.is_some() {
        new_tuple_follows(r)?;
    }
    Ok(Message::Update(Update { xid, relation_id, old, new: Tuple::read(r)? }))
}

fn truncate(r: &mut Reader, in_stream: bool) -> Result<Message> {
    let xid = stream_xid(r, in_stream)?;
    let count = r.count32("table count")?;
    let options = r.u8()?;
    if options > 3 {
        return Err(r.unexpected("options", options));
    }
    // Not reserved for: the count is not checked before its tables are there.
    let mut relation_ids = Vec::new();
    for _ in 0..count {
        relation_ids.push(r.u32()?);
    }
    Ok(Message::Truncate(Truncate {
        xid,
        cascade: options & 1 != 0,
        restart_identity: options & 2 != 0,
        relation_ids,
    }))
}

fn logical_message(r: &mut Reader, in_stream: bool) -> Result<Message> {
    let xid = stream_xid(r, in_stream)?;
    let transactional = match r.u8()? {
        0 => false,
        1 => true,
        byte => return Err(r.unexpected("flags", byte)),
    };
    let (lsn, prefix) = (r.lsn()?, r.text("prefix")?);
    let length = r.count32("content length")?;
    let content = r.bytes(length)?;
    Ok(Message::Message(LogicalMessage { xid, transactional, lsn, prefix, content }))
}

fn prepare(r: &mut Reader) -> Result<Prepare> {
    r.no_flags()?;
    let (prepare_lsn, end_lsn, prepare_time) = (r.lsn()?, r.lsn()?, r.i64()?);
    let (xid, gid) = (r.u32()?, r.text("gid")?);
    Ok(Prepare { prepare_lsn, end_lsn, prepare_time, xid, gid })
}

impl OldTuple {
    /// The columns, of the key or of all.
    pub fn tuple(&self) -> &Tuple {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
