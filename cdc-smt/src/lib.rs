//! Single message transforms and predicates of Kafka Connect and Debezium, on the event model of `cdc-core`.
//!
//! A [`Transform`](cdc_core::Transform) takes an event and gives what becomes of it. Each transform here has a typed
//! builder and takes the options of the original class; [`from_properties`] reads whole chains as users of Kafka Connect
//! write them. What they do is compared with the real classes, case by case.

mod added_field;
mod chain;
mod classes;
mod content;
mod derive;
mod extract_new_record_state;
mod one_side;
mod options;
mod predicate;
mod regex_router;
mod schema_cache;

pub use chain::from_properties;
pub use classes::transform_of_class;
pub use content::Side;
pub use extract_new_record_state::{DeleteHandling, ExtractNewRecordState};
pub use predicate::Predicate;
pub use regex_router::RegexRouter;
