//! Schemas made from other schemas.

use std::collections::HashSet;
use std::sync::Arc;

use cdc_core::{
    ConnectAttributes, DataType, Error, Field, Result, Schema, SchemaBuilder, ValueType,
};

/// Makes the schema, with Connect's words for two fields of one name.
pub(crate) fn build(mut builder: SchemaBuilder) -> Result<Arc<Schema>> {
    check_names(builder.fields_mut())?;
    builder.build()
}

fn check_names(fields: &[Field]) -> Result<()> {
    let mut seen = HashSet::with_capacity(fields.len());
    match fields.iter().find(|field| !seen.insert(&*field.name)) {
        Some(field) => Err(Error::data(format!(
            "Cannot create field because of field name duplication {}",
            field.name
        ))),
        None => Ok(()),
    }
}

/// The schema with other fields. `key` gives the names of the key's columns after the change; a key that lost a
/// column is none.
pub(crate) fn with_fields(
    schema: &Schema,
    fields: Vec<Field>,
    key: impl Fn(&str) -> Option<Arc<str>>,
) -> Result<Arc<Schema>> {
    check_names(&fields)?;
    let names: Option<Vec<Arc<str>>> = schema
        .key()
        .iter()
        .map(|&index| schema.field(index).and_then(|field| key(&field.name)))
        .collect();
    let mut builder = schema.to_builder();
    *builder.fields_mut() = fields;
    builder.key(names.unwrap_or_default()).build()
}

/// The schema with fields added after its own.
pub(crate) fn with_added(
    schema: &Schema,
    added: impl IntoIterator<Item = Field>,
) -> Result<Arc<Schema>> {
    build(schema.to_builder().fields(added))
}

/// A type of Connect without a name, whatever the handling modes say.
pub(crate) fn plain(data_type: DataType, optional: bool) -> ValueType {
    ValueType {
        data_type,
        optional,
        default: None,
        connect: Some(Arc::new(ConnectAttributes::default())),
    }
}

/// A type of Connect with a name and version 1.
pub(crate) fn named(data_type: DataType, optional: bool, name: &str) -> ValueType {
    let mut value_type = plain(data_type, optional);
    value_type.connect = Some(Arc::new(ConnectAttributes {
        name: Some(name.into()),
        version: Some(1),
        ..ConnectAttributes::default()
    }));
    value_type
}
