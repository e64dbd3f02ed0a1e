//! Single message transforms and predicates of Kafka Connect and Debezium, on the event model of `cdc-core`.
//!
//! A [`Transform`](cdc_core::Transform) takes an event and gives what becomes of it. Each transform here has a typed
//! builder and takes the options of the original class; [`from_properties`] reads whole chains as users of Kafka Connect
//! write them. What they do is compared with the real classes, case by case.
//!
//! The feature `expressions` adds Debezium's `Filter` and `ContentBasedRouter`, with expressions in
//! [CEL](https://cel.dev).

mod added_field;
mod cast;
mod chain;
mod classes;
mod closure;
mod content;
#[cfg(feature = "expressions")]
mod content_based_router;
mod decode_logical_message;
mod derive;
mod enforce_record_size;
mod envelope;
mod event_router;
#[cfg(feature = "expressions")]
mod expression;
#[cfg(feature = "expressions")]
mod expression_filter;
mod extract_changed_record_state;
mod extract_field;
mod extract_new_record_state;
mod extract_schema_to_new_record;
mod field_edits;
mod field_path;
mod field_types;
mod filter;
mod flatten;
mod geometry;
mod header_from;
mod header_to_value;
mod headers;
mod hoist_field;
mod insert_field;
mod java_hash;
mod java_numbers;
mod json_payload;
mod logical_router;
mod mask_field;
mod one_side;
mod options;
mod partition_routing;
mod predicate;
mod read_to_insert_event;
mod regex_router;
mod replace_field;
mod schema_cache;
mod schema_change_event_filter;
mod selection;
mod set_schema_metadata;
mod simple_date_format;
mod time_zone;
mod timestamp_converter;
mod timestamp_router;
mod timezone_converter;
mod value_to_key;
mod vector_to_json;
mod wkb;

pub use cast::{Cast, CastType};
pub use chain::from_properties;
pub use classes::{class_names, transform_of_class};
pub use closure::{Closure, flat_map, map};
pub use content::Side;
#[cfg(feature = "expressions")]
pub use content_based_router::ContentBasedRouter;
pub use decode_logical_message::DecodeLogicalDecodingMessageContent;
pub use enforce_record_size::EnforceRecordSize;
pub use event_router::{EventRouter, InvalidOperation, Placement};
#[cfg(feature = "expressions")]
pub use expression::NullHandling;
#[cfg(feature = "expressions")]
pub use expression_filter::ExpressionFilter;
pub use extract_changed_record_state::ExtractChangedRecordState;
pub use extract_field::ExtractField;
pub use extract_new_record_state::{DeleteHandling, ExtractNewRecordState};
pub use extract_schema_to_new_record::ExtractSchemaToNewRecord;
pub use field_path::FieldSyntax;
pub use filter::Filter;
pub use flatten::Flatten;
pub use geometry::{GeometryFormat, GeometryFormatTransformer, SwapGeometryCoordinates};
pub use header_from::{HeaderFrom, MoveOrCopy};
pub use header_to_value::HeaderToValue;
pub use headers::{DropHeaders, InsertHeader};
pub use hoist_field::HoistField;
pub use insert_field::{InsertField, Inserted};
pub use logical_router::ByLogicalTableRouter;
pub use mask_field::MaskField;
pub use partition_routing::{PartitionHash, PartitionRouting};
pub use predicate::Predicate;
pub use read_to_insert_event::ReadToInsertEvent;
pub use regex_router::RegexRouter;
pub use replace_field::ReplaceField;
pub use schema_change_event_filter::SchemaChangeEventFilter;
pub use set_schema_metadata::SetSchemaMetadata;
pub use timestamp_converter::{TimeForm, TimestampConverter};
pub use timestamp_router::TimestampRouter;
pub use timezone_converter::TimezoneConverter;
pub use value_to_key::ValueToKey;
pub use vector_to_json::VectorToJsonConverter;
