//! `GeometryFormatTransformer` and `SwapGeometryCoordinates`: Debezium's geometries in another form.

use std::sync::Arc;

use bytes::Bytes;
use cdc_core::connect::ConnectProfile;
use cdc_core::value::Array;
use cdc_core::{
    ChangeEvent, DataType, Error, Payload, Properties, Result, Row, Schema, Transform, Value,
    ValueRef, ValueType,
};

use crate::Side;
use crate::content::Content;
use crate::schema_cache::SchemaCache;
use crate::{options, wkb};

/// The form of geometries: the option `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GeometryFormat {
    /// Well-known binary, which becomes PostGIS's extended form; what is in that form loses its SRID (`wkb`).
    #[default]
    Wkb,
    /// PostGIS's extended form, which loses its SRID; other geometries stay what they are (`ewkb`).
    Ewkb,
}

/// Puts the SRID into geometries and takes it out (`io.debezium.transforms.GeometryFormatTransformer`).
///
/// Option: `format` (`wkb`), the form that geometries *have*, see [`GeometryFormat`]. Geometries in arrays stay what they are.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::{GeometryFormat, GeometryFormatTransformer};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// GeometryFormatTransformer::new(GeometryFormat::Ewkb).apply(event, &mut out)?;
/// assert_eq!(out.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GeometryFormatTransformer {
    profile: ConnectProfile,
    format: GeometryFormat,
    schemas: SchemaCache<bool>,
}

/// Swaps the first two coordinates of every point (`io.debezium.transforms.SwapGeometryCoordinates`).
///
/// Option: `srids` (`4326`), a list of the SRIDs whose geometries are swapped. Geometries without one stay what they are.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::SwapGeometryCoordinates;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// SwapGeometryCoordinates::new([4326]).apply(event, &mut out)?;
/// assert_eq!(out.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SwapGeometryCoordinates {
    profile: ConnectProfile,
    srids: Vec<i32>,
    schemas: SchemaCache<bool>,
}

fn is_geometry(value_type: &ValueType) -> bool {
    let name = value_type.connect.as_ref().and_then(|connect| connect.name.as_deref());
    matches!(value_type.data_type, DataType::Struct(_))
        && matches!(
            name,
            Some(
                "io.debezium.data.geometry.Geometry"
                    | "io.debezium.data.geometry.Geography"
                    | "io.debezium.data.geometry.Point"
            )
        )
}

fn has_geometry(value_type: &ValueType) -> bool {
    is_geometry(value_type)
        || match &value_type.data_type {
            DataType::Struct(schema) => schema_has_geometry(schema),
            DataType::Array(element) => has_geometry(element),
            _ => false,
        }
}

fn schema_has_geometry(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| has_geometry(&field.value_type))
}

/// Takes the bytes of a geometry and its SRID, and gives other bytes where they change.
type Edit<'a> = &'a dyn Fn(&[u8], Option<i32>) -> Result<Option<Vec<u8>>>;

/// The row with its geometries changed.
fn edit_row(row: &Row, arrays: bool, edit: Edit<'_>) -> Result<Row> {
    let mut out = row.clone();
    for (index, field) in row.schema().fields().iter().enumerate() {
        if has_geometry(&field.value_type) {
            let value = row.value(index).unwrap_or_default();
            out.set(index, edit_value(&field.value_type, value, arrays, edit)?);
        }
    }
    Ok(out)
}

fn edit_value(value_type: &ValueType, value: Value, arrays: bool, edit: Edit<'_>) -> Result<Value> {
    Ok(match (value, &value_type.data_type) {
        (Value::Struct(row), _) if is_geometry(value_type) => {
            let srid = match row.by_name("srid") {
                Some(ValueRef::Int32(srid)) => Some(srid),
                _ => None,
            };
            let edited = match row.by_name("wkb") {
                Some(ValueRef::Bytes(wkb)) => edit(wkb, srid)?,
                _ => None,
            };
            let mut row = row;
            if let (Some(wkb), Some(at)) = (edited, row.schema().index_of("wkb")) {
                row.set(at, Value::Bytes(Bytes::from(wkb)));
            }
            Value::Struct(row)
        }
        (Value::Struct(row), _) => Value::Struct(edit_row(&row, arrays, edit)?),
        (Value::Array(array), DataType::Array(element)) if arrays => {
            let values = array.values.iter().map(|v| edit_value(element, v.clone(), arrays, edit));
            Value::Array(Arc::new(Array {
                values: values.collect::<Result<_>>()?,
                lower_bound: array.lower_bound,
            }))
        }
        (value, _) => value,
    })
}

