//! `TimestampConverter`: times in another form.

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, ConnectSchema, ConnectType};
use cdc_core::value::{Date, Time, TimeUnit, Timestamp};
use cdc_core::{ChangeEvent, DataType, Error, Properties, Result, Schema, Value, ValueType};

use crate::Side;
use crate::content::{Content, java_class, or_default, schema_text};
use crate::derive::{named, plain};
use crate::field_edits::{FieldEdits, edit_map};
use crate::field_path::{FieldPath, FieldSyntax};
use crate::field_types::FieldTypes;
use crate::one_side::{OneSide, Place, one_side};
use crate::options;
use crate::schema_cache::SchemaCache;
use crate::simple_date_format::SimpleDateFormat;

/// The form that times take: the option `target.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeForm {
    /// Text in the format (`string`).
    String,
    /// An INT64 since the epoch (`unix`).
    Unix,
    /// Connect's `Date`, the time of day cut off (`Date`).
    Date,
    /// Connect's `Time`, the day cut off (`Time`).
    Time,
    /// Connect's `Timestamp` (`Timestamp`).
    Timestamp,
}

/// Converts texts, numbers since the epoch and Connect's own types of times into each other, in milliseconds
/// (`org.apache.kafka.connect.transforms.TimestampConverter`).
///
/// | option | default | |
/// |---|---|---|
/// | `field` | | the field; without one the whole key or value. Here a list may stand, too |
/// | `target.type` | required | see [`TimeForm`] |
/// | `format` | | a pattern of Java's `SimpleDateFormat` at UTC, for texts |
/// | `unix.precision` | `milliseconds` | the unit of numbers: `seconds`, `milliseconds`, `microseconds`, `nanoseconds` |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; only here |
/// | `field.types` | | types whose fields are converted, nested ones too, beside `field` or instead: `MicroTimestamp`; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, Value};
/// use cdc_smt::{Side, TimeForm, TimestampConverter};
///
/// let mut convert = TimestampConverter::new(Side::Value, TimeForm::String, "yyyy-MM-dd")?;
/// # let value = Payload::Value { schema: None, value: Value::Int64(1_546_398_245_678) };
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, value, cdc_core::testkit::some_origin());
/// let mut out = Vec::new();
/// convert.apply(event, &mut out)?;
/// assert!(matches!(&out[0].value, Payload::Value { value: Value::Text(text), .. } if text == "2019-01-02"));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TimestampConverter {
    place: Place,
    fields: Vec<FieldPath>,
    types: FieldTypes,
    target: TimeForm,
    format: Option<SimpleDateFormat>,
    unit: TimeUnit,
    schemas: SchemaCache<Arc<FieldEdits<Source>>>,
}

/// What a field is before.
#[derive(Debug)]
struct Source {
    form: TimeForm,
    schema: ConnectSchema,
}

one_side!(TimestampConverter, "TimestampConverter", replacing_nulls);

impl TimestampConverter {
    /// Converts whole keys or values. The format may be empty where no texts come or go.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words when texts have no format, or one that
    /// is none.
    pub fn new(side: Side, target: TimeForm, format: &str) -> Result<Self> {
        if target == TimeForm::String && format.trim().is_empty() {
            return Err(Error::configuration(
                "TimestampConverter requires format option to be specified when using string timestamps",
            ));
        }
        let format = match format.trim() {
            "" => None,
            _ => Some(SimpleDateFormat::new(format).map_err(|error| {
                options::invalid(
                    "TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps",
                    &format!("java.lang.IllegalArgumentException: {error}"),
                    format,
                )
            })?),
        };
        Ok(TimestampConverter {
            place: Place::new(side),
            fields: Vec::new(),
            types: FieldTypes::default(),
            target,
            format,
            unit: TimeUnit::Milli,
            schemas: SchemaCache::default(),
        })
    }

