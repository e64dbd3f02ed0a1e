//! What a column is, in terms richer than Connect's.

use std::fmt;
use std::sync::Arc;

use crate::schema::Schema;
use crate::value::{Text, Value};

/// The type of a column, a field or an element, independent of any database and of any format.
///
/// Formats turn it into Debezium/Connect, Avro or SQL types; how is a matter of the format's handling modes, never of
/// the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// A boolean.
    Bool,
    /// A signed integer of 8 bits.
    Int8,
    /// A signed integer of 16 bits.
    Int16,
    /// A signed integer of 32 bits.
    Int32,
    /// A signed integer of 64 bits.
    Int64,
    /// An unsigned integer of 8 bits.
    UInt8,
    /// An unsigned integer of 16 bits.
    UInt16,
    /// An unsigned integer of 32 bits.
    UInt32,
    /// An unsigned integer of 64 bits.
    UInt64,
    /// An IEEE float of 32 bits.
    Float32,
    /// An IEEE float of 64 bits.
    Float64,
    /// An exact decimal. Without a precision every value has a scale of its own.
    Decimal {
        /// Digits in all, where declared.
        precision: Option<u32>,
        /// Digits after the point, where declared.
        scale: Option<i32>,
    },
    /// Text.
    Text {
        /// The most characters, where declared.
        max_length: Option<u32>,
        /// Whether values are padded with blanks to the length (`char(n)`).
        fixed: bool,
    },
    /// Bytes.
    Bytes {
        /// The most bytes, where declared.
        max_length: Option<u32>,
    },
    /// A string of bits.
    Bits {
        /// How many bits, or the most; `None` without a limit.
        length: Option<u32>,
        /// Whether shorter strings are allowed (`bit varying`).
        varying: bool,
    },
    /// A day.
    Date,
    /// A time of day.
    Time {
        /// Digits of a fraction of a second.
        precision: u8,
    },
    /// A time of day at an offset.
    TimeTz {
        /// Digits of a fraction of a second.
        precision: u8,
    },
    /// A date and time without a zone.
    Timestamp {
        /// Digits of a fraction of a second.
        precision: u8,
    },
    /// An instant.
    TimestampTz {
        /// Digits of a fraction of a second.
        precision: u8,
    },
    /// A span of time.
    Interval,
    /// A UUID.
    Uuid,
    /// A JSON document, kept as the server's text.
    Json,
    /// An XML document or fragment, kept as text.
    Xml,
    /// One of a list of labels, kept as text.
    Enum {
        /// The labels in their order.
        labels: Arc<[Text]>,
    },
    /// A network address, network or hardware address, kept as text.
    Network(NetworkType),
    /// An array.
    Array(Arc<ValueType>),
    /// A map: the types of keys and values.
    Map(Arc<(ValueType, ValueType)>),
    /// A nested struct.
    Struct(Arc<Schema>),
    /// A type that has no form of its own here: values are the server's text.
    Other {
        /// The type's name at its source, qualified where it is not on the default path.
        name: Arc<str>,
    },
}

/// The kinds of network types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkType {
    /// A host address with an optional netmask.
    Inet,
    /// A network.
    Cidr,
    /// A hardware address of 6 bytes.
    MacAddr,
    /// A hardware address of 8 bytes.
    MacAddr8,
}

impl DataType {
    /// Text without a limit.
    pub const TEXT: DataType = DataType::Text { max_length: None, fixed: false };
    /// Bytes without a limit.
    pub const BYTES: DataType = DataType::Bytes { max_length: None };
    /// A decimal without a declared precision.
    pub const DECIMAL: DataType = DataType::Decimal { precision: None, scale: None };

    /// Whether values are kept as text, whatever they mean.
    pub fn is_textual(&self) -> bool {
        matches!(
            self,
            DataType::Text { .. }
                | DataType::Json
                | DataType::Xml
                | DataType::Enum { .. }
                | DataType::Network(_)
                | DataType::Other { .. }
        )
    }
}

