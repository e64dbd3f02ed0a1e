//! `MaskField`: values hidden.

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, ConnectSchema};
use cdc_core::value::{Array, Decimal, Text, TimeUnit, Timestamp};
use cdc_core::{ChangeEvent, Error, Properties, Result, Row, Schema, Value, ValueRef, ValueType};

use crate::Side;
use crate::content::{Content, java_class, struct_in_place};
use crate::field_edits::{FieldEdits, edit_map};
use crate::field_path::{FieldPath, FieldSyntax};
use crate::field_types::FieldTypes;
use crate::java_numbers::{decimal_to_i64, parse_decimal};
use crate::one_side::{OneSide, Place, one_side};
use crate::options;
use crate::schema_cache::SchemaCache;

/// Hides values of fields behind zero, the empty text or a replacement (`org.apache.kafka.connect.transforms.MaskField`).
///
/// | option | default | |
/// |---|---|---|
/// | `fields` | required | the fields |
/// | `replacement` | | what stands in the place of numbers and texts |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; only here |
/// | `field.types` | | types whose fields are hidden, nested ones too, beside `fields` or instead: `STRING`, `MicroTimestamp`; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// A null stays null. Bytes and structs cannot be masked.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, ValueRef};
/// use cdc_smt::{FieldSyntax, MaskField, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut mask = MaskField::new(Side::Value, ["note"], FieldSyntax::V1)?.replacement("***")?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// mask.apply(event, &mut out)?;
/// assert_eq!(out[0].value.as_row().unwrap().by_name("note"), Some(ValueRef::Text("***")));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MaskField {
    place: Place,
    fields: Vec<FieldPath>,
    types: FieldTypes,
    replacement: Option<Replacement>,
    schemas: SchemaCache<Arc<FieldEdits<Masked>>>,
}

#[derive(Debug, Clone)]
struct Replacement {
    text: Text,
    number: Option<Decimal>,
}

/// A field that is masked.
#[derive(Debug)]
struct Masked {
    value_type: ValueType,
    schema: Option<ConnectSchema>,
}

one_side!(MaskField, "MaskField", replacing_nulls);

impl MaskField {
    /// Masks fields of keys or values.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn new<'a>(
        side: Side,
        fields: impl IntoIterator<Item = &'a str>,
        syntax: FieldSyntax,
    ) -> Result<Self> {
        Ok(MaskField {
            place: Place::new(side),
            fields: FieldPath::all(fields, syntax)?,
            types: FieldTypes::default(),
            replacement: None,
            schemas: SchemaCache::default(),
        })
    }

    /// Masks all fields of these types too, nested ones among them, by their names in Kafka Connect's schemas: `STRING`,
    /// `MicroTimestamp`.
    #[must_use]
    pub fn types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.types = FieldTypes::of(types);
        self
    }

    /// What stands in the place of numbers and texts.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when it is blank.
    pub fn replacement(mut self, text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(options::invalid("replacement", text.trim(), "String must be non-empty"));
        }
        self.replacement =
            Some(Replacement { text: text.into(), number: parse_decimal(text.trim()) });
        Ok(self)
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let types = FieldTypes::from_properties(properties);
        let fields = match types.is_empty() {
            true => options::filled_list(properties, "fields")?,
            false => properties.list("fields"),
        };
        let syntax = FieldSyntax::from_properties(properties)?;
        let mut mask = Self::new(side, fields.iter().map(String::as_str), syntax)?
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        mask.types = types;
        match properties.get("replacement") {
            Some(text) => mask.replacement(text),
            None => Ok(mask),
        }
    }

    /// What is done to rows of a schema, and what does it.
    fn edits(&mut self, schema: &Arc<Schema>) -> Result<(&FieldEdits<Masked>, Masker<'_>)> {
        let (fields, types, profile) = (&self.fields, &self.types, &self.place.profile);
        let edits = self.schemas.get_ref(schema.id(), || {
            let fields = [&fields[..], &types.paths(schema, profile)].concat();
            let edits = FieldEdits::plan(schema, &fields, &mut |field, _| {
                let value_type = field.value_type.clone();
                let schema = profile.connect_schema(&value_type);
                Ok((value_type.clone(), Masked { value_type, schema }))
            })?;
            Ok(Arc::new(edits))
        })?;
        Ok((edits, Masker { replacement: self.replacement.as_ref(), profile }))
    }

    fn mask_row(&mut self, row: &mut Row) -> Result<()> {
        let replace_null = self.place.replace_null;
        let (edits, masker) = self.edits(row.schema())?;
        edits.row_in_place(row, replace_null, &mut |masked, row, index| {
            // The common case needs neither a copy nor a view.
            match (row.get(index), masker.replacement) {
                (Some(ValueRef::Text(_)), None) => Ok(EMPTY),
                _ => masker.mask_typed(masked, row.value(index).unwrap_or_default()),
            }
        })
    }

    fn masker(&self) -> Masker<'_> {
        Masker { replacement: self.replacement.as_ref(), profile: &self.place.profile }
    }
}

