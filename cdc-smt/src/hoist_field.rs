//! `HoistField`: the whole as one field of a new struct.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{
    ChangeEvent, ConnectAttributes, Error, Field, Properties, Result, Row, Schema, Value, ValueType,
};

use crate::Side;
use crate::content::{Content, struct_type};
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;

/// Makes the whole key or value one field of a new struct, or of a map where there is no schema
/// (`org.apache.kafka.connect.transforms.HoistField`).
///
/// Option: `field` (required), its name. A null is hoisted too.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, ValueRef};
/// use cdc_smt::{HoistField, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut hoist = HoistField::new(Side::Value, "order");
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// hoist.apply(event, &mut out)?;
/// let hoisted = out[0].value.as_row().and_then(|row| row.by_name("order"));
/// assert!(matches!(hoisted, Some(ValueRef::Struct(_))));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HoistField {
    place: Place,
    field: Arc<str>,
    schemas: SchemaCache<Arc<Schema>>,
}

one_side!(HoistField, "HoistField");

impl HoistField {
    /// Hoists keys or values into a field of this name.
    pub fn new(side: Side, field: impl Into<Arc<str>>) -> Self {
        HoistField { place: Place::new(side), field: field.into(), schemas: SchemaCache::default() }
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        Ok(Self::new(side, properties.required("field")?).profile(profile))
    }

    fn schema(&self, value_type: ValueType) -> Result<Arc<Schema>> {
        if self.field.is_empty() {
            return Err(Error::data("fieldName cannot be null."));
        }
        let attributes = ConnectAttributes::default();
        let field = Field::new(Arc::clone(&self.field), value_type);
        Schema::builder().field(field).connect(attributes).build()
    }

    fn of_struct(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        let mut schemas = std::mem::take(&mut self.schemas);
        let hoisted = schemas.get(schema.id(), || self.schema(struct_type(schema)));
        self.schemas = schemas;
        hoisted
    }
}

impl OneSide for HoistField {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        let (schema, value) = match content {
            Content::Absent => return Ok(self.map(Value::Null)),
            Content::Schemaless(value) => return Ok(self.map(value)),
            Content::Struct(row) => (self.of_struct(row.schema())?, Value::Struct(row)),
            Content::Typed(value_type, value) => {
                (self.schema(ValueType::clone(&value_type))?, value)
            }
        };
        Row::new(schema, vec![value]).map(Content::Struct)
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        self.of_struct(schema)
    }
}

impl HoistField {
    fn map(&self, value: Value) -> Content {
        Content::Schemaless(Value::Map([(Value::text(&*self.field), value)].into()))
    }
}
