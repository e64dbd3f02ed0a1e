//! A log written by hand, and what becomes of it.

use super::*;
use crate::catalog::columns::TableColumns;
use crate::catalog::types::TypeCatalog;
use crate::pgoutput::{Begin, Commit, ReplicaIdentity, Truncate, decode, encode};
use crate::position::tests::streaming;
use crate::relations::tests::message as relation;
use cdc_core::ValueRef;

fn decoder(position: Position) -> Decoder {
    let mut relations = Relations::default();
    let described = relation(ReplicaIdentity::Default, &[("id", 23, true)]);
    let described =
        Relation::new(&described, &TableColumns::default(), &TypeCatalog::default(), true, Lsn(1));
    relations.insert(16_400, described.unwrap());
    Decoder::new("shop".into(), position, relations).unwrap()
}

fn insert(id: u8) -> Vec<u8> {
    [b'I', 0, 0, 0x40, 0x10, b'N', 0, 1, b't', 0, 0, 0, 1, b'0' + id].to_vec()
}

fn begin(commit: u64, xid: u32) -> Vec<u8> {
    encode(&Message::Begin(Begin { final_lsn: Lsn(commit), commit_time: 0, xid })).to_vec()
}

fn commit(commit: u64, end: u64) -> Vec<u8> {
    let (commit_lsn, end_lsn) = (Lsn(commit), Lsn(end));
    encode(&Message::Commit(Commit { commit_lsn, end_lsn, commit_time: 0 })).to_vec()
}

fn take(
    decoder: &mut Decoder,
    message: Vec<u8>,
    at: Lsn,
    out: &mut impl FnMut(ChangeEvent, usize),
) -> Result<(), PostgresError> {
    let message = Bytes::from(message);
    if decoder.change(&message, false, &message, at, out)? {
        return Ok(());
    }
    decoder.decode(decode(message, false).unwrap(), at, out)
}

fn run(decoder: &mut Decoder, messages: Vec<Vec<u8>>) -> Vec<ChangeEvent> {
    let mut events = Vec::new();
    for message in messages {
        take(decoder, message, Lsn(140), &mut |event, _| events.push(event)).unwrap();
    }
    decoder.seal();
    events
}

#[test]
fn a_table_is_announced_before_its_first_row() {
    let mut decoder = decoder(streaming(100));
    let events = run(&mut decoder, vec![begin(150, 7), insert(1), insert(2), commit(150, 160)]);
    let codes: Vec<_> = events.iter().map(|event| event.operation().unwrap().code()).collect();
    assert_eq!(codes, [None, Some("c"), Some("c")]);
    assert_eq!(events[2].origin().index, 1);
    assert_eq!(events[2].after().unwrap().get(0), Some(ValueRef::Int32(2)));
    assert_eq!(events[2].key.as_row().unwrap().get(0), Some(ValueRef::Int32(2)));
    assert_eq!(decoder.position().end, Lsn(160));
    assert_eq!(decoder.position().inside, None);
}

#[test]
fn inside_a_transaction_only_what_is_not_done_comes() {
    let mut position = streaming(100);
    position.inside = Some(Point { lsn: Lsn(150), index: 1 });
    let mut decoder = decoder(position);
    let events = run(
        &mut decoder,
        vec![begin(120, 6), insert(3), commit(120, 130), begin(150, 7), insert(1), insert(2)],
    );
    assert_eq!(events.len(), 2, "the table and its second row");
    assert_eq!(events[1].origin().index, 1);
    assert_eq!(decoder.position().inside, Some(Point { lsn: Lsn(150), index: 2 }));
    assert_eq!(decoder.position().end, Lsn(100));
}

#[test]
fn a_change_that_a_read_has_shown_is_marked() {
    let mut position = streaming(100);
    position.reads =
        vec![Read { visible: "7:9:".parse().unwrap(), until: Lsn(155), tables: None, copy: 1 }];
    let mut decoder = decoder(position);
    let messages = [(150, 8), (170, 9)];
    let mut shown = Vec::new();
    for (lsn, xid) in messages {
        let events = run(&mut decoder, vec![begin(lsn, xid), insert(1), commit(lsn, lsn + 9)]);
        shown.push(events.last().unwrap().origin().shown_by_snapshot);
    }
    assert_eq!(shown, [true, false]);
    assert!(decoder.position().reads.is_empty(), "nothing shown can come any more");
}

