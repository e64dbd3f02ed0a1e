//! The options of `JsonConverter`.

use std::sync::Arc;

use crate::error::{Error, Result};

/// The options of [`JsonConverter`](super::JsonConverter), with Connect's names and defaults but for
/// `replace.null.with.default`, which is false here: NULL stays NULL.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JsonOptions {
    /// `converter.type`: what it converts.
    pub converter_type: ConverterType,
    /// `schemas.enable`: whether a record is `{"schema":…,"payload":…}` or the payload alone.
    pub schemas_enable: bool,
    /// `decimal.format`.
    pub decimal_format: DecimalFormat,
    /// `replace.null.with.default`: whether NULL becomes the default of its schema, on writing and on reading.
    pub replace_null_with_default: bool,
    /// `schemas.cache.size`: how many schemas are kept compiled.
    pub cache_size: usize,
    /// `schema.content`: the schema, as JSON, of messages that are read as payloads alone.
    pub schema_content: Option<Arc<str>>,
}

/// What a converter converts, `converter.type`. The struct of a table's columns is named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConverterType {
    /// Keys.
    Key,
    /// Values.
    #[default]
    Value,
    /// Headers.
    Header,
}

/// How a Connect `Decimal` is written; both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DecimalFormat {
    /// Base64 of the unscaled value.
    #[default]
    Base64,
    /// A JSON number.
    Numeric,
}

/// The properties that [`JsonOptions::set`] takes.
const JSON_PROPERTIES: [&str; 6] = [
    "converter.type",
    "schemas.enable",
    "decimal.format",
    "replace.null.with.default",
    "schemas.cache.size",
    "schema.content",
];

impl Default for JsonOptions {
    fn default() -> Self {
        JsonOptions {
            converter_type: ConverterType::default(),
            schemas_enable: true,
            decimal_format: DecimalFormat::default(),
            replace_null_with_default: false,
            cache_size: 1_000,
            schema_content: None,
        }
    }
}

impl JsonOptions {
    /// Sets an option by its property, without the prefix `key.converter.` or `value.converter.`.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the converter has no such property or the property no such value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "converter.type" => {
                self.converter_type = match value.trim() {
                    "key" => ConverterType::Key,
                    "value" => ConverterType::Value,
                    "header" => ConverterType::Header,
                    _ => {
                        let known = "String must be one of: key, value, header";
                        return Err(invalid(name, value, known));
                    }
                };
            }
            "schemas.enable" => self.schemas_enable = boolean(name, value)?,
            "replace.null.with.default" => self.replace_null_with_default = boolean(name, value)?,
            "decimal.format" => {
                self.decimal_format = if value.eq_ignore_ascii_case("base64") {
                    DecimalFormat::Base64
                } else if value.eq_ignore_ascii_case("numeric") {
                    DecimalFormat::Numeric
                } else {
                    return Err(invalid(
                        name,
                        value,
                        "String must be one of (case insensitive): NUMERIC, BASE64",
                    ));
                };
            }
            "schemas.cache.size" => {
                self.cache_size = value
                    .trim()
                    .parse()
                    .map_err(|_| invalid(name, value, "Not a number of type INT"))?;
            }
            "schema.content" => {
                self.schema_content = (!value.is_empty()).then(|| value.into());
            }
            _ => {
                return Err(Error::configuration(format!("{name} is no option of JsonConverter"))
                    .remedy(format!("it has {}", JSON_PROPERTIES.join(", "))));
            }
        }
        Ok(())
    }
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.trim() {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(name, value, "Expected value to be either true or false")),
    }
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::configuration(format!("Invalid value {value} for configuration {name}: {why}"))
}
