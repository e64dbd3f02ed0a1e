//! Single message transforms and predicates of Kafka Connect and Debezium, on the event model of `cdc-core`.
//!
//! A [`Transform`](cdc_core::Transform) takes an event and gives what becomes of it. Each transform here has a typed
//! builder and takes the options of the original class; [`from_properties`] reads whole chains as users of Kafka Connect
//! write them. What they do is compared with the real classes, case by case.

mod added_field;
mod cast;
mod chain;
mod classes;
mod content;
mod derive;
mod envelope;
mod extract_changed_record_state;
mod extract_field;
mod extract_new_record_state;
mod field_edits;
mod field_path;
mod filter;
mod flatten;
mod header_from;
mod header_to_value;
mod headers;
mod hoist_field;
mod insert_field;
mod java_numbers;
mod logical_router;
mod mask_field;
mod one_side;
mod options;
mod predicate;
mod read_to_insert_event;
mod regex_router;
mod replace_field;
mod schema_cache;
mod selection;
mod set_schema_metadata;
mod simple_date_format;
mod timestamp_converter;
mod timestamp_router;
mod value_to_key;

pub use cast::{Cast, CastType};
pub use chain::from_properties;
pub use classes::transform_of_class;
pub use content::Side;
pub use extract_changed_record_state::ExtractChangedRecordState;
pub use extract_field::ExtractField;
pub use extract_new_record_state::{DeleteHandling, ExtractNewRecordState};
pub use field_path::FieldSyntax;
pub use filter::Filter;
pub use flatten::Flatten;
pub use header_from::{HeaderFrom, MoveOrCopy};
pub use header_to_value::HeaderToValue;
pub use headers::{DropHeaders, InsertHeader};
pub use hoist_field::HoistField;
pub use insert_field::{InsertField, Inserted};
pub use logical_router::ByLogicalTableRouter;
pub use mask_field::MaskField;
pub use predicate::Predicate;
pub use read_to_insert_event::ReadToInsertEvent;
pub use regex_router::RegexRouter;
pub use replace_field::ReplaceField;
pub use set_schema_metadata::SetSchemaMetadata;
pub use timestamp_converter::{TimeForm, TimestampConverter};
pub use timestamp_router::TimestampRouter;
pub use value_to_key::ValueToKey;
