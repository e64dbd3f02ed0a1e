//! `JsonConverter` of Kafka Connect, both ways.

mod change;
mod converter;
mod decode;
mod encode;
mod options;
mod page;
mod parser;
mod row;
mod schema;
mod text;

pub use converter::JsonConverter;
pub use options::{ConverterType, DecimalFormat, JsonOptions};

pub(crate) use text::{write_string, write_string_in_text};