    /// Converts these fields instead of the whole.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn fields<'a>(
        mut self,
        fields: impl IntoIterator<Item = &'a str>,
        syntax: FieldSyntax,
    ) -> Result<Self> {
        self.fields = FieldPath::all(fields, syntax)?;
        Ok(self)
    }

    /// Converts all fields of these types, nested ones among them, by their names in Kafka Connect's schemas:
    /// `MicroTimestamp`, `org.apache.kafka.connect.data.Timestamp`.
    #[must_use]
    pub fn types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.types = FieldTypes::of(types);
        self
    }

    /// Whether it is the whole key or value that is converted.
    fn is_of_whole(&self) -> bool {
        self.fields.is_empty() && self.types.is_empty()
    }

    /// The unit of numbers since the epoch.
    #[must_use]
    pub fn unix_precision(mut self, unit: TimeUnit) -> Self {
        self.unit = unit;
        self
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let words = ["string", "unix", "Date", "Time", "Timestamp"];
        let target = match options::word(properties, "target.type", &words, None)? {
            "string" => TimeForm::String,
            "unix" => TimeForm::Unix,
            "Date" => TimeForm::Date,
            "Time" => TimeForm::Time,
            _ => TimeForm::Timestamp,
        };
        let words = ["nanoseconds", "microseconds", "milliseconds", "seconds"];
        let unit = match options::word(properties, "unix.precision", &words, Some("milliseconds"))?
        {
            "nanoseconds" => TimeUnit::Nano,
            "microseconds" => TimeUnit::Micro,
            "seconds" => TimeUnit::Second,
            _ => TimeUnit::Milli,
        };
        let fields = properties.list("field");
        let syntax = FieldSyntax::from_properties(properties)?;
        let converter = Self::new(side, target, &properties.string("format", ""))?
            .profile(profile)
            .unix_precision(unit)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?)
            .fields(fields.iter().map(String::as_str), syntax)?;
        Ok(TimestampConverter { types: FieldTypes::from_properties(properties), ..converter })
    }

    fn target_type(&self, optional: bool) -> ValueType {
        const DATA: &str = "org.apache.kafka.connect.data.";
        let logical = |data_type, name: &str| named(data_type, optional, &format!("{DATA}{name}"));
        match self.target {
            TimeForm::String => plain(DataType::TEXT, optional),
            TimeForm::Unix => plain(DataType::Int64, optional),
            TimeForm::Date => logical(DataType::Date, "Date"),
            TimeForm::Time => logical(DataType::Time { precision: 3 }, "Time"),
            TimeForm::Timestamp => logical(DataType::Timestamp { precision: 3 }, "Timestamp"),
        }
    }

    fn source(&self, value_type: &ValueType) -> Result<Source> {
        let profile = &self.place.profile;
        let unknown = || {
            Error::data(format!(
                "Schema {} does not correspond to a known timestamp type format",
                schema_text(value_type, profile)
            ))
        };
        let schema = profile.connect_schema(value_type).ok_or_else(unknown)?;
        let form = match (schema.name(), schema.connect_type()) {
            (Some("org.apache.kafka.connect.data.Timestamp"), _) => TimeForm::Timestamp,
            (Some("org.apache.kafka.connect.data.Date"), _) => TimeForm::Date,
            (Some("org.apache.kafka.connect.data.Time"), _) => TimeForm::Time,
            (_, ConnectType::String) => TimeForm::String,
            (_, ConnectType::Int64) => TimeForm::Unix,
            _ => return Err(unknown()),
        };
        Ok(Source { form, schema })
    }

    /// The value in the target's form.
    fn convert_typed(&self, source: &Source, value: &Value) -> Result<Value> {
        const MILLIS_A_DAY: i64 = 86_400_000;
        let lowered = source.schema.lower(&value.as_ref())?;
        let millis = match (source.form, &lowered) {
            (_, Value::Null) => return Ok(Value::Null),
            (TimeForm::Date, Value::Int32(days)) => i64::from(*days) * MILLIS_A_DAY,
            (TimeForm::Time, Value::Int32(millis)) => i64::from(*millis),
            (TimeForm::Unix, Value::Int64(count)) => self.of_unix(*count),
            (_, Value::Int64(millis)) => *millis,
            (_, Value::Text(text)) => self.of_text(text)?,
            _ => return Err(self.unsupported(None, value)),
        };
        self.in_form(millis)
    }

    fn convert_schemaless(&self, value: &Value) -> Result<Value> {
        let millis = match value {
            Value::Null => return Ok(Value::Null),
            Value::Int64(count) => self.of_unix(*count),
            Value::Text(text) => self.of_text(text)?,
            Value::Timestamp(at) => {
                at.to_unit(TimeUnit::Milli).ok_or_else(|| self.unsupported(None, value))?
            }
            value => return Err(self.unsupported(None, value)),
        };
        Ok(match self.in_form(millis)? {
            // Without a schema all are Java's Date.
            Value::Date(date) => at(i64::from(date.days().unwrap_or(0)).saturating_mul(86_400_000)),
            Value::Time(time) => at(time.value),
            value => value,
        })
    }

    fn of_unix(&self, count: i64) -> i64 {
        match self.unit {
            TimeUnit::Second => count.saturating_mul(1_000),
            unit => count / (unit.per_second() / 1_000),
        }
    }

    fn of_text(&self, text: &str) -> Result<i64> {
        let Some(format) = &self.format else {
            return Err(Error::data("a text cannot be converted without a format")
                .remedy("set the option format"));
        };
        format.parse(text).ok_or_else(|| {
            Error::data(format!(
                "Could not parse timestamp: value ({text}) does not match pattern ({})",
                format.pattern()
            ))
        })
    }

    fn in_form(&self, millis: i64) -> Result<Value> {
        const MILLIS_A_DAY: i64 = 86_400_000;
        Ok(match self.target {
            TimeForm::String => match &self.format {
                Some(format) => Value::text(format.format(millis)),
                None => Value::Null,
            },
            TimeForm::Unix => Value::Int64(match self.unit {
                TimeUnit::Second => millis / 1_000,
                unit => millis.saturating_mul(unit.per_second() / 1_000),
            }),
            TimeForm::Date => {
                let days = i32::try_from(millis.div_euclid(MILLIS_A_DAY)).map_err(|_| {
                    Error::data(format!("the time {millis} is out of the range of dates"))
                })?;
                Value::Date(Date::Days(days))
            }
            TimeForm::Time => {
                Value::Time(Time { value: millis.rem_euclid(MILLIS_A_DAY), unit: TimeUnit::Milli })
            }
            TimeForm::Timestamp => at(millis),
        })
    }

    fn unsupported(&self, value_type: Option<&ValueType>, value: &Value) -> Error {
        Error::data(format!(
            "TimestampConverter does not support class {} objects as timestamps",
            java_class(value_type, value, &self.place.profile)
        ))
    }

    fn edits(&mut self, schema: &Arc<Schema>) -> Result<Arc<FieldEdits<Source>>> {
        let mut schemas = std::mem::take(&mut self.schemas);
        let edits = schemas.get(schema.id(), || {
            let by_type = self.types.paths(schema, &self.place.profile);
            let fields = [&self.fields[..], &by_type].concat();
            let edits = FieldEdits::plan(schema, &fields, &mut |field, _| {
                let source = self.source(&field.value_type)?;
                Ok((self.target_type(field.value_type.optional), source))
            })?;
            edits.required().map(Arc::new)
        });
        self.schemas = schemas;
        edits
    }
}