/// What hides values.
#[derive(Clone, Copy)]
struct Masker<'a> {
    replacement: Option<&'a Replacement>,
    profile: &'a ConnectProfile,
}

impl Masker<'_> {
    fn mask_typed(&self, masked: &Masked, value: Value) -> Result<Value> {
        let Some(schema) = &masked.schema else {
            return self.mask(None, &value, &value);
        };
        let of_connect = schema.name().is_some_and(|name| name.starts_with(CONNECT_DATA));
        let lowered = match &value {
            // A date, a time or a timestamp of Connect is an object, masked as such.
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) if of_connect => value.clone(),
            value => schema.lower(&value.as_ref())?,
        };
        let result = self.mask(Some(&masked.value_type), &value, &lowered)?;
        Ok(match (&lowered, result) {
            (Value::Decimal(old), Value::Decimal(new)) if self.replacement.is_none() => {
                Value::Decimal(new.rescale(old.scale().unwrap_or(0)).unwrap_or(new))
            }
            (Value::Date(_) | Value::Time(_) | Value::Timestamp(_), result) => result,
            (_, result) => schema.raise(result),
        })
    }

    fn mask(
        &self,
        value_type: Option<&ValueType>,
        original: &Value,
        value: &Value,
    ) -> Result<Value> {
        use Value as V;
        if let V::Null = value {
            return Ok(V::Null);
        }
        let class = || java_class(value_type, original, self.profile);
        let Some(replacement) = self.replacement else {
            return Ok(match value {
                V::Bool(_) => V::Bool(false),
                V::Int8(_) => V::Int8(0),
                V::Int16(_) => V::Int16(0),
                V::Int32(_) => V::Int32(0),
                V::Int64(_) => V::Int64(0),
                V::Float32(_) => V::Float32(0.0),
                V::Float64(_) => V::Float64(0.0),
                V::Decimal(_) => V::Decimal(Decimal::new(0, 0)),
                V::Text(_) => EMPTY,
                V::Date(_) => V::Date(cdc_core::value::Date::Days(0)),
                V::Time(_) => V::Time(cdc_core::value::Time { value: 0, unit: TimeUnit::Milli }),
                V::Timestamp(_) => V::Timestamp(Timestamp::At { value: 0, unit: TimeUnit::Milli }),
                V::Array(_) => V::Array(Arc::new(Array::new(Vec::new()))),
                V::Map(_) => V::Map(Arc::new([])),
                _ => {
                    return Err(Error::data(format!(
                        "Cannot mask value of type: class {}",
                        class()
                    )));
                }
            });
        };
        let number = |what: &str| {
            replacement.number.as_ref().ok_or_else(|| {
                Error::data(format!(
                    "Unable to convert {} (class java.lang.String) to {what}",
                    replacement.text
                ))
            })
        };
        let whole = || number("a number").map(decimal_to_i64);
        Ok(match value {
            V::Int8(_) => V::Int8(whole()? as i8),
            V::Int16(_) => V::Int16(whole()? as i16),
            V::Int32(_) => V::Int32(whole()? as i32),
            V::Int64(_) => V::Int64(whole()?),
            V::Float32(_) => V::Float32(number("a number")?.to_f64() as f32),
            V::Float64(_) => V::Float64(number("a number")?.to_f64()),
            V::Decimal(_) => V::Decimal(number("number")?.clone()),
            V::Text(_) => V::Text(replacement.text.clone()),
            _ => {
                return Err(Error::data(format!(
                    "Cannot mask value of type class {} with custom replacement.",
                    class()
                )));
            }
        })
    }
}

const EMPTY: Value = Value::Text(Text::from_static(""));
const CONNECT_DATA: &str = "org.apache.kafka.connect.data.";

impl OneSide for MaskField {
    fn place(&self) -> &Place {
        &self.place
    }

    #[inline]
    fn in_place(&mut self, event: &mut ChangeEvent) -> Result<bool> {
        let Some(row) = struct_in_place(event, self.place.side) else { return Ok(false) };
        self.mask_row(row).map(|()| true)
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "mask fields";
        if content.is_schemaless() {
            let entries = content.require_map(PURPOSE, &self.place.profile)?;
            let masker = self.masker();
            let masked = edit_map(&entries, &self.fields, &mut |_, value| {
                masker.mask(None, &value, &value)
            })?;
            return Ok(Content::Schemaless(masked));
        }
        let mut row = content.require_struct(PURPOSE, &self.place.profile)?;
        self.mask_row(&mut row)?;
        Ok(Content::Struct(row))
    }
}