impl fmt::Display for DataType {
    /// A short name for messages, in the words of SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Bool => f.write_str("boolean"),
            DataType::Int8 => f.write_str("int8 (1 byte)"),
            DataType::Int16 => f.write_str("smallint"),
            DataType::Int32 => f.write_str("integer"),
            DataType::Int64 => f.write_str("bigint"),
            DataType::UInt8 => f.write_str("unsigned int8 (1 byte)"),
            DataType::UInt16 => f.write_str("unsigned smallint"),
            DataType::UInt32 => f.write_str("unsigned integer"),
            DataType::UInt64 => f.write_str("unsigned bigint"),
            DataType::Float32 => f.write_str("real"),
            DataType::Float64 => f.write_str("double precision"),
            DataType::Decimal { precision: Some(p), scale: Some(s) } => {
                write!(f, "numeric({p},{s})")
            }
            DataType::Decimal { .. } => f.write_str("numeric"),
            DataType::Text { max_length: Some(n), fixed: true } => write!(f, "char({n})"),
            DataType::Text { max_length: Some(n), .. } => write!(f, "varchar({n})"),
            DataType::Text { .. } => f.write_str("text"),
            DataType::Bytes { .. } => f.write_str("bytes"),
            DataType::Bits { .. } => f.write_str("bits"),
            DataType::Date => f.write_str("date"),
            DataType::Time { .. } => f.write_str("time"),
            DataType::TimeTz { .. } => f.write_str("time with time zone"),
            DataType::Timestamp { .. } => f.write_str("timestamp"),
            DataType::TimestampTz { .. } => f.write_str("timestamp with time zone"),
            DataType::Interval => f.write_str("interval"),
            DataType::Uuid => f.write_str("uuid"),
            DataType::Json => f.write_str("json"),
            DataType::Xml => f.write_str("xml"),
            DataType::Enum { .. } => f.write_str("enum"),
            DataType::Network(NetworkType::Inet) => f.write_str("inet"),
            DataType::Network(NetworkType::Cidr) => f.write_str("cidr"),
            DataType::Network(NetworkType::MacAddr) => f.write_str("macaddr"),
            DataType::Network(NetworkType::MacAddr8) => f.write_str("macaddr8"),
            DataType::Array(element) => write!(f, "{}[]", element.data_type),
            DataType::Map(entry) => {
                write!(f, "map of {} to {}", entry.0.data_type, entry.1.data_type)
            }
            DataType::Struct(_) => f.write_str("struct"),
            DataType::Other { name } => f.write_str(name),
        }
    }
}

/// A type with what may stand in its place: NULL, a default, and the attributes that a Connect schema came with.
///
/// It is the schema of a field, of an element, and of a key or value that is not a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// The type.
    pub data_type: DataType,
    /// Whether NULL is allowed.
    pub optional: bool,
    /// The default where it is a constant that could be read as a value.
    pub default: Option<Value>,
    /// What a schema that came from outside said, verbatim.
    pub connect: Option<Arc<ConnectAttributes>>,
}

impl ValueType {
    /// A type that allows no NULL.
    pub fn required(data_type: DataType) -> Self {
        ValueType { data_type, optional: false, default: None, connect: None }
    }

    /// A type that allows NULL.
    pub fn optional(data_type: DataType) -> Self {
        ValueType { data_type, optional: true, default: None, connect: None }
    }

    /// Adds a default.
    #[must_use]
    pub fn with_default(mut self, default: Value) -> Self {
        self.default = Some(default);
        self
    }

    /// Adds the attributes of a Connect schema.
    #[must_use]
    pub fn with_connect(mut self, attributes: ConnectAttributes) -> Self {
        self.connect = Some(Arc::new(attributes));
        self
    }
}

/// The attributes of a Kafka Connect schema, kept verbatim so that a record that passes untouched is written as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ConnectAttributes {
    /// The schema's name, such as `io.debezium.time.MicroTimestamp`.
    pub name: Option<Arc<str>>,
    /// The schema's version.
    pub version: Option<i32>,
    /// The documentation.
    pub doc: Option<Arc<str>>,
    /// The parameters in their order.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
}
