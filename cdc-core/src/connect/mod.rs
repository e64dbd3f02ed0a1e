//! Kafka Connect's and Debezium's records: schemas, handling modes and converters.
//!
//! The library's types know nothing of Connect; a [`ConnectProfile`] says how they become Connect's schemas, which are
//! then the same for every format and every transform of a chain. What came from outside keeps its attributes and is
//! written again as it came.

mod base64;
mod hstore;
mod iso;
mod java_numbers;
mod json;
mod money;
mod names;
mod native;
mod outside;
mod point;
mod profile;
mod schema;
mod semantic_names;
mod source_type;
mod values;

pub use json::{DecimalFormat, JsonConverter, JsonOptions};
pub use names::NameAdjustment;
pub use profile::{
    BinaryHandling, ConnectProfile, ConnectProfileBuilder, ConversionFailures, DecimalHandling,
    HstoreHandling, IntervalHandling, Modes, PROFILE_PROPERTIES, SourceTypeColumns, TimePrecision,
};
pub use schema::{ConnectField, ConnectSchema, ConnectType};
