//! `ValueToKey`: a key made of fields of the value.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{
    ChangeEvent, ConnectAttributes, Error, Field, Operation, Payload, Properties, Result, Row,
    Schema, Transform, Value,
};

use crate::Side;
use crate::content::{Content, is_flat_table, or_default};
use crate::field_path::{FieldPath, FieldSyntax, put};
use crate::options;
use crate::schema_cache::SchemaCache;

/// Makes a key of fields of the value (`org.apache.kafka.connect.transforms.ValueToKey`).
///
/// | option | default | |
/// |---|---|---|
/// | `fields` | required | the fields |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; the field of the key has the whole path as its name; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// A row that stands alone, and its table, take the fields for their key too, so that sinks do.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{FieldSyntax, ValueToKey};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut key = ValueToKey::new(["note"], FieldSyntax::V1)?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// key.apply(event, &mut out)?;
/// assert!(out[0].key.as_row().unwrap().by_name("note").is_some());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ValueToKey {
    profile: ConnectProfile,
    fields: Vec<FieldPath>,
    replace_null: bool,
    schemas: SchemaCache<Keyed>,
}

#[derive(Debug, Clone)]
struct Keyed {
    key: Arc<Schema>,
    /// The schema of the row with its new key, where it had one or is a table's.
    row: Option<Arc<Schema>>,
}

impl ValueToKey {
    /// A key of these fields.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn new<'a>(fields: impl IntoIterator<Item = &'a str>, syntax: FieldSyntax) -> Result<Self> {
        let mut paths: Vec<FieldPath> = Vec::new();
        for path in FieldPath::all(fields, syntax)? {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Ok(ValueToKey {
            profile: ConnectProfile::default(),
            fields: paths,
            replace_null: true,
            schemas: SchemaCache::default(),
        })
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.profile = profile.clone();
        self
    }

    /// Whether a null becomes the field's default.
    #[must_use]
    pub fn replace_null_with_default(mut self, replace: bool) -> Self {
        self.replace_null = replace;
        self
    }

    /// The transform by Connect's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let fields = options::filled_list(properties, "fields")?;
        let syntax = FieldSyntax::from_properties(properties)?;
        Ok(Self::new(fields.iter().map(String::as_str), syntax)?
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?))
    }

    fn keyed(&mut self, schema: &Arc<Schema>) -> Result<Keyed> {
        let (paths, profile) = (&self.fields, &self.profile);
        self.schemas.get(schema.id(), || {
            let mut fields = Vec::with_capacity(paths.len());
            for path in paths {
                let field = path
                    .field(schema, profile)?
                    .ok_or_else(|| Error::data(format!("Field does not exist: {}", path.text())))?;
                fields.push(Field::new(path.text(), field.value_type.clone()));
            }
            let builder = Schema::builder().fields(fields);
            let key = builder.connect(ConnectAttributes::default()).build()?;
            let on_top = paths.iter().all(|path| path.steps().len() == 1);
            let row = match (schema.table().is_some() || schema.has_key()) && on_top {
                true => {
                    let names = paths.iter().flat_map(|path| path.steps());
                    let names: Vec<Arc<str>> = names.map(|name| name.as_str().into()).collect();
                    Some(schema.to_builder().key(names).build()?)
                }
                false => None,
            };
            Ok(Keyed { key, row })
        })
    }
}

impl Transform for ValueToKey {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        const PURPOSE: &str = "copying fields from value to key";
        if event.operation() == Some(Operation::Table) {
            if let Payload::Change(change) = &mut event.value
                && is_flat_table(change)
                && let Some(row) = self.keyed(&change.schema)?.row
            {
                change.schema = row;
            }
            out.push(event);
            return Ok(());
        }
        // The value itself stays what it is: an envelope is made only to be read.
        let mut read = event.clone();
        let content = Content::take(&mut read, Side::Value, &self.profile)?;
        if content.is_schemaless() {
            let entries = content.require_map(PURPOSE, &self.profile)?;
            let mut key = Vec::with_capacity(self.fields.len());
            for path in &self.fields {
                put(&mut key, path.text(), path.value_in_map(&entries));
            }
            event.key = Payload::Value { schema: None, value: Value::Map(key.into()) };
        } else {
            let row = content.require_struct(PURPOSE, &self.profile)?;
            let keyed = self.keyed(row.schema())?;
            let values = self.fields.iter().zip(keyed.key.fields()).map(|(path, field)| {
                or_default(path.value(&row), &field.value_type, self.replace_null)
            });
            let values = values.collect();
            event.key = Payload::row(Row::new(keyed.key, values)?);
            if let (Some(schema), Payload::Value { .. }) = (keyed.row, &event.value) {
                event.value = Payload::row(row.with_schema(schema)?);
            }
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ValueToKey"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