/// `B0`, `E2`: begin and end with their place in the transaction; `0`, `1`: changes with theirs.
fn with_markers(position: Position, messages: Vec<Vec<u8>>) -> (Vec<String>, Decoder) {
    let mut decoder = decoder(position).with_markers(true);
    let events = run(&mut decoder, messages);
    let told = events.iter().filter(|event| event.operation() != Some(Operation::Table));
    let told = told.map(|event| match &event.value {
        Payload::Transaction(marker) => {
            let letter = if marker.status == TransactionStatus::Begin { "B" } else { "E" };
            assert_eq!(&*marker.id, "7:150");
            format!("{letter}{}", event.origin().index)
        }
        _ => event.origin().index.to_string(),
    });
    (told.collect(), decoder)
}

#[test]
fn begin_and_end_of_a_transaction_are_told_where_they_are_wanted() {
    let messages = || vec![begin(150, 7), insert(1), insert(2), commit(150, 160)];
    let (told, decoder) = with_markers(streaming(100), messages());
    assert_eq!(told, ["B0", "0", "1", "E2"]);
    assert_eq!(decoder.position().end, Lsn(160));
    let (told, _) = with_markers(streaming(100), vec![begin(150, 7), commit(150, 160)]);
    assert_eq!(told, ["B0", "E0"], "nothing of it is for us");
    let (told, _) = with_markers(streaming(160), messages());
    assert_eq!(told, [""; 0], "all of it was done before");
}

fn stopped_in(xid: u64, lsn: u64) -> Position {
    let offset = format!(r#"{{"messageType":"INSERT","lsn_commit":100,"lsn":{lsn},"txId":{xid}}}"#);
    Position::from_offset(&offset.parse().unwrap()).unwrap()
}

#[test]
fn what_a_debezium_connector_did_of_a_transaction_is_left_out() {
    let mut decoder = decoder(stopped_in(7, 141));
    let mut indexes = Vec::new();
    let messages = [
        (begin(150, 7), 140),
        (insert(1), 140),
        (insert(2), 141),
        (insert(3), 141),
        (insert(4), 142),
    ];
    for (message, at) in messages {
        let mut push = |event: ChangeEvent, _| {
            if event.operation() != Some(Operation::Table) {
                indexes.push(event.origin().index);
            }
        };
        take(&mut decoder, message, Lsn(at), &mut push).unwrap();
    }
    assert_eq!(indexes, [2, 3], "of two at one LSN the second may not be done");
    assert_eq!(decoder.position().inside, Some(Point { lsn: Lsn(150), index: 4 }));
    run(&mut decoder, vec![commit(150, 160), begin(170, 7), insert(1), commit(170, 180)]);
    assert_eq!(decoder.position().last.stopped_in, None, "another transaction is not meant");
}

#[test]
fn a_transaction_that_a_debezium_connector_stopped_in_is_told_from_its_beginning() {
    let (told, decoder) = with_markers(
        stopped_in(7, 140),
        vec![begin(150, 7), insert(1), insert(2), commit(150, 160)],
    );
    assert_eq!(told, ["B0", "0", "1", "E2"]);
    assert_eq!(decoder.position().end, Lsn(160));
}

#[test]
fn a_transaction_that_was_resumed_in_is_told_from_its_beginning() {
    let mut position = streaming(100);
    position.inside = Some(Point { lsn: Lsn(150), index: 1 });
    let (told, mut decoder) = with_markers(position, vec![begin(150, 7), insert(1)]);
    assert_eq!(told, ["B0", "0"]);
    let inside = Some(Point { lsn: Lsn(150), index: 1 });
    assert_eq!(decoder.position().inside, inside, "and the position does not go back");
    run(&mut decoder, vec![insert(2)]);
    assert_eq!(decoder.position().inside, Some(Point { lsn: Lsn(150), index: 2 }));
}

#[test]
fn what_contradicts_itself_is_an_error_and_no_panic() {
    for messages in [
        vec![insert(1)],
        vec![commit(1, 2)],
        vec![begin(150, 1), begin(151, 2)],
        vec![
            begin(150, 1),
            encode(&Message::Truncate(Truncate {
                xid: None,
                cascade: false,
                restart_identity: false,
                relation_ids: vec![1],
            }))
            .to_vec(),
        ],
    ] {
        let mut decoder = decoder(streaming(100));
        let failed = messages
            .into_iter()
            .any(|message| take(&mut decoder, message, Lsn(140), &mut |_, _| {}).is_err());
        assert!(failed);
    }
}