fn apply(
    mut event: ChangeEvent,
    profile: &ConnectProfile,
    schemas: &mut SchemaCache<bool>,
    arrays: bool,
    edit: Edit<'_>,
) -> Result<ChangeEvent> {
    if let Payload::Change(change) = &mut event.value {
        if schemas.get(change.schema.id(), || Ok(schema_has_geometry(&change.schema)))? {
            for row in [&mut change.before, &mut change.after].into_iter().flatten() {
                *row = edit_row(row, arrays, edit)?;
            }
        }
        return Ok(event);
    }
    if matches!(event.value, Payload::Transaction(_) | Payload::Message(_)) {
        return Ok(event);
    }
    let content = match Content::take(&mut event, Side::Value, profile)? {
        Content::Struct(row)
            if schemas.get(row.schema().id(), || Ok(schema_has_geometry(row.schema())))? =>
        {
            Content::Struct(edit_row(&row, arrays, edit)?)
        }
        content => content,
    };
    content.put(&mut event, Side::Value);
    Ok(event)
}

impl GeometryFormatTransformer {
    /// The transform for geometries that have this form.
    pub fn new(format: GeometryFormat) -> Self {
        GeometryFormatTransformer {
            profile: ConnectProfile::default(),
            format,
            schemas: SchemaCache::default(),
        }
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let format = match options::debezium_word(properties, "format", &["ewkb", "wkb"], "wkb")? {
            "ewkb" => GeometryFormat::Ewkb,
            _ => GeometryFormat::Wkb,
        };
        Ok(GeometryFormatTransformer { profile: profile.clone(), ..Self::new(format) })
    }
}

fn reformat(format: GeometryFormat, bytes: &[u8], srid: Option<i32>) -> Result<Option<Vec<u8>>> {
    let broken = || Error::data("a geometry is too short for its kind");
    let extended = wkb::is_extended(bytes).ok_or_else(broken)?;
    match (extended, format) {
        (true, _) => wkb::without_srid(bytes).ok_or_else(broken).map(Some),
        (false, GeometryFormat::Ewkb) => Ok(None),
        (false, GeometryFormat::Wkb) => {
            let srid = srid
                .ok_or_else(|| Error::data("Cannot convert to EWKB when SRID is null"))?
                .cast_unsigned();
            wkb::with_srid(bytes, srid).ok_or_else(broken).map(Some)
        }
    }
}

impl Transform for GeometryFormatTransformer {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let format = self.format;
        let edit = |bytes: &[u8], srid: Option<i32>| reformat(format, bytes, srid);
        out.push(apply(event, &self.profile, &mut self.schemas, false, &edit)?);
        Ok(())
    }

    fn name(&self) -> &str {
        "GeometryFormatTransformer"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

impl SwapGeometryCoordinates {
    /// The transform of geometries with these SRIDs.
    pub fn new(srids: impl IntoIterator<Item = i32>) -> Self {
        SwapGeometryCoordinates {
            profile: ConnectProfile::default(),
            srids: srids.into_iter().collect(),
            schemas: SchemaCache::default(),
        }
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for what is no number.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let list = properties.string("srids", "4326");
        let srids = list.split(',').map(str::trim).filter(|srid| !srid.is_empty());
        let srids = srids.map(|srid| {
            srid.parse().map_err(|_| options::debezium_invalid("srids", &list, "not a number"))
        });
        let srids = srids.collect::<Result<Vec<i32>>>()?;
        Ok(SwapGeometryCoordinates { profile: profile.clone(), ..Self::new(srids) })
    }
}

impl Transform for SwapGeometryCoordinates {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let srids = self.srids.clone();
        let edit = move |bytes: &[u8], srid: Option<i32>| match srid {
            Some(srid) if srids.contains(&srid) => wkb::swapped(bytes)
                .ok_or_else(|| Error::data("a geometry is broken, or of a kind that is not known"))
                .map(Some),
            _ => Ok(None),
        };
        out.push(apply(event, &self.profile, &mut self.schemas, true, &edit)?);
        Ok(())
    }

    fn name(&self) -> &str {
        "SwapGeometryCoordinates"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
