use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::lsn::Lsn;
use crate::pgoutput::encode::encode;
use crate::pgoutput::tuple::TupleColumn;

/// Bytes by the manual's notation: numbers in network order, texts as they are.
macro_rules! bytes {
    ($($part:expr),* $(,)?) => {{
        let mut all: Vec<u8> = Vec::new();
        $(all.extend_from_slice($part.as_ref());)*
        Bytes::from(all)
    }};
}

fn u16(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

fn u32(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn u64(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

#[track_caller]
fn decoded(bytes: &Bytes, in_stream: bool) -> Message {
    let message = decode(bytes.clone(), in_stream).unwrap();
    assert_eq!(encode(&message), *bytes, "encoding gives the same bytes");
    // One byte less or more is an error, at every message.
    for cut in 0..bytes.len() {
        // Both of its forms are whole: without and with the place of the rollback.
        let whole = matches!(message, Message::StreamAbort(_)) && cut == 9;
        assert_eq!(decode(bytes.slice(..cut), in_stream).is_ok(), whole, "cut at {cut}");
    }
    if !matches!(message, Message::StreamAbort(StreamAbort { at: None, .. })) {
        let more = decode(bytes!(bytes, b"\0"), in_stream).unwrap_err();
        assert_eq!(more.reason, DecodeErrorReason::TrailingBytes(1));
        assert_eq!(more.offset, bytes.len());
    }
    message
}

#[test]
fn begin_and_commit_are_read_without_a_detour_as_with_one() {
    for bytes in [
        &b"B\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\x07"[..],
        b"B\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0",
        b"B\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\x07\0",
        b"C\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07",
        b"C\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07",
        b"C\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0",
        b"E",
        b"",
    ] {
        let read = Begin::read(bytes).map(Message::Begin);
        let read = read.or_else(|| Commit::read(bytes).map(Message::Commit));
        let decoded = decode(Bytes::copy_from_slice(bytes), false).ok();
        assert_eq!(read, decoded.filter(|m| *m != Message::StreamStop));
    }
}

#[test]
fn a_transaction_begins_commits_and_names_its_origin() {
    assert_eq!(
        decoded(&bytes!(b"B", u64(7), u64(9), u32(700)), false),
        Message::Begin(Begin { final_lsn: Lsn(7), commit_time: 9, xid: 700 })
    );
    assert_eq!(
        decoded(&bytes!(b"C\0", u64(7), u64(8), u64(u64::MAX)), false),
        Message::Commit(Commit { commit_lsn: Lsn(7), end_lsn: Lsn(8), commit_time: -1 })
    );
    assert_eq!(
        decoded(&bytes!(b"O", u64(3), b"n\xc3\xb6rd\0"), false),
        Message::Origin(Origin { commit_lsn: Lsn(3), name: "nörd".into() })
    );
}

#[test]
fn a_relation_has_its_columns_with_key_type_and_modifier() {
    let body = bytes!(
        u32(16389),
        b"public\0orders\0",
        b"d",
        u16(2),
        b"\x01id\0",
        u32(20),
        u32(u32::MAX),
        b"\0note\0",
        u32(1043),
        u32(14),
    );
    let column = |is_key, name: &str, type_id, type_modifier| RelationColumn {
        is_key,
        name: name.into(),
        type_id,
        type_modifier,
    };
    let relation = |xid| {
        Message::Relation(Relation {
            xid,
            id: 16389,
            namespace: "public".into(),
            name: "orders".into(),
            replica_identity: ReplicaIdentity::Default,
            columns: vec![column(true, "id", 20, -1), column(false, "note", 1043, 14)],
        })
    };
    assert_eq!(decoded(&bytes!(b"R", body), false), relation(None));
    assert_eq!(decoded(&bytes!(b"R", u32(5), body), true), relation(Some(5)));
    for (byte, identity) in [
        ("n", ReplicaIdentity::Nothing),
        ("f", ReplicaIdentity::Full),
        ("i", ReplicaIdentity::Index),
    ] {
        let bytes = bytes!(b"R", u32(1), b"\0t\0", byte, u16(0));
        let Message::Relation(relation) = decoded(&bytes, false) else { panic!() };
        assert_eq!((relation.replica_identity, relation.namespace.as_str()), (identity, ""));
    }
}

#[test]
fn a_type_has_its_name() {
    let body = bytes!(u32(16400), b"public\0mood\0");
    for (bytes, xid) in [(bytes!(b"Y", body), None), (bytes!(b"Y", u32(9), body), Some(9))] {
        assert_eq!(
            decoded(&bytes, xid.is_some()),
            Message::Type(TypeInfo {
                xid,
                id: 16400,
                namespace: "public".into(),
                name: "mood".into()
            })
        );
    }
}

#[test]
fn a_row_tells_null_unchanged_text_and_binary_apart_and_copies_nothing() {
    let bytes = bytes!(
        b"I",
        u32(1),
        b"N",
        u16(5),
        b"nu",
        b"t",
        u32(2),
        b"42",
        b"b",
        u32(1),
        b"\xff",
        b"t",
        u32(0),
    );
    let Message::Insert(insert) = decoded(&bytes, false) else { panic!() };
    let columns: Vec<_> = insert.new.columns().collect();
    assert_eq!(
        columns,
        [
            TupleColumn::Null,
            TupleColumn::Unchanged,
            TupleColumn::Text(Bytes::from_static(b"42")),
            TupleColumn::Binary(Bytes::from_static(b"\xff")),
            TupleColumn::Text(Bytes::new()),
        ]
    );
    let message = decode(bytes.clone(), false).unwrap();
    let Message::Insert(insert) = message else { panic!() };
    let range = bytes.as_ptr_range();
    assert!(range.contains(&insert.new.raw().as_ptr()));
    let Some(TupleColumn::Text(text)) = insert.new.columns().nth(2) else { panic!() };
    assert!(range.contains(&text.as_ptr()));
}

#[test]
fn updates_and_deletes_have_a_key_a_whole_old_row_or_nothing() {
    let row = bytes!(u16(1), b"t", u32(1), b"7");
    let null = bytes!(u16(1), b"n");
    for (bytes, old_columns) in [
        (bytes!(b"U", u32(1), b"N", row), None),
        (bytes!(b"U", u32(1), b"K", null, b"N", row), Some(TupleColumn::Null)),
        (
            bytes!(b"U", u32(1), b"O", row, b"N", row),
            Some(TupleColumn::Text(Bytes::from_static(b"7"))),
        ),
    ] {
        let Message::Update(update) = decoded(&bytes, false) else { panic!() };
        assert_eq!(update.old.and_then(|old| old.tuple().columns().next()), old_columns);
        assert_eq!(update.new.len(), 1);
    }
    for (kind, full) in [(b"K", false), (b"O", true)] {
        let Message::Delete(delete) = decoded(&bytes!(b"D", u32(8), u32(1), kind, row), true)
        else {
            panic!()
        };
        assert_eq!(delete.xid, Some(8));
        assert_eq!(matches!(delete.old, OldTuple::Full(_)), full);
    }
}

#[test]
fn truncate_has_its_options_and_tables() {
    for (options, cascade, restart_identity) in
        [(0, false, false), (1, true, false), (2, false, true), (3, true, true)]
    {
        let bytes = bytes!(b"T", u32(2), [options], u32(10), u32(11));
        let relation_ids = vec![10, 11];
        assert_eq!(
            decoded(&bytes, false),
            Message::Truncate(Truncate { xid: None, cascade, restart_identity, relation_ids })
        );
    }
}

#[test]
fn a_logical_message_has_prefix_and_content() {
    let body = bytes!(u64(77), b"audit\0", u32(3), b"\0\x01\xff");
    for (bytes, xid, transactional) in
        [(bytes!(b"M\0", body), None, false), (bytes!(b"M", u32(4), b"\x01", body), Some(4), true)]
    {
        assert_eq!(
            decoded(&bytes, xid.is_some()),
            Message::Message(LogicalMessage {
                xid,
                transactional,
                lsn: Lsn(77),
                prefix: "audit".into(),
                content: Bytes::from_static(b"\0\x01\xff"),
            })
        );
    }
}

#[test]
fn streamed_transactions_start_stop_commit_and_abort() {
    let start = |first| Message::StreamStart(StreamStart { xid: 5, first });
    assert_eq!(decoded(&bytes!(b"S", u32(5), b"\x01"), false), start(true));
    assert_eq!(decoded(&bytes!(b"S", u32(5), b"\0"), false), start(false));
    assert_eq!(decoded(&bytes!(b"E"), true), Message::StreamStop);
    assert_eq!(
        decoded(&bytes!(b"c", u32(5), b"\0", u64(1), u64(2), u64(3)), false),
        Message::StreamCommit(StreamCommit {
            xid: 5,
            commit_lsn: Lsn(1),
            end_lsn: Lsn(2),
            commit_time: 3
        })
    );
    let abort = |at| Message::StreamAbort(StreamAbort { xid: 5, subxid: 6, at });
    assert_eq!(decoded(&bytes!(b"A", u32(5), u32(6)), false), abort(None));
    assert_eq!(
        decoded(&bytes!(b"A", u32(5), u32(6), u64(1), u64(2)), false),
        abort(Some((Lsn(1), 2)))
    );
}

#[test]
fn prepared_transactions_are_prepared_committed_and_rolled_back() {
    let (prepare_lsn, end_lsn, gid) = (Lsn(1), Lsn(2), "g1".to_owned());
    let body = bytes!(u64(1), u64(2), u64(3), u32(5), b"g1\0");
    assert_eq!(
        decoded(&bytes!(b"b", body), false),
        Message::BeginPrepare(BeginPrepare {
            prepare_lsn,
            end_lsn,
            prepare_time: 3,
            xid: 5,
            gid: gid.clone()
        })
    );
    let prepare = Prepare { prepare_lsn, end_lsn, prepare_time: 3, xid: 5, gid: gid.clone() };
    assert_eq!(decoded(&bytes!(b"P\0", body), false), Message::Prepare(prepare.clone()));
    assert_eq!(decoded(&bytes!(b"p\0", body), false), Message::StreamPrepare(prepare));
    assert_eq!(
        decoded(&bytes!(b"K\0", body), false),
        Message::CommitPrepared(CommitPrepared {
            commit_lsn: Lsn(1),
            end_lsn,
            commit_time: 3,
            xid: 5,
            gid: gid.clone()
        })
    );
    assert_eq!(
        decoded(&bytes!(b"r\0", u64(1), u64(2), u64(3), u64(4), u32(5), b"g1\0"), false),
        Message::RollbackPrepared(RollbackPrepared {
            prepare_end_lsn: Lsn(1),
            rollback_end_lsn: Lsn(2),
            prepare_time: 3,
            rollback_time: 4,
            xid: 5,
            gid
        })
    );
}

#[test]
fn what_the_protocol_does_not_know_is_an_error_with_its_place() {
    for (bytes, message) in [
        (bytes!(b""), "pgoutput message (none), byte 0: the message ends too early"),
        (bytes!(b"z"), "pgoutput message (none), byte 0: unknown message type 0x7a"),
        (bytes!(b"C\x01"), "pgoutput message Commit, byte 1: unexpected flags 0x01"),
        (bytes!(b"I", u32(1), b"K"), "pgoutput message Insert, byte 5: unexpected tuple kind 0x4b"),
        (
            bytes!(b"I", u32(1), b"N", u16(1), b"x"),
            "pgoutput message Insert, byte 8: unexpected column kind 0x78",
        ),
        (
            bytes!(b"I", u32(1), b"N", u16(0xffff)),
            "pgoutput message Insert, byte 8: negative column count",
        ),
        (
            bytes!(b"I", u32(1), b"N", u16(1), b"t", u32(u32::MAX)),
            "pgoutput message Insert, byte 13: negative column length",
        ),
        (
            bytes!(b"R", u32(1), b"\xff\0"),
            "pgoutput message Relation, byte 5: schema name is not UTF-8",
        ),
        (
            bytes!(b"T", u32(0x7fff_ffff), b"\0"),
            "pgoutput message Truncate, byte 6: the message ends too early",
        ),
        (
            bytes!(b"S", u32(1), b"\x02"),
            "pgoutput message Stream Start, byte 5: unexpected first segment 0x02",
        ),
    ] {
        assert_eq!(decode(bytes, false).unwrap_err().to_string(), message);
    }
}

fn any_lsn() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn)
}

fn any_name() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    let value = || prop::collection::vec(any::<u8>(), 0..20);
    let column = prop_oneof![
        Just((b'n', None)),
        Just((b'u', None)),
        value().prop_map(|v| (b't', Some(v))),
        value().prop_map(|v| (b'b', Some(v))),
    ];
    prop::collection::vec(column, 0..8).prop_map(|columns| {
        let mut out = BytesMut::new();
        out.put_i16(columns.len().try_into().unwrap());
        for (kind, value) in columns {
            out.put_u8(kind);
            if let Some(value) = value {
                out.put_i32(value.len().try_into().unwrap());
                out.put_slice(&value);
            }
        }
        Tuple::read(&mut Reader::new(out.freeze())).unwrap()
    })
}

