//! The other direction, for tests only: messages to bytes, written from the manual independently of the decoder.

use bytes::{BufMut, Bytes, BytesMut};

use super::message::{Message, OldTuple, Prepare, ReplicaIdentity};
use super::tuple::{ColumnSlice, Tuple};

pub(crate) fn encode(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    match message {
        Message::Begin(m) => {
            out.put_u8(b'B');
            numbers(&mut out, &[m.final_lsn.0, time(m.commit_time)]);
            out.put_u32(m.xid);
        }
        Message::Commit(m) => {
            out.put_slice(b"C\0");
            numbers(&mut out, &[m.commit_lsn.0, m.end_lsn.0, time(m.commit_time)]);
        }
        Message::Origin(m) => {
            out.put_u8(b'O');
            out.put_u64(m.commit_lsn.0);
            text(&mut out, &m.name);
        }
        Message::Relation(m) => {
            head(&mut out, b'R', m.xid);
            out.put_u32(m.id);
            text(&mut out, &m.namespace);
            text(&mut out, &m.name);
            out.put_u8(match m.replica_identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            });
            out.put_i16(m.columns.len().try_into().unwrap());
            for column in &m.columns {
                out.put_u8(column.is_key.into());
                text(&mut out, &column.name);
                out.put_u32(column.type_id);
                out.put_i32(column.type_modifier);
            }
        }
        Message::Type(m) => {
            head(&mut out, b'Y', m.xid);
            out.put_u32(m.id);
            text(&mut out, &m.namespace);
            text(&mut out, &m.name);
        }
        Message::Insert(m) => {
            head(&mut out, b'I', m.xid);
            out.put_u32(m.relation_id);
            tuple(&mut out, b'N', &m.new);
        }
        Message::Update(m) => {
            head(&mut out, b'U', m.xid);
            out.put_u32(m.relation_id);
            if let Some(old) = &m.old {
                old_tuple(&mut out, old);
            }
            tuple(&mut out, b'N', &m.new);
        }
        Message::Delete(m) => {
            head(&mut out, b'D', m.xid);
            out.put_u32(m.relation_id);
            old_tuple(&mut out, &m.old);
        }
        Message::Truncate(m) => {
            head(&mut out, b'T', m.xid);
            out.put_i32(m.relation_ids.len().try_into().unwrap());
            out.put_u8(u8::from(m.cascade) + 2 * u8::from(m.restart_identity));
            m.relation_ids.iter().for_each(|id| out.put_u32(*id));
        }
        Message::Message(m) => {
            head(&mut out, b'M', m.xid);
            out.put_u8(m.transactional.into());
            out.put_u64(m.lsn.0);
            text(&mut out, &m.prefix);
            out.put_i32(m.content.len().try_into().unwrap());
            out.put_slice(&m.content);
        }
        Message::StreamStart(m) => {
            head(&mut out, b'S', Some(m.xid));
            out.put_u8(m.first.into());
        }
        Message::StreamStop => out.put_u8(b'E'),
        Message::StreamCommit(m) => {
            head(&mut out, b'c', Some(m.xid));
            out.put_u8(0);
            numbers(&mut out, &[m.commit_lsn.0, m.end_lsn.0, time(m.commit_time)]);
        }
        Message::StreamAbort(m) => {
            head(&mut out, b'A', Some(m.xid));
            out.put_u32(m.subxid);
            if let Some((lsn, at)) = m.at {
                numbers(&mut out, &[lsn.0, time(at)]);
            }
        }
        Message::BeginPrepare(m) => {
            out.put_u8(b'b');
            numbers(&mut out, &[m.prepare_lsn.0, m.end_lsn.0, time(m.prepare_time)]);
            out.put_u32(m.xid);
            text(&mut out, &m.gid);
        }
        Message::Prepare(m) => prepare(&mut out, b'P', m),
        Message::StreamPrepare(m) => prepare(&mut out, b'p', m),
        Message::CommitPrepared(m) => {
            out.put_slice(b"K\0");
            numbers(&mut out, &[m.commit_lsn.0, m.end_lsn.0, time(m.commit_time)]);
            out.put_u32(m.xid);
            text(&mut out, &m.gid);
        }
        Message::RollbackPrepared(m) => {
            out.put_slice(b"r\0");
            numbers(&mut out, &[m.prepare_end_lsn.0, m.rollback_end_lsn.0]);
            numbers(&mut out, &[time(m.prepare_time), time(m.rollback_time)]);
            out.put_u32(m.xid);
            text(&mut out, &m.gid);
        }
    }
    out.freeze()
}

fn head(out: &mut BytesMut, kind: u8, xid: Option<u32>) {
    out.put_u8(kind);
    if let Some(xid) = xid {
        out.put_u32(xid);
    }
}

fn numbers(out: &mut BytesMut, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.put_u64(*number));
}

fn time(time: i64) -> u64 {
    time.cast_unsigned()
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn prepare(out: &mut BytesMut, kind: u8, m: &Prepare) {
    out.put_slice(&[kind, 0]);
    numbers(out, &[m.prepare_lsn.0, m.end_lsn.0, time(m.prepare_time)]);
    out.put_u32(m.xid);
    text(out, &m.gid);
}

fn old_tuple(out: &mut BytesMut, old: &OldTuple) {
    match old {
        OldTuple::Key(key) => tuple(out, b'K', key),
        OldTuple::Full(full) => tuple(out, b'O', full),
    }
}

fn tuple(out: &mut BytesMut, kind: u8, tuple: &Tuple) {
    out.put_u8(kind);
    out.put_i16(tuple.len().try_into().unwrap());
    for column in tuple.slices() {
        let (kind, value) = match column {
            ColumnSlice::Null => (b'n', None),
            ColumnSlice::Unchanged => (b'u', None),
            ColumnSlice::Text(text) => (b't', Some(text)),
            ColumnSlice::Binary(bytes) => (b'b', Some(bytes)),
        };
        out.put_u8(kind);
        if let Some(value) = value {
            out.put_i32(value.len().try_into().unwrap());
            out.put_slice(value);
        }
    }
}
