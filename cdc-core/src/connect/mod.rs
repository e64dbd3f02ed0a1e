//! Kafka Connect's and Debezium's records: schemas, handling modes and converters.
//!
//! The library's types know nothing of Connect; a [`ConnectProfile`] says how they become Connect's schemas, which are
//! then the same for every format and every transform of a chain. What came from outside keeps its attributes and is
//! written again as it came.

pub(crate) mod base64;
mod basic;
mod before_image;
mod column_default;
mod envelope;
mod hstore;
mod iso;
mod java_numbers;
mod json;
mod key_change;
mod message;
mod money;
mod names;
mod native;
mod outside;
mod point;
mod profile;
mod schema;
mod semantic_names;
mod source_block;
mod source_type;
mod table_view;
mod transaction;
mod values;
mod verbatim;

pub use basic::{BasicConverter, JavaValue};
pub use before_image::complete_before;
pub use envelope::Processed;
pub use json::{ConverterType, DecimalFormat, JsonConverter, JsonOptions};
pub use key_change::RecordSplit;
pub use message::heartbeat;
pub use names::NameAdjustment;
pub use profile::{
    BinaryHandling, ConnectProfile, ConnectProfileBuilder, ConversionFailures, DecimalHandling,
    HstoreHandling, IntervalHandling, Modes, PROFILE_PROPERTIES, SourceTypeColumns, TimePrecision,
};
pub use schema::{ConnectField, ConnectSchema, ConnectType};
pub use table_view::{TableView, topic_name};
pub use transaction::transaction_id;