fn any_old() -> impl Strategy<Value = OldTuple> {
    (any::<bool>(), any_tuple())
        .prop_map(|(full, tuple)| if full { OldTuple::Full(tuple) } else { OldTuple::Key(tuple) })
}

fn any_relation() -> impl Strategy<Value = Message> {
    let column = (any::<bool>(), any_name(), any::<u32>(), any::<i32>()).prop_map(
        |(is_key, name, type_id, type_modifier)| RelationColumn {
            is_key,
            name,
            type_id,
            type_modifier,
        },
    );
    let identity = prop::sample::select(vec![
        ReplicaIdentity::Default,
        ReplicaIdentity::Nothing,
        ReplicaIdentity::Full,
        ReplicaIdentity::Index,
    ]);
    (any::<u32>(), any_name(), any_name(), identity, prop::collection::vec(column, 0..5)).prop_map(
        |(id, namespace, name, replica_identity, columns)| {
            Message::Relation(Relation {
                xid: None,
                id,
                namespace,
                name,
                replica_identity,
                columns,
            })
        },
    )
}

/// Messages of changes, outside a stream block.
fn any_change() -> impl Strategy<Value = Message> {
    let id = any::<u32>;
    prop_oneof![
        any_relation(),
        (id(), any_name(), any_name()).prop_map(|(id, namespace, name)| {
            Message::Type(TypeInfo { xid: None, id, namespace, name })
        }),
        (id(), any_tuple()).prop_map(|(relation_id, new)| Message::Insert(Insert {
            xid: None,
            relation_id,
            new
        })),
        (id(), prop::option::of(any_old()), any_tuple()).prop_map(|(relation_id, old, new)| {
            Message::Update(Update { xid: None, relation_id, old, new })
        }),
        (id(), any_old()).prop_map(|(relation_id, old)| Message::Delete(Delete {
            xid: None,
            relation_id,
            old
        })),
        (any::<bool>(), any::<bool>(), prop::collection::vec(id(), 0..5)).prop_map(
            |(cascade, restart_identity, relation_ids)| Message::Truncate(Truncate {
                xid: None,
                cascade,
                restart_identity,
                relation_ids
            })
        ),
        (any::<bool>(), any_lsn(), any_name(), any::<Vec<u8>>()).prop_map(
            |(transactional, lsn, prefix, content)| Message::Message(LogicalMessage {
                xid: None,
                transactional,
                lsn,
                prefix,
                content: content.into()
            })
        ),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused_without_panic(bytes: Vec<u8>) {
        decode_any(&bytes);
    }

    #[test]
    fn a_damaged_message_is_decoded_or_refused_without_panic(
        message in any_change(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = encode(&message).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        decode_any(&bytes);
    }

    #[test]
    fn every_change_comes_back_from_its_bytes(message in any_change(), xid: Option<u32>) {
        let mut message = message;
        match &mut message {
            Message::Relation(m) => m.xid = xid,
            Message::Type(m) => m.xid = xid,
            Message::Insert(m) => m.xid = xid,
            Message::Update(m) => m.xid = xid,
            Message::Delete(m) => m.xid = xid,
            Message::Truncate(m) => m.xid = xid,
            Message::Message(m) => m.xid = xid,
            _ => {}
        }
        prop_assert_eq!(decode(encode(&message), xid.is_some()), Ok(message));
    }

    #[test]
    fn every_end_of_a_transaction_comes_back_from_its_bytes(
        commit_lsn in any_lsn(), end_lsn in any_lsn(), commit_time: i64, xid: u32, gid in any_name(),
    ) {
        for message in [
            Message::Commit(Commit { commit_lsn, end_lsn, commit_time }),
            Message::StreamCommit(StreamCommit { xid, commit_lsn, end_lsn, commit_time }),
            Message::CommitPrepared(CommitPrepared { commit_lsn, end_lsn, commit_time, xid, gid }),
        ] {
            prop_assert_eq!(decode(encode(&message), false), Ok(message));
        }
    }
}
