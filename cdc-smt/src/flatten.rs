//! `Flatten`: fields of nested structs as fields of the whole.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, DataType, Error, Field, Properties, Result, Row, Schema, Value};

use crate::Side;
use crate::content::{Content, java_class, or_default};
use crate::derive::with_fields;
use crate::field_path::put;
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;

/// Makes the fields of nested structs, or of nested maps where there is no schema, fields of the whole, their names joined
/// (`org.apache.kafka.connect.transforms.Flatten`).
///
/// Option: `delimiter` (`.`), which stands between the names. Arrays stay what they are; maps under a schema are an
/// error. What stands in an optional struct becomes optional, and a null that has a default becomes it.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{Flatten, HoistField, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let (mut nested, mut out) = (Vec::new(), Vec::new());
/// HoistField::new(Side::Value, "order").apply(event, &mut nested)?;
/// Flatten::new(Side::Value, "_").apply(nested.remove(0), &mut out)?;
/// assert!(out[0].value.as_row().and_then(|row| row.by_name("order_id")).is_some());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Flatten {
    place: Place,
    delimiter: String,
    schemas: SchemaCache<Arc<Schema>>,
}

one_side!(Flatten, "Flatten");

impl Flatten {
    /// Flattens keys or values with this between the names.
    pub fn new(side: Side, delimiter: impl Into<String>) -> Self {
        Flatten {
            place: Place::new(side),
            delimiter: delimiter.into(),
            schemas: SchemaCache::default(),
        }
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        Ok(Self::new(side, properties.string("delimiter", ".")).profile(profile))
    }

    fn name(&self, prefix: &str, name: &str) -> String {
        if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}{}{name}", self.delimiter)
        }
    }

    fn schema(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        let mut schemas = std::mem::take(&mut self.schemas);
        let flat = schemas.get(schema.id(), || {
            let mut fields = Vec::new();
            self.fields(schema, "", schema.is_optional(), None, &mut fields)?;
            let flat = with_fields(schema, fields, |name| Some(name.into()))?;
            flat.to_builder().optional(false).build()
        });
        self.schemas = schemas;
        flat
    }

    fn fields(
        &self,
        schema: &Schema,
        prefix: &str,
        optional: bool,
        default: Option<&Row>,
        out: &mut Vec<Field>,
    ) -> Result<()> {
        for (index, field) in schema.fields().iter().enumerate() {
            let name = self.name(prefix, &field.name);
            let of_parent = default.and_then(|row| row.value(index)).filter(|v| !v.is_null());
            let default = field.value_type.default.clone().or(of_parent);
            let optional = optional || field.value_type.optional;
            match field.data_type() {
                DataType::Struct(nested) => {
                    let default = match &default {
                        Some(Value::Struct(row)) => Some(row),
                        _ => None,
                    };
                    self.fields(nested, &name, optional, default, out)?;
                }
                DataType::Map(_) => {
                    return Err(Error::data(format!(
                        "Flatten transformation does not support MAP for record with schemas (for field {name})."
                    )));
                }
                _ => {
                    let mut flat = field.clone();
                    flat.name = name.into();
                    flat.value_type.optional = optional;
                    flat.value_type.default = default;
                    out.push(flat);
                }
            }
        }
        Ok(())
    }

    fn entries(
        &self,
        entries: &[(Value, Value)],
        prefix: &str,
        out: &mut Vec<(Value, Value)>,
    ) -> Result<()> {
        for (key, value) in entries {
            let name = match key {
                Value::Text(key) => self.name(prefix, key),
                key => self.name(prefix, &format!("{key:?}")),
            };
            match value {
                Value::Map(entries) => self.entries(entries, &name, out)?,
                Value::Timestamp(_) | Value::Date(_) | Value::Time(_) | Value::Decimal(_) => {
                    return Err(Error::data(format!(
                        "Flatten transformation was passed a value of type class {} which is not supported by Connect's data API",
                        java_class(None, value, &self.place.profile)
                    )));
                }
                value => put(out, &name, value.clone()),
            }
        }
        Ok(())
    }
}

/// Appends the values in the order of the flat fields.
fn values(schema: &Schema, row: Option<&Row>, out: &mut Vec<Value>) {
    for (index, field) in schema.fields().iter().enumerate() {
        let value = row.and_then(|row| row.value(index)).unwrap_or_default();
        match field.data_type() {
            DataType::Struct(nested) => match value {
                Value::Struct(row) => values(nested, Some(&row), out),
                _ => values(nested, None, out),
            },
            _ if row.is_none() => out.push(Value::Null),
            _ => out.push(or_default(value, &field.value_type, true)),
        }
    }
}

impl OneSide for Flatten {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        match content {
            content if content.is_null() => Ok(content),
            Content::Schemaless(_) => {
                let entries = content.require_map("flattening", &self.place.profile)?;
                let mut out = Vec::with_capacity(entries.len());
                self.entries(&entries, "", &mut out)?;
                Ok(Content::Schemaless(Value::Map(out.into())))
            }
            content => {
                let row = content.require_struct("flattening", &self.place.profile)?;
                let schema = self.schema(row.schema())?;
                let mut out = Vec::with_capacity(schema.fields().len());
                values(row.schema(), Some(&row), &mut out);
                Row::new(schema, out).map(Content::Struct)
            }
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        self.schema(schema)
    }
}
