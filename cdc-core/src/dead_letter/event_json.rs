//! Events and where they came from as JSON without loss.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value as Json, json};

use super::schema_json::{
    SchemaCache, SchemaTable, optional, table_from_json, table_to_json, type_from_json,
    type_to_json,
};
use super::value_json::{
    base64_text, bytes_from_json, damaged, integer, item, list, row_from_json, row_to_json,
    schema_at, value_from_json, value_to_json,
};
use crate::error::Result;
use crate::event::{
    Change, ChangeEvent, Destination, Header, LogicalMessage, Operation, Payload, RecordKeys,
    TransactionMarker, TransactionPlace, TransactionStatus,
};
use crate::origin::{Origin, ReplicationOrigin, SnapshotMark, TransactionId, TransactionOrigin};
use crate::row::Row;
use crate::schema::Schema;

/// Adds `origin`, `schemas` and `event` to a letter.
pub(super) fn event_to_json(event: &ChangeEvent, line: &mut Map<String, Json>) -> Result<()> {
    let mut schemas = SchemaTable::default();
    let key = payload_to_json(&event.key, &mut schemas)?;
    let value = payload_to_json(&event.value, &mut schemas)?;
    let header = |header: &Header| {
        let schema = header.schema.as_deref().map(type_to_json).transpose()?;
        let value = value_to_json(&header.value, &mut schemas)?;
        Ok(json!({"name": &*header.name, "schema": schema, "value": value}))
    };
    let headers: Vec<Json> = event.headers.iter().map(header).collect::<Result<_>>()?;
    let event_json = json!({
        "destination": event.destination.as_str(),
        "table": event.destination.table().map(table_to_json),
        "key": key,
        "value": value,
        "headers": headers,
        "partition": event.partition,
        "timestamp_ms": event.timestamp_ms,
    });
    line.insert("origin".into(), origin_to_json(event.origin()));
    line.insert("event".into(), event_json);
    line.insert("schemas".into(), schemas.into_json());
    Ok(())
}

pub(super) fn event_from_json(line: &Json, cache: &mut SchemaCache) -> Result<ChangeEvent> {
    let part = |name: &str| line.get(name).ok_or_else(|| damaged(name));
    let schemas = cache.read(part("schemas")?)?;
    let json = part("event")?;
    let origin = origin_from_json(part("origin")?)?;
    let name = text(json, "destination")?;
    let destination = match member(json, "table") {
        Json::Null => Destination::named(name),
        table => Destination::of_topic(name, &table_from_json(table)?),
    };
    let key = payload_from_json(member(json, "key"), &schemas)?;
    let value = payload_from_json(member(json, "value"), &schemas)?;
    let mut event = ChangeEvent::new(destination, key, value, origin);
    for header in list(member(json, "headers"), "headers")? {
        let schema = match member(header, "schema") {
            Json::Null => None,
            schema => Some(Arc::new(type_from_json(schema)?)),
        };
        let value = value_from_json(member(header, "value"), &schemas)?;
        event.headers.push(Header { name: text(header, "name")?.into(), schema, value });
    }
    event.partition = optional(member(json, "partition"), "partition")?;
    event.timestamp_ms = optional(member(json, "timestamp_ms"), "timestamp_ms")?;
    Ok(event)
}

fn payload_to_json(payload: &Payload, schemas: &mut SchemaTable) -> Result<Json> {
    Ok(match payload {
        Payload::Absent => Json::Null,
        Payload::Change(change) => json!({"change": change_to_json(change, schemas)?}),
        Payload::Value { schema, value } => {
            let schema = schema.as_deref().map(type_to_json).transpose()?;
            json!({"value": {"schema": schema, "value": value_to_json(value, schemas)?}})
        }
        Payload::Transaction(marker) => json!({"transaction": marker_to_json(marker)}),
        Payload::Message(message) => json!({"message": {
            "prefix": message.prefix.as_str(),
            "content": base64_text(&message.content),
            "transactional": message.transactional,
            "transaction": place_to_json(message.transaction),
        }}),
    })
}

