//! Transaction metadata: the block in a change and the records of the transaction topic.

use std::sync::{Arc, OnceLock};

use crate::data_type::{DataType, ValueType};
use crate::error::Result;
use crate::event::{Payload, TransactionMarker, TransactionPlace, TransactionStatus};
use crate::origin::{TransactionId, TransactionOrigin};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::{Array, Value};

use super::java_numbers::write_u64;
use super::json::write_string;
use super::verbatim::{named_struct, optional, required};

/// The id of a transaction in Debezium's form, `<xid>:<LSN>`.
///
/// Debezium takes the LSN of the event at hand, so that the events of a transaction have different ids; here it is
/// that of the commit, the same from BEGIN to END.
pub fn transaction_id(origin: &TransactionOrigin) -> String {
    match &origin.id {
        Some(TransactionId::Xid(xid)) => format!("{xid}:{}", origin.position[0]),
        Some(TransactionId::Gtid(gtid)) => gtid.to_string(),
        None => origin.position[0].to_string(),
    }
}

/// The schema of the block in a change.
pub(crate) fn block_schema() -> Result<Arc<Schema>> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    if let Some(schema) = SCHEMA.get() {
        return Ok(Arc::clone(schema));
    }
    let schema = named_struct(
        "event.block",
        Some(1),
        true,
        vec![
            required("id", DataType::TEXT),
            required("total_order", DataType::Int64),
            required("data_collection_order", DataType::Int64),
        ],
    )?;
    Ok(Arc::clone(SCHEMA.get_or_init(|| schema)))
}

/// Appends the block of a change as JSON.
pub(crate) fn write_block(place: TransactionPlace, origin: &TransactionOrigin, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    write_string(&transaction_id(origin), out);
    out.extend_from_slice(b",\"total_order\":");
    write_u64(place.total_order, out);
    out.extend_from_slice(b",\"data_collection_order\":");
    write_u64(place.collection_order, out);
    out.push(b'}');
}

/// The block of a change as a struct, null without metadata.
pub(crate) fn block(place: Option<TransactionPlace>, origin: &TransactionOrigin) -> Result<Value> {
    let Some(place) = place else { return Ok(Value::Null) };
    let values = vec![
        Value::text(transaction_id(origin)),
        count(place.total_order),
        count(place.collection_order),
    ];
    Row::new(block_schema()?, values).map(Value::Struct)
}

fn count(number: u64) -> Value {
    Value::Int64(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Key and value of a record of the transaction topic.
pub(crate) fn marker(marker: &TransactionMarker, commit_us: i64) -> Result<(Payload, Payload)> {
    static SCHEMAS: OnceLock<[Arc<Schema>; 3]> = OnceLock::new();
    let [key, value, collection] = match SCHEMAS.get() {
        Some(schemas) => schemas,
        None => {
            let schemas = marker_schemas()?;
            SCHEMAS.get_or_init(|| schemas)
        }
    };
    let collections = marker
        .tables
        .iter()
        .map(|(table, events)| {
            // Logical messages belong to no schema.
            let name = match &*table.schema {
                "" => table.table.to_string(),
                _ => table.to_string(),
            };
            let values = vec![Value::text(name), count(*events)];
            Row::new(Arc::clone(collection), values).map(Value::Struct)
        })
        .collect::<Result<Vec<_>>>()?;
    let ended = marker.status == TransactionStatus::End;
    let values = vec![
        Value::text(if ended { "END" } else { "BEGIN" }),
        Value::text(&*marker.id),
        marker.event_count.map_or(Value::Null, count),
        if ended { Value::Array(Arc::new(Array::new(collections))) } else { Value::Null },
        Value::Int64(commit_us.div_euclid(1_000)),
    ];
    Ok((
        Payload::row(Row::new(Arc::clone(key), vec![Value::text(&*marker.id)])?),
        Payload::row(Row::new(Arc::clone(value), values)?),
    ))
}

fn marker_schemas() -> Result<[Arc<Schema>; 3]> {
    const PACKAGE: &str = "io.debezium.connector.common";
    let collection = named_struct(
        "event.collection",
        Some(1),
        false,
        vec![required("data_collection", DataType::TEXT), required("event_count", DataType::Int64)],
    )?;
    let element = ValueType {
        data_type: DataType::Struct(Arc::clone(&collection)),
        optional: false,
        default: None,
        connect: collection.connect().cloned(),
    };
    let key = named_struct(
        &format!("{PACKAGE}.TransactionMetadataKey"),
        Some(1),
        false,
        vec![required("id", DataType::TEXT)],
    )?;
    let value = named_struct(
        &format!("{PACKAGE}.TransactionMetadataValue"),
        Some(1),
        false,
        vec![
            required("status", DataType::TEXT),
            required("id", DataType::TEXT),
            optional("event_count", DataType::Int64),
            optional("data_collections", DataType::Array(Arc::new(element))),
            required("ts_ms", DataType::Int64),
        ],
    )?;
    Ok([key, value, collection])
}