fn at(value: i64) -> Value {
    Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Milli })
}

impl OneSide for TimestampConverter {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "converting timestamp formats";
        if self.is_of_whole() {
            return match content {
                Content::Absent => Ok(Content::Absent),
                Content::Schemaless(value) => {
                    self.convert_schemaless(&value).map(Content::schemaless)
                }
                content => {
                    let Some(value_type) = content.value_type() else { return Ok(content) };
                    let source = self.source(&value_type)?;
                    let target = self.target_type(value_type.optional);
                    let value = match &content {
                        Content::Typed(value_type, value) => {
                            or_default(value.clone(), value_type, self.place.replace_null)
                        }
                        _ => Value::Null,
                    };
                    let value = self.convert_typed(&source, &value)?;
                    Ok(Content::Typed(Arc::new(target), value))
                }
            };
        }
        match content {
            content if content.is_null() => Ok(content),
            Content::Schemaless(_) => {
                let entries = content.require_map(PURPOSE, &self.place.profile)?;
                edit_map(&entries, &self.fields, &mut |_, value| self.convert_schemaless(&value))
                    .map(Content::Schemaless)
            }
            content => {
                let row = content.require_struct(PURPOSE, &self.place.profile)?;
                let edits = self.edits(row.schema())?;
                let row = edits.row(row, self.place.replace_null, &mut |source, row, index| {
                    self.convert_typed(source, &row.value(index).unwrap_or_default())
                })?;
                Ok(Content::Struct(row))
            }
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        match self.is_of_whole() {
            true => Ok(Arc::clone(schema)),
            false => Ok(Arc::clone(self.edits(schema)?.schema())),
        }
    }
}
