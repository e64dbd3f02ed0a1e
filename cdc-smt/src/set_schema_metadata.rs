//! `SetSchemaMetadata`: another name and version of the schema.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{
    ChangeEvent, ConnectAttributes, DataType, Error, Properties, Result, Row, Schema, Value,
};

use crate::Side;
use crate::content::{Content, or_default};
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;

/// Gives the schema of a struct another name or version (`org.apache.kafka.connect.transforms.SetSchemaMetadata`).
///
/// | option | default | |
/// |---|---|---|
/// | `schema.name` | | the new name |
/// | `schema.version` | | the new version |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{SetSchemaMetadata, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut set = SetSchemaMetadata::new(Side::Value).schema_name("com.example.Order").schema_version(2);
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// set.apply(event, &mut out)?;
/// let attributes = out[0].value.as_row().unwrap().schema().connect().unwrap();
/// assert_eq!(attributes.name.as_deref(), Some("com.example.Order"));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SetSchemaMetadata {
    place: Place,
    name: Option<Arc<str>>,
    version: Option<i32>,
    schemas: SchemaCache<Arc<Schema>>,
}

one_side!(SetSchemaMetadata, "SetSchemaMetadata", replacing_nulls);

impl SetSchemaMetadata {
    /// A transform of keys or values that changes nothing yet.
    pub fn new(side: Side) -> Self {
        SetSchemaMetadata {
            place: Place::new(side),
            name: None,
            version: None,
            schemas: SchemaCache::default(),
        }
    }

    /// The new name.
    #[must_use]
    pub fn schema_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The new version.
    #[must_use]
    pub fn schema_version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let mut set = Self::new(side)
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        set.name = properties.get("schema.name").map(Into::into);
        set.version = properties.optional_i32("schema.version")?;
        if set.name.is_none() && set.version.is_none() {
            return Err(Error::configuration("Neither schema name nor version configured"));
        }
        Ok(set)
    }

    fn attributes(&self, old: Option<&ConnectAttributes>) -> ConnectAttributes {
        let mut attributes = old.cloned().unwrap_or_default();
        if let Some(name) = &self.name {
            attributes.name = Some(Arc::clone(name));
        }
        attributes.version = self.version.or(attributes.version);
        attributes
    }

    fn schema(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        let mut schemas = std::mem::take(&mut self.schemas);
        let named = schemas.get(schema.id(), || {
            let attributes = self.attributes(schema.connect().map(|connect| &**connect));
            schema.to_builder().connect(attributes).build()
        });
        self.schemas = schemas;
        named
    }
}

impl OneSide for SetSchemaMetadata {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        match content {
            Content::Absent => Ok(Content::Absent),
            Content::Schemaless(_) => {
                Err(Error::data("Schema required for [updating schema metadata]"))
            }
            Content::Struct(row) => {
                let schema = self.schema(row.schema())?;
                let has_default = |index: usize| {
                    row.schema().field(index).is_some_and(|f| f.value_type.default.is_some())
                };
                let replaces = self.place.replace_null
                    && row
                        .values()
                        .enumerate()
                        .any(|(index, value)| value.is_null() && has_default(index));
                if !replaces {
                    return row.with_schema(schema).map(Content::Struct);
                }
                let values = row.schema().fields().iter().enumerate().map(|(index, field)| {
                    or_default(row.value(index).unwrap_or_default(), &field.value_type, true)
                });
                Row::new(schema, values.collect()).map(Content::Struct)
            }
            Content::Typed(mut value_type, Value::Null)
                if matches!(value_type.data_type, DataType::Struct(_)) =>
            {
                let DataType::Struct(schema) = &value_type.data_type else {
                    return Ok(Content::Typed(value_type, Value::Null));
                };
                let schema = self.schema(&Arc::clone(schema))?;
                let named = Arc::make_mut(&mut value_type);
                named.connect = schema.connect().cloned();
                named.data_type = DataType::Struct(schema);
                Ok(Content::Typed(value_type, Value::Null))
            }
            Content::Typed(..) => Err(Error::data("Cannot list fields on non-struct type")),
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        self.schema(schema)
    }
}
