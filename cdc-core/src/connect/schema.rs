//! Kafka Connect schemas, and the way from a value of the library to the value that a schema describes.

use std::sync::Arc;

use crate::data_type::ConnectAttributes;
use crate::value::{TimeUnit, Value};

use super::profile::BinaryHandling;

/// The schema of Kafka Connect for a field, an element, a key or a value.
///
/// It comes from a [`ValueType`](crate::ValueType) and the handling modes of a
/// [`ConnectProfile`](super::ConnectProfile), or, where the type came from outside, from the attributes it came with.
#[derive(Debug, Clone)]
pub struct ConnectSchema {
    pub(crate) connect_type: ConnectType,
    pub(crate) optional: bool,
    pub(crate) attributes: Arc<ConnectAttributes>,
    pub(crate) default: Option<Value>,
    pub(crate) form: Form,
}

/// A type of Kafka Connect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectType {
    /// `BOOLEAN`.
    Boolean,
    /// `INT8`.
    Int8,
    /// `INT16`.
    Int16,
    /// `INT32`.
    Int32,
    /// `INT64`.
    Int64,
    /// `FLOAT32`.
    Float32,
    /// `FLOAT64`.
    Float64,
    /// `STRING`.
    String,
    /// `BYTES`.
    Bytes,
    /// `ARRAY` of its elements.
    Array(Arc<ConnectSchema>),
    /// `MAP` of keys and values.
    Map(Arc<(ConnectSchema, ConnectSchema)>),
    /// `STRUCT` of its fields.
    Struct(Arc<[ConnectField]>),
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub struct ConnectField {
    pub(crate) name: Arc<str>,
    pub(crate) schema: ConnectSchema,
    /// Where the value stands in the row.
    pub(crate) index: usize,
    /// The name as it stands between the values of a JSON object.
    pub(crate) json_name: JsonName,
    /// How the field is written as JSON, where that is simple.
    pub(crate) direct: Direct,
}

/// A comma, a name as a JSON string and a colon. A short one is copied at a fixed length, which is cheaper.
#[derive(Debug, Clone)]
pub(crate) struct JsonName {
    text: Box<[u8]>,
    short: [u8; SHORT_NAME],
}

const SHORT_NAME: usize = 32;

impl JsonName {
    fn new(name: &str) -> Self {
        let mut text = b",".to_vec();
        super::json::write_string(name, &mut text);
        text.push(b':');
        let mut short = [0; SHORT_NAME];
        if let Some(start) = short.get_mut(..text.len()) {
            start.copy_from_slice(&text);
        }
        JsonName { text: text.into(), short }
    }

    /// All of it.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where it is short, an array that starts with it, and its length.
    #[inline(always)]
    pub(crate) fn short(&self) -> Option<(&[u8; SHORT_NAME], usize)> {
        (self.text.len() <= SHORT_NAME).then_some((&self.short, self.text.len()))
    }
}

/// Fields that are written as JSON without a look at their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direct {
    Boolean,
    Int16,
    Int32,
    Int64,
    Text,
    /// A count of days.
    Days,
    /// A `MicroTimestamp`.
    Micros,
    /// A `ZonedTimestamp` with six digits.
    Instant,
    /// A Connect `Decimal` of this scale.
    Decimal(i32),
    /// The schema decides.
    No,
}

impl Direct {
    fn of(schema: &ConnectSchema) -> Self {
        match (&schema.form, &schema.connect_type) {
            (Form::Plain, ConnectType::Boolean) => Direct::Boolean,
            (Form::Plain, ConnectType::Int16) => Direct::Int16,
            (Form::Plain, ConnectType::Int32) => Direct::Int32,
            (Form::Plain, ConnectType::Int64) => Direct::Int64,
            (Form::Plain, ConnectType::String) => Direct::Text,
            (Form::Days, _) => Direct::Days,
            (Form::Timestamp(TimeUnit::Micro), _) => Direct::Micros,
            (Form::ZonedTimestamp { digits: Some(6) }, _) => Direct::Instant,
            (Form::Decimal { scale }, _) => Direct::Decimal(*scale),
            _ => Direct::No,
        }
    }
}

