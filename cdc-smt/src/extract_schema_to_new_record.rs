//! `ExtractSchemaToNewRecord`: the table's columns as a field of each change.

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, NameAdjustment};
use cdc_core::value::Array;
use cdc_core::{
    ChangeEvent, ConnectAttributes, DataType, Error, Field, Operation, Payload, Properties, Result,
    Row, Schema, TableMapping, Transform, Value, ValueRef,
};

use crate::Side;
use crate::content::{Content, struct_type};
use crate::derive::{plain, with_added};
use crate::envelope::Envelope;
use crate::schema_cache::SchemaCache;

/// Adds a field `sourceSchema` with the table's columns in the words of their source to each change
/// (`io.debezium.transforms.ExtractSchemaToNewRecord`).
///
/// Option: `schema.name.adjustment.mode` (`none`). The columns' types are those of `column.propagate.source.type`, which must be
/// set to `.*`. A change becomes its envelope; tables are made at their first row.
///
/// ```
/// use cdc_smt::ExtractSchemaToNewRecord;
///
/// let extract = ExtractSchemaToNewRecord::new();
/// # let _ = extract;
/// ```
#[derive(Debug, Clone)]
pub struct ExtractSchemaToNewRecord {
    profile: ConnectProfile,
    names: NameAdjustment,
    schemas: SchemaCache<(Arc<Schema>, Value)>,
}

impl Default for ExtractSchemaToNewRecord {
    fn default() -> Self {
        Self::new()
    }
}

impl ExtractSchemaToNewRecord {
    /// The transform with Debezium's defaults.
    pub fn new() -> Self {
        ExtractSchemaToNewRecord {
            profile: ConnectProfile::default(),
            names: NameAdjustment::None,
            schemas: SchemaCache::default(),
        }
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a mode that does not exist.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let name = "schema.name.adjustment.mode";
        let names = NameAdjustment::parse(name, &properties.string(name, "none"))?;
        Ok(ExtractSchemaToNewRecord { profile: profile.clone(), names, ..Self::new() })
    }

    fn named(&self, name: &str, fields: Vec<Field>) -> Result<Arc<Schema>> {
        Schema::builder()
            .fields(fields)
            .connect(ConnectAttributes {
                name: Some(Arc::from(&*self.names.adjust_schema(name))),
                version: Some(1),
                ..ConnectAttributes::default()
            })
            .build()
    }

    /// The schema of the envelope with the new field, and the struct of the columns.
    fn derive(&self, envelope: &Schema, image: &Schema) -> Result<(Arc<Schema>, Value)> {
        const PACKAGE: &str = "io.debezium.connector.source";
        let text = |name: &str, optional| Field::new(name, plain(DataType::TEXT, optional));
        let number = |name: &str| Field::new(name, plain(DataType::Int32, true));
        let column = self.named(
            &format!("{PACKAGE}.schema.Column"),
            vec![
                text("name", false),
                text("typeName", false),
                number("length"),
                number("scale"),
                text("comment", true),
            ],
        )?;
        let columns = plain(DataType::Array(Arc::new(struct_type(&column))), false);
        let table =
            self.named(&format!("{PACKAGE}.schema.Table"), vec![Field::new("columns", columns)])?;
        let source = self.named(
            &format!("{PACKAGE}.Schema"),
            vec![text("id", false), Field::new("table", struct_type(&table))],
        )?;
        let view = self.profile.connect_schema(&struct_type(&image.to_builder().build()?));
        let mut rows = Vec::new();
        for field in view.as_ref().map(|view| view.fields()).unwrap_or_default() {
            let parameters = &field.schema().attributes().parameters;
            let get = |name: &str| {
                let name = format!("__debezium.source.column.{name}");
                parameters.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
            };
            let Some(type_name) = get("type") else {
                return Err(Error::data(
                    "Ensure that enable configurations \"column.propagate.source.type\" or \
                     \"datatype.propagate.source.type\" and the value is set to \".*\"",
                ));
            };
            let number = |name: &str| match get(name) {
                None => Ok(Value::Null),
                Some(text) => text
                    .parse()
                    .map(Value::Int32)
                    .map_err(|_| Error::data(format!("For input string: \"{text}\""))),
            };
            let values = vec![
                Value::text(get("name").map_or(field.name(), |name| name)),
                Value::text(&**type_name),
                number("length")?,
                number("scale")?,
                get("comment").map_or(Value::Null, |comment| Value::text(&**comment)),
            ];
            rows.push(Value::Struct(Row::new(Arc::clone(&column), values)?));
        }
        let columns = Value::Array(Arc::new(Array::new(rows)));
        let table = Value::Struct(Row::new(table, vec![columns])?);
        let prototype = Row::new(Arc::clone(&source), vec![Value::text(""), table])?;
        let field = Field::new("sourceSchema", struct_type(&source));
        Ok((with_added(envelope, [field])?, Value::Struct(prototype)))
    }

    fn extend(&mut self, envelope: &Row) -> Result<Option<Row>> {
        let image = |name: &str| match envelope.by_name(name) {
            Some(ValueRef::Struct(row)) => Some(Arc::clone(row.schema())),
            _ => None,
        };
        let Some(image) = image("after").or_else(|| image("before")) else { return Ok(None) };
        let mut schemas = std::mem::take(&mut self.schemas);
        let derived =
            schemas.get(envelope.schema().id(), || self.derive(envelope.schema(), &image));
        self.schemas = schemas;
        let (schema, mut extra) = derived?;
        if let Value::Struct(row) = &mut extra
            && let Some(ValueRef::Struct(source)) = envelope.by_name("source")
            && let Some(ValueRef::Text(table)) = source.by_name("table")
        {
            row.set(0, Value::text(table));
        }
        let mut values: Vec<Value> =
            (0..envelope.len()).map(|index| envelope.value(index).unwrap_or_default()).collect();
        values.push(extra);
        Row::new(schema, values).map(Some)
    }
}

impl Transform for ExtractSchemaToNewRecord {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match event.operation() {
            Some(Operation::Table | Operation::Truncate) => {}
            Some(_) => {
                let content = Content::take(&mut event, Side::Value, &self.profile)?;
                content.put(&mut event, Side::Value);
            }
            None => {}
        }
        let extended = match Envelope::of(&event.value) {
            Some(envelope) => self.extend(&envelope.row().clone())?,
            None => None,
        };
        if let Some(row) = extended {
            event.value = Payload::row(row);
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ExtractSchemaToNewRecord"
    }

    fn tables(&self) -> TableMapping {
        TableMapping::ByContent
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
