//! Logical messages (`pg_logical_emit_message`) and heartbeats as Debezium's records.

use std::sync::{Arc, OnceLock};

use crate::data_type::DataType;
use crate::error::Result;
use crate::event::{LogicalMessage, Payload};
use crate::origin::Origin;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::Value;

use super::envelope::Processed;
use super::profile::Modes;
use super::source_block::{self, SourceBlock};
use super::transaction;
use super::verbatim::{named_struct, optional, required};

/// Key and value of the record of a logical message.
pub(crate) fn message(
    message: &LogicalMessage,
    origin: &Origin,
    modes: &Modes,
    processed: Processed,
) -> Result<(Payload, Payload)> {
    static SCHEMAS: OnceLock<[Arc<Schema>; 3]> = OnceLock::new();
    let [key, value, content] = match SCHEMAS.get() {
        Some(schemas) => schemas,
        None => {
            let schemas = message_schemas()?;
            SCHEMAS.get_or_init(|| schemas)
        }
    };
    let prefix = Value::Text(message.prefix.clone());
    let inner = vec![prefix.clone(), Value::Bytes(message.content.clone())];
    let values = vec![
        Value::text("m"),
        Value::Int64(processed.millis()),
        Value::Struct(SourceBlock::new(origin, modes)?.to_row()?),
        transaction::block(message.transaction, &origin.transaction)?,
        Value::Struct(Row::new(Arc::clone(content), inner)?),
    ];
    Ok((
        Payload::row(Row::new(Arc::clone(key), vec![prefix])?),
        Payload::row(Row::new(Arc::clone(value), values)?),
    ))
}

fn message_schemas() -> Result<[Arc<Schema>; 3]> {
    const PACKAGE: &str = "io.debezium.connector.postgresql";
    let content = named_struct(
        &format!("{PACKAGE}.Message"),
        Some(1),
        false,
        vec![optional("prefix", DataType::TEXT), optional("content", DataType::BYTES)],
    )?;
    let key = named_struct(
        &format!("{PACKAGE}.MessageKey"),
        Some(1),
        false,
        vec![optional("prefix", DataType::TEXT)],
    )?;
    let value = named_struct(
        &format!("{PACKAGE}.MessageValue"),
        Some(1),
        false,
        vec![
            required("op", DataType::TEXT),
            optional("ts_ms", DataType::Int64),
            required("source", DataType::Struct(source_block::schema()?)),
            optional("transaction", DataType::Struct(transaction::block_schema()?)),
            required("message", DataType::Struct(Arc::clone(&content))),
        ],
    )?;
    Ok([key, value, content])
}

/// Key and value of a heartbeat: the name of the server and the time in milliseconds.
///
/// # Errors
/// None in practice: the schemas are fixed.
pub fn heartbeat(server_name: &str, now_ms: i64) -> Result<(Payload, Payload)> {
    static SCHEMAS: OnceLock<[Arc<Schema>; 2]> = OnceLock::new();
    const PACKAGE: &str = "io.debezium.connector.common";
    let [key, value] = match SCHEMAS.get() {
        Some(schemas) => schemas,
        None => {
            let key = format!("{PACKAGE}.ServerNameKey");
            let value = format!("{PACKAGE}.Heartbeat");
            let schemas = [
                named_struct(&key, Some(1), false, vec![required("serverName", DataType::TEXT)])?,
                named_struct(&value, Some(1), false, vec![required("ts_ms", DataType::Int64)])?,
            ];
            SCHEMAS.get_or_init(|| schemas)
        }
    };
    Ok((
        Payload::row(Row::new(Arc::clone(key), vec![Value::text(server_name)])?),
        Payload::row(Row::new(Arc::clone(value), vec![Value::Int64(now_ms)])?),
    ))
}
