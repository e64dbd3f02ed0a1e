//! Schemas of Debezium's own structs, written out: types that no handling mode changes.

use std::sync::Arc;

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::error::Result;
use crate::schema::{Field, Schema};

use super::schema::no_attributes;

/// A field that is required.
pub(crate) fn required(name: &str, data_type: DataType) -> Field {
    field(name, data_type, false)
}

/// A field that may be null.
pub(crate) fn optional(name: &str, data_type: DataType) -> Field {
    field(name, data_type, true)
}

fn field(name: &str, data_type: DataType, optional: bool) -> Field {
    let connect = match &data_type {
        DataType::Struct(schema) => schema.connect().cloned(),
        _ => None,
    };
    let connect = Some(connect.unwrap_or_else(no_attributes));
    Field::new(name, ValueType { data_type, optional, default: None, connect })
}

/// A struct with a name and a version.
pub(crate) fn named_struct(
    name: &str,
    version: Option<i32>,
    optional: bool,
    fields: Vec<Field>,
) -> Result<Arc<Schema>> {
    Schema::builder()
        .fields(fields)
        .optional(optional)
        .connect(ConnectAttributes {
            name: Some(name.into()),
            version,
            ..ConnectAttributes::default()
        })
        .build()
}
