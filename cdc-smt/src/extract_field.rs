//! `ExtractField`: one field in the place of the whole.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Error, Properties, Result, Schema, ValueType};

use crate::Side;
use crate::content::{Content, or_default};
use crate::field_path::{self, FieldPath, FieldSyntax};
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;

/// Puts one field in the place of the whole key or value (`org.apache.kafka.connect.transforms.ExtractField`).
///
/// | option | default | |
/// |---|---|---|
/// | `field` | required | the field |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`] |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// A field that does not exist is an error under a schema, and null without one.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Payload, Transform, Value};
/// use cdc_smt::{ExtractField, FieldSyntax};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut extract = ExtractField::value("id", FieldSyntax::V1)?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// extract.apply(event, &mut out)?;
/// assert!(matches!(out[0].value, Payload::Value { value: Value::Int64(7), .. }));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExtractField {
    place: Place,
    field: FieldPath,
    types: SchemaCache<Arc<ValueType>>,
}

one_side!(ExtractField, "ExtractField", replacing_nulls);

impl ExtractField {
    /// Takes a field of keys.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn key(field: &str, syntax: FieldSyntax) -> Result<Self> {
        Ok(Self::of(Side::Key, FieldPath::new(field, syntax)?))
    }

    /// Takes a field of values.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn value(field: &str, syntax: FieldSyntax) -> Result<Self> {
        Ok(Self::of(Side::Value, FieldPath::new(field, syntax)?))
    }

    fn of(side: Side, field: FieldPath) -> Self {
        ExtractField { place: Place::new(side), field, types: SchemaCache::default() }
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        Ok(Self::of(side, field_path::required(properties, "field")?)
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?))
    }

    fn value_type(&mut self, schema: &Schema) -> Result<Arc<ValueType>> {
        let (field, profile) = (&self.field, &self.place.profile);
        self.types.get(schema.id(), || match field.field(schema, profile)? {
            Some(field) => Ok(Arc::new(field.value_type.clone())),
            None => Err(Error::data(format!("Unknown field: {}", field.text()))),
        })
    }
}

impl OneSide for ExtractField {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "field extraction";
        match content {
            Content::Absent => Ok(Content::Absent),
            Content::Schemaless(_) => {
                let entries = content.require_map(PURPOSE, &self.place.profile)?;
                Ok(Content::schemaless(self.field.value_in_map(&entries)))
            }
            Content::Typed(ref value_type, cdc_core::Value::Null) => {
                let cdc_core::DataType::Struct(schema) = &value_type.data_type else {
                    return Err(Error::data("Cannot look up fields on non-struct type"));
                };
                let schema = Arc::clone(schema);
                Ok(Content::Typed(self.value_type(&schema)?, cdc_core::Value::Null))
            }
            content => {
                let row = content.require_struct(PURPOSE, &self.place.profile)?;
                let value_type = self.value_type(row.schema())?;
                let value =
                    or_default(self.field.value(&row), &value_type, self.place.replace_null);
                Ok(Content::typed(&value_type, value))
            }
        }
    }

    fn enveloped_table(&mut self, schema: &Arc<Schema>) -> Result<Option<Arc<Schema>>> {
        match self.field.steps() {
            [after] if after == "after" => {
                let view = self.place.profile.view(schema)?;
                Ok(Some(Arc::clone(view.row_schema())))
            }
            _ => Ok(None),
        }
    }
}