/// What a value of the library becomes under a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is of Connect's type already.
    Plain,
    /// An unsigned integer that Connect has only as the next wider signed one.
    Widened,
    /// Connect's `Decimal`: bytes of the unscaled value at this scale.
    Decimal { scale: i32 },
    /// A decimal as FLOAT64.
    DecimalDouble,
    /// A decimal as text, in plain notation.
    DecimalText,
    /// Debezium's `VariableScaleDecimal`; a number of the source without the zeros at its end.
    VariableScale { stripped: bool },
    /// Bytes as text.
    BytesText(BinaryHandling),
    /// The server's text of an unknown type, as bytes or their text.
    UnknownText(BinaryHandling),
    /// A string of one bit as BOOLEAN.
    Bit,
    /// Debezium's `Bits`: little-endian, zero bytes at the end left out.
    Bits { length: Option<u32> },
    /// Days since the epoch.
    Days,
    /// `2016-11-04Z`.
    IsoDate,
    /// A count since midnight.
    Time(TimeUnit),
    /// `13:51:30.123456Z`.
    IsoTime,
    /// A time at UTC, `11:51:30.123789Z`.
    ZonedTime,
    /// A count since the epoch.
    Timestamp(TimeUnit),
    /// `2016-11-04T13:51:30.123456Z`, no zero at the end.
    IsoTimestamp,
    /// `2016-11-04T11:51:30.120Z` with a fixed number of digits; without one as many as the value's unit has.
    ZonedTimestamp { digits: Option<u8> },
    /// Microseconds, a month taken as 30.4375 days.
    MicroDuration,
    /// `P1Y2M3DT4H5M6.78S`.
    IsoInterval,
    /// The hyphenated text.
    Uuid,
    /// The server's text of PostgreSQL's `money`, as the form of a decimal.
    Money(Box<Form>),
    /// The server's text of `hstore` as a JSON object.
    HstoreJson,
    /// The server's text of `hstore` as a map.
    HstoreMap,
    /// The server's text of `point` as Debezium's struct.
    Point,
}

impl ConnectSchema {
    pub(crate) fn new(connect_type: ConnectType, form: Form) -> Self {
        ConnectSchema {
            connect_type,
            optional: false,
            attributes: no_attributes(),
            default: None,
            form,
        }
    }

    /// A schema with a name and version 1, as Debezium's and Connect's own semantic types have.
    pub(crate) fn named(connect_type: ConnectType, form: Form, name: &str) -> Self {
        Self::new(connect_type, form).with_attributes(ConnectAttributes {
            name: Some(name.into()),
            version: Some(1),
            ..ConnectAttributes::default()
        })
    }

    pub(crate) fn with_attributes(mut self, attributes: ConnectAttributes) -> Self {
        self.attributes = Arc::new(attributes);
        self
    }

    pub(crate) fn optional_if(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// The type.
    pub fn connect_type(&self) -> &ConnectType {
        &self.connect_type
    }

    /// Whether null is allowed.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// The name, such as `io.debezium.time.MicroTimestamp`.
    pub fn name(&self) -> Option<&str> {
        self.attributes.name.as_deref()
    }

    /// Name, version, documentation and parameters.
    pub fn attributes(&self) -> &Arc<ConnectAttributes> {
        &self.attributes
    }

    /// The default, as a value of the library.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// The fields of a struct; empty for every other type.
    pub fn fields(&self) -> &[ConnectField] {
        match &self.connect_type {
            ConnectType::Struct(fields) => fields,
            _ => &[],
        }
    }
}

pub(crate) fn no_attributes() -> Arc<ConnectAttributes> {
    static NONE: std::sync::OnceLock<Arc<ConnectAttributes>> = std::sync::OnceLock::new();
    Arc::clone(NONE.get_or_init(Arc::default))
}

impl ConnectType {
    /// The name of Java's `Schema.Type`, as messages show it.
    pub fn name(&self) -> &'static str {
        match self {
            ConnectType::Boolean => "BOOLEAN",
            ConnectType::Int8 => "INT8",
            ConnectType::Int16 => "INT16",
            ConnectType::Int32 => "INT32",
            ConnectType::Int64 => "INT64",
            ConnectType::Float32 => "FLOAT32",
            ConnectType::Float64 => "FLOAT64",
            ConnectType::String => "STRING",
            ConnectType::Bytes => "BYTES",
            ConnectType::Array(_) => "ARRAY",
            ConnectType::Map(_) => "MAP",
            ConnectType::Struct(_) => "STRUCT",
        }
    }
}

impl ConnectField {
    pub(crate) fn new(name: impl Into<Arc<str>>, schema: ConnectSchema, index: usize) -> Self {
        let name = name.into();
        let (json_name, direct) = (JsonName::new(&name), Direct::of(&schema));
        ConnectField { name, schema, index, json_name, direct }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema.
    pub fn schema(&self) -> &ConnectSchema {
        &self.schema
    }

    /// Where the value stands in the row that the schema was made for.
    pub fn index(&self) -> usize {
        self.index
    }
}
