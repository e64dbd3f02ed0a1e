//! `VectorToJsonConverter`: vectors as JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, JavaValue};
use cdc_core::{
    ChangeEvent, DataType, Payload, Properties, Result, Row, Schema, Transform, Value, ValueRef,
    ValueType,
};

use crate::Side;
use crate::content::Content;
use crate::derive::named;
use crate::java_numbers::to_i64;
use crate::schema_cache::SchemaCache;

/// Writes Debezium's vectors as JSON texts (`io.debezium.transforms.VectorToJsonConverter`).
///
/// It has no options. `[1.0, 2.5]` becomes `{ "values": [1.0, 2.5] }`, a sparse vector
/// `{ "dimensions": 25, "vector": { "1": 2.0 } }`. NULLs stay NULL.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::VectorToJsonConverter;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// VectorToJsonConverter::new().apply(event, &mut out)?;
/// assert_eq!(out.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct VectorToJsonConverter {
    profile: ConnectProfile,
    schemas: SchemaCache<Option<Arc<Schema>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Vector {
    Dense,
    Sparse,
}

fn vector(value_type: &ValueType) -> Option<Vector> {
    match value_type.connect.as_ref()?.name.as_deref()? {
        "io.debezium.data.DoubleVector" | "io.debezium.data.FloatVector" => Some(Vector::Dense),
        "io.debezium.data.SparseDoubleVector" => Some(Vector::Sparse),
        _ => None,
    }
}

/// The schema with JSON for vectors; `None` where it has none.
fn converted(schema: &Schema) -> Result<Option<Arc<Schema>>> {
    let mut builder = schema.to_builder();
    let mut changed = false;
    for field in builder.fields_mut() {
        if vector(&field.value_type).is_some() {
            let optional = field.value_type.optional;
            field.value_type = named(DataType::TEXT, optional, "io.debezium.data.Json");
            changed = true;
        } else if let DataType::Struct(nested) = &field.value_type.data_type
            && let Some(nested) = converted(nested)?
        {
            field.value_type.data_type = DataType::Struct(nested);
            field.value_type.default = None;
            changed = true;
        }
    }
    match changed {
        true => builder.build().map(Some),
        false => Ok(None),
    }
}

fn number(value: &ValueRef<'_>, out: &mut String) {
    if let Ok(text) = JavaValue::of(None, value).and_then(|value| value.to_text()) {
        out.push_str(&text);
    }
}

fn dense(values: &[Value]) -> String {
    let mut out = "{ \"values\": [".to_owned();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        number(&value.as_ref(), &mut out);
    }
    out.push_str("] }");
    out
}

fn sparse(row: &Row) -> String {
    let mut out = "{ \"dimensions\": ".to_owned();
    if let Some(dimensions) = row.by_name("dimensions") {
        number(&dimensions, &mut out);
    }
    out.push_str(", \"vector\": { ");
    if let Some(ValueRef::Map(entries)) = row.by_name("vector") {
        let mut entries: Vec<&(Value, Value)> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| to_i64(key));
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            let mut name = String::new();
            number(&key.as_ref(), &mut name);
            let _ = write!(out, "\"{name}\": ");
            number(&value.as_ref(), &mut out);
        }
    }
    out.push_str(" } }");
    out
}

fn converted_row(row: &Row, schema: &Arc<Schema>) -> Result<Row> {
    let fields = row.schema().fields().iter().zip(schema.fields()).enumerate();
    let values = fields.map(|(index, (old, new))| {
        let value = row.value(index).unwrap_or_default();
        Ok(match (vector(&old.value_type), value, new.data_type()) {
            (Some(Vector::Dense), Value::Array(array), _) => Value::text(dense(&array.values)),
            (Some(Vector::Sparse), Value::Struct(row), _) => Value::text(sparse(&row)),
            (None, Value::Struct(nested), DataType::Struct(schema)) => {
                Value::Struct(converted_row(&nested, schema)?)
            }
            (_, value, _) => value,
        })
    });
    Row::new(Arc::clone(schema), values.collect::<Result<_>>()?)
}

impl VectorToJsonConverter {
    /// The transform.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transform by Debezium's options, of which there are none.
    ///
    /// # Errors
    /// None.
    pub fn from_properties(_: &Properties, profile: &ConnectProfile) -> Result<Self> {
        Ok(VectorToJsonConverter { profile: profile.clone(), ..Self::default() })
    }
}

impl Transform for VectorToJsonConverter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if let Payload::Change(change) = &mut event.value {
            let schema = self.schemas.get(change.schema.id(), || converted(&change.schema))?;
            if let Some(schema) = schema {
                for row in [&mut change.before, &mut change.after].into_iter().flatten() {
                    *row = converted_row(row, &schema)?;
                }
                change.schema = schema;
            }
            out.push(event);
            return Ok(());
        }
        let content = Content::take(&mut event, Side::Value, &self.profile)?;
        if content.is_null() {
            content.put(&mut event, Side::Value);
            out.push(event);
            return Ok(());
        }
        let mut row = content.require_struct("Value should be a struct", &self.profile)?;
        let schema = self.schemas.get(row.schema().id(), || converted(row.schema()))?;
        if let Some(schema) = schema {
            row = converted_row(&row, &schema)?;
        }
        Content::Struct(row).put(&mut event, Side::Value);
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "VectorToJsonConverter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
