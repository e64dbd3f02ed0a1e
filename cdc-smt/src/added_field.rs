//! Fields of an envelope by their names in Debezium's lists: `op`, `table`, `source.ts_ms:time`.

use std::sync::Arc;

use cdc_core::{DataType, Error, Field, Result, Row, Schema, Value, ValueType};

/// Names of the top of an envelope; others without a struct are the source's.
const OF_ENVELOPE: [&str; 5] = ["op", "ts_ms", "ts_us", "ts_ns", "source"];
const OF_TRANSACTION: [&str; 3] = ["id", "total_order", "data_collection_order"];

/// A field of an envelope under a new name.
#[derive(Debug, Clone)]
pub(crate) struct AddedField {
    part: Option<String>,
    field: String,
    name: Arc<str>,
}

/// Where a value stands in an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    top: usize,
    nested: Option<usize>,
}

impl AddedField {
    pub(crate) fn parse_all<'a>(
        prefix: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Self>> {
        let names = names.into_iter().map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| Self::parse(prefix, name)).collect()
    }

    fn parse(prefix: &str, text: &str) -> Result<Self> {
        let unexpected = || Error::configuration(format!("Unexpected field name: {text}"));
        let mut parts = text.split(':').map(str::trim);
        let path = parts.next().filter(|path| !path.is_empty()).ok_or_else(unexpected)?;
        let renamed = parts.next().filter(|name| !name.is_empty());
        if parts.next().is_some() {
            return Err(unexpected());
        }
        let mut steps = path.split('.');
        let first = steps.next().unwrap_or_default();
        let (part, field, own) = match steps.next() {
            Some(field) => (Some(first), field, format!("{first}_{field}")),
            None if OF_ENVELOPE.contains(&first) => (None, first, first.to_owned()),
            None if OF_TRANSACTION.contains(&first) => {
                (Some("transaction"), first, first.to_owned())
            }
            None => (Some("source"), first, first.to_owned()),
        };
        Ok(AddedField {
            part: part.map(str::to_owned),
            field: field.to_owned(),
            name: format!("{prefix}{}", renamed.unwrap_or(&own)).into(),
        })
    }

    /// The new name.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether it is `op`.
    pub(crate) fn is_operation(&self) -> bool {
        self.part.is_none() && self.field == "op"
    }

    /// Where it stands, and its type, which may be null; `None` where there is no such field.
    pub(crate) fn find(&self, envelope: &Schema) -> Result<Option<(Path, ValueType)>> {
        let optional = |field: &Field| {
            let mut value_type = field.value_type.clone();
            value_type.optional = true;
            value_type.default = None;
            value_type
        };
        let Some(part) = &self.part else {
            return Ok(envelope.index_of(&self.field).and_then(|top| {
                envelope.field(top).map(|field| (Path { top, nested: None }, optional(field)))
            }));
        };
        let unknown = || Error::data(format!("Unknown field: {part}"));
        let top = envelope.index_of(part).ok_or_else(unknown)?;
        match envelope.field(top).map(Field::data_type) {
            Some(DataType::Struct(schema)) => Ok(schema.index_of(&self.field).and_then(|nested| {
                let path = Path { top, nested: Some(nested) };
                schema.field(nested).map(|field| (path, optional(field)))
            })),
            _ => Err(unknown()),
        }
    }
}

impl Path {
    /// The value in an envelope; null where the struct around it is.
    pub(crate) fn value(self, envelope: &Row) -> Value {
        match (envelope.value(self.top), self.nested) {
            (Some(Value::Struct(row)), Some(nested)) => row.value(nested).unwrap_or_default(),
            (Some(value), None) => value,
            _ => Value::Null,
        }
    }
}