fn payload_from_json(json: &Json, schemas: &[Arc<Schema>]) -> Result<Payload> {
    if json.is_null() {
        return Ok(Payload::Absent);
    }
    if let Some(change) = json.get("change") {
        return change_from_json(change, schemas).map(Payload::Change);
    }
    if let Some(value) = json.get("value") {
        let schema = match member(value, "schema") {
            Json::Null => None,
            schema => Some(Arc::new(type_from_json(schema)?)),
        };
        let value = value_from_json(member(value, "value"), schemas)?;
        return Ok(Payload::Value { schema, value });
    }
    if let Some(marker) = json.get("transaction") {
        return marker_from_json(marker).map(Payload::Transaction);
    }
    let message = json.get("message").ok_or_else(|| damaged("payload"))?;
    Ok(Payload::Message(LogicalMessage {
        prefix: text(message, "prefix")?.into(),
        content: bytes_from_json(member(message, "content"))?,
        transactional: member(message, "transactional").as_bool().unwrap_or(false),
        transaction: place_from_json(member(message, "transaction"))?,
    }))
}

fn change_to_json(change: &Change, schemas: &mut SchemaTable) -> Result<Json> {
    let schema = schemas.number(&change.schema)?;
    let mut row = |row: Option<&Row>| row.map(|row| row_to_json(row, schemas)).transpose();
    let keys = match &change.record_keys {
        Some(keys) => Some(json!({"old": row(keys.old.as_ref())?, "new": row(Some(&keys.new))?})),
        None => None,
    };
    Ok(json!({
        "op": operation_name(change.operation),
        "schema": schema,
        "before": row(change.before.as_ref())?,
        "after": row(change.after.as_ref())?,
        "transaction": place_to_json(change.transaction),
        "record_keys": keys,
    }))
}

fn change_from_json(json: &Json, schemas: &[Arc<Schema>]) -> Result<Change> {
    let row = |json: &Json| match json {
        Json::Null => Ok(None),
        row => row_from_json(row, schemas).map(Some),
    };
    let operations = [
        Operation::Read,
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::Truncate,
        Operation::Table,
    ];
    let operation = operations.into_iter().find(|op| *member(json, "op") == operation_name(*op));
    let record_keys = match member(json, "record_keys") {
        Json::Null => None,
        keys => Some(Arc::new(RecordKeys {
            old: row(member(keys, "old"))?,
            new: row_from_json(member(keys, "new"), schemas)?,
        })),
    };
    Ok(Change {
        operation: operation.ok_or_else(|| damaged("op"))?,
        schema: schema_at(json, schemas)?,
        before: row(member(json, "before"))?,
        after: row(member(json, "after"))?,
        transaction: place_from_json(member(json, "transaction"))?,
        record_keys,
    })
}

/// Debezium's letter; a table that announces itself has a word.
fn operation_name(operation: Operation) -> &'static str {
    operation.code().unwrap_or("table")
}

fn place_to_json(place: Option<TransactionPlace>) -> Option<[u64; 2]> {
    place.map(|place| [place.total_order, place.collection_order])
}

fn place_from_json(json: &Json) -> Result<Option<TransactionPlace>> {
    if json.is_null() {
        return Ok(None);
    }
    let part = |index| integer(item(json, index), "transaction");
    Ok(Some(TransactionPlace { total_order: part(0)?, collection_order: part(1)? }))
}

fn marker_to_json(marker: &TransactionMarker) -> Json {
    let tables: Vec<Json> =
        marker.tables.iter().map(|(table, count)| json!([table_to_json(table), count])).collect();
    json!({
        "end": marker.status == TransactionStatus::End,
        "id": &*marker.id,
        "event_count": marker.event_count,
        "tables": tables,
    })
}

fn marker_from_json(json: &Json) -> Result<TransactionMarker> {
    let table = |entry: &Json| {
        let table = Arc::new(table_from_json(item(entry, 0))?);
        Ok((table, integer(item(entry, 1), "tables")?))
    };
    let end = member(json, "end").as_bool().ok_or_else(|| damaged("end"))?;
    Ok(TransactionMarker {
        status: if end { TransactionStatus::End } else { TransactionStatus::Begin },
        id: text(json, "id")?.into(),
        event_count: optional(member(json, "event_count"), "event_count")?,
        tables: list(member(json, "tables"), "tables")?.iter().map(table).collect::<Result<_>>()?,
    })
}

