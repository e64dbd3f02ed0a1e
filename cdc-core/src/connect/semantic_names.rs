//! The names of the semantic types of Kafka Connect and Debezium.

pub(crate) const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
pub(crate) const CONNECT_DATE: &str = "org.apache.kafka.connect.data.Date";
pub(crate) const CONNECT_TIME: &str = "org.apache.kafka.connect.data.Time";
pub(crate) const CONNECT_TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
pub(crate) const DATE: &str = "io.debezium.time.Date";
pub(crate) const TIME: &str = "io.debezium.time.Time";
pub(crate) const MICRO_TIME: &str = "io.debezium.time.MicroTime";
pub(crate) const NANO_TIME: &str = "io.debezium.time.NanoTime";
pub(crate) const ZONED_TIME: &str = "io.debezium.time.ZonedTime";
pub(crate) const TIMESTAMP: &str = "io.debezium.time.Timestamp";
pub(crate) const MICRO_TIMESTAMP: &str = "io.debezium.time.MicroTimestamp";
pub(crate) const NANO_TIMESTAMP: &str = "io.debezium.time.NanoTimestamp";
pub(crate) const ZONED_TIMESTAMP: &str = "io.debezium.time.ZonedTimestamp";
pub(crate) const ISO_DATE: &str = "io.debezium.time.IsoDate";
pub(crate) const ISO_TIME: &str = "io.debezium.time.IsoTime";
pub(crate) const ISO_TIMESTAMP: &str = "io.debezium.time.IsoTimestamp";
pub(crate) const MICRO_DURATION: &str = "io.debezium.time.MicroDuration";
pub(crate) const INTERVAL: &str = "io.debezium.time.Interval";
pub(crate) const VARIABLE_SCALE_DECIMAL: &str = "io.debezium.data.VariableScaleDecimal";
pub(crate) const BITS: &str = "io.debezium.data.Bits";
pub(crate) const JSON: &str = "io.debezium.data.Json";
pub(crate) const XML: &str = "io.debezium.data.Xml";
pub(crate) const UUID: &str = "io.debezium.data.Uuid";
pub(crate) const ENUM: &str = "io.debezium.data.Enum";
pub(crate) const LTREE: &str = "io.debezium.data.Ltree";
pub(crate) const TSVECTOR: &str = "io.debezium.data.Tsvector";
pub(crate) const POINT: &str = "io.debezium.data.geometry.Point";

/// The parameter of Connect's `Decimal` that says the precision.
pub(crate) const PRECISION: &str = "connect.decimal.precision";