const MARKS: [(SnapshotMark, &str); 7] = [
    (SnapshotMark::No, "no"),
    (SnapshotMark::First, "first"),
    (SnapshotMark::FirstInTable, "first_in_table"),
    (SnapshotMark::Row, "row"),
    (SnapshotMark::LastInTable, "last_in_table"),
    (SnapshotMark::Last, "last"),
    (SnapshotMark::Incremental, "incremental"),
];

fn origin_to_json(origin: &Origin) -> Json {
    let transaction = &origin.transaction;
    let mark = MARKS.iter().find(|(mark, _)| *mark == origin.snapshot).map(|(_, name)| *name);
    let replicated = transaction
        .replicated_from
        .as_ref()
        .map(|replicated| json!({"name": &*replicated.name, "position": replicated.position}));
    json!({
        "connector": transaction.connector,
        "database": &*transaction.database,
        "table": origin.table.as_deref().map(table_to_json),
        "position": transaction.position,
        "index": origin.index,
        "log_position": origin.log_position,
        "xid": match &transaction.id { Some(TransactionId::Xid(xid)) => Some(xid), _ => None },
        "gtid": match &transaction.id { Some(TransactionId::Gtid(gtid)) => Some(&**gtid), _ => None },
        "commit_time_us": transaction.commit_time_us,
        "previous_commit": transaction.previous_commit,
        "replicated_from": replicated,
        "snapshot": mark,
        "shown_by_snapshot": origin.shown_by_snapshot,
    })
}

fn origin_from_json(json: &Json) -> Result<Origin> {
    let id = match (member(json, "xid"), member(json, "gtid")) {
        (Json::Null, Json::Null) => None,
        (Json::Null, gtid) => {
            Some(TransactionId::Gtid(gtid.as_str().ok_or_else(|| damaged("gtid"))?.into()))
        }
        (xid, _) => Some(TransactionId::Xid(integer(xid, "xid")?)),
    };
    let replicated_from = match member(json, "replicated_from") {
        Json::Null => None,
        replicated => Some(ReplicationOrigin {
            name: text(replicated, "name")?.into(),
            position: integer(member(replicated, "position"), "position")?,
        }),
    };
    let position = member(json, "position");
    let position =
        [integer(item(position, 0), "position")?, integer(item(position, 1), "position")?];
    let mark = MARKS.iter().find(|(_, name)| *member(json, "snapshot") == *name);
    let table = match member(json, "table") {
        Json::Null => None,
        table => Some(Arc::new(table_from_json(table)?)),
    };
    Ok(Origin {
        transaction: Arc::new(TransactionOrigin {
            connector: interned(text(json, "connector")?),
            database: text(json, "database")?.into(),
            id,
            commit_time_us: optional(member(json, "commit_time_us"), "commit_time_us")?,
            position,
            previous_commit: optional(member(json, "previous_commit"), "previous_commit")?,
            replicated_from,
        }),
        index: integer(member(json, "index"), "index")?,
        log_position: integer(member(json, "log_position"), "log_position")?,
        table,
        snapshot: mark.ok_or_else(|| damaged("snapshot"))?.0,
        shown_by_snapshot: member(json, "shown_by_snapshot").as_bool().unwrap_or(false),
        batch: 0,
        place: 0,
    })
}

/// The name of a connector for as long as the process lives; there are a handful.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    if let Some(known) =
        ["", "postgresql", "mysql", "mariadb"].into_iter().find(|known| *known == name)
    {
        return known;
    }
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.into());
            names.insert(kept);
            kept
        }
    }
}

fn member<'a>(json: &'a Json, name: &str) -> &'a Json {
    json.get(name).unwrap_or(&Json::Null)
}

fn text<'a>(json: &'a Json, name: &str) -> Result<&'a str> {
    member(json, name).as_str().ok_or_else(|| damaged(name))
}
