//! The converters of keys, values and headers that a configuration names.

use crate::connect::{BasicConverter, ConnectProfile, JsonConverter, JsonOptions, Processed};
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Header, Payload};
use crate::properties::Properties;

/// Makes the bytes of keys, values or headers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Converter {
    /// `org.apache.kafka.connect.json.JsonConverter`.
    Json(Box<JsonConverter>),
    /// A converter of single values.
    Basic(BasicConverter, ConnectProfile),
}

/// The three converters of a chain: `key.converter`, `value.converter`, `header.converter`, each with its options.
///
/// Where one is not named, keys and values are JSON with schemas, and headers the text of `SimpleHeaderConverter`.
#[derive(Debug)]
pub struct Converters {
    /// Makes keys.
    pub key: Converter,
    /// Makes values.
    pub value: Converter,
    /// Makes the values of headers.
    pub header: Converter,
}

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const SIMPLE: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

impl Converters {
    /// Reads `key.converter`, `value.converter`, `header.converter` and the options behind each of them.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for a converter or an option that does not exist here.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let converter = |kind: &str, default: &str| {
            let name = format!("{kind}.converter");
            let class = properties.string(&name, default);
            let options = properties.scoped(&format!("{name}."));
            Converter::new(kind, &class, &options, profile).map_err(|error| error.context(&name))
        };
        Ok(Converters {
            key: converter("key", JSON)?,
            value: converter("value", JSON)?,
            header: converter("header", SIMPLE)?,
        })
    }
}

impl Converter {
    fn new(
        kind: &str,
        class: &str,
        options: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        options.refuse("plugin.version", "there is one version of each converter")?;
        if class == JSON {
            let mut json = JsonOptions::default();
            json.set("converter.type", kind)?;
            options.accept_only("converter.type", &[kind], "it follows from the option's name")?;
            for (name, value) in options.iter().filter(|(name, _)| *name != "converter.type") {
                json.set(name, value)?;
            }
            return Ok(Converter::Json(Box::new(JsonConverter::new(json, profile.clone())?)));
        }
        let Some(basic) = BasicConverter::of_class(class) else {
            return Err(Error::configuration(format!("there is no converter {class} here"))
                .remedy(
                    "there are JsonConverter, StringConverter, ByteArrayConverter, SimpleHeaderConverter and the \
                     converters of booleans and numbers, each under its full name",
                ));
        };
        options.accept_only("schemas.enable", &["false"], "only JsonConverter writes schemas")?;
        options.accept_only("converter.type", &[kind], "it follows from the option's name")?;
        options.accept_only("converter.encoding", &["UTF-8", "UTF8"], "text is UTF-8 here")?;
        options.finish()?;
        Ok(Converter::Basic(basic, profile.clone()))
    }

    /// Appends the key of an event; `false` when it has none.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the converter does not take such a key.
    pub fn key(
        &mut self,
        event: &ChangeEvent,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        match self {
            Converter::Json(json) => json.encode_key(event, processed, out),
            Converter::Basic(basic, profile) => match profile.lower(event, processed)? {
                Some(lowered) => basic.encode(&lowered.key, profile, out),
                None => Ok(false),
            },
        }
    }

    /// Appends the value of an event, a change as its envelope; `false` when it is absent: a tombstone.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the converter does not take such a value.
    pub fn value(
        &mut self,
        event: &ChangeEvent,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        match self {
            Converter::Json(json) => json.encode_value(event, processed, out),
            Converter::Basic(basic, profile) => match profile.lower(event, processed)? {
                Some(lowered) => basic.encode(&lowered.value, profile, out),
                None => Ok(false),
            },
        }
    }

    /// Appends the value of a header; `false` when it is absent.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the converter does not take such a value.
    pub fn header(&mut self, header: &Header, out: &mut Vec<u8>) -> Result<bool> {
        let (schema, value) = (header.schema.clone(), header.value.clone());
        let payload = Payload::Value { schema, value };
        match self {
            Converter::Json(json) => json.encode(&payload, out),
            Converter::Basic(basic, profile) => basic.encode(&payload, profile, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converters(json: &str) -> Result<Converters> {
        let properties: Properties = json.parse()?;
        let converters = Converters::from_properties(&properties, &ConnectProfile::default())?;
        properties.finish()?;
        Ok(converters)
    }

    #[test]
    fn each_converter_has_its_own_class_and_options() {
        let converters = converters(
            r#"{"key.converter": "org.apache.kafka.connect.storage.StringConverter",
                "key.converter.schemas.enable": "false",
                "value.converter.schemas.enable": "false", "value.converter.decimal.format": "numeric"}"#,
        )
        .unwrap();
        assert!(matches!(converters.key, Converter::Basic(BasicConverter::String, _)));
        assert!(matches!(converters.header, Converter::Basic(BasicConverter::SimpleHeader, _)));
        let Converter::Json(json) = converters.value else { panic!("JSON is the default") };
        assert!(!json.options().schemas_enable);
    }

    #[test]
    fn converters_and_options_that_do_not_exist_are_named() {
        for (json, named) in [
            (r#"{"value.converter": "io.confluent.connect.avro.AvroConverter"}"#, "AvroConverter"),
            (r#"{"value.converter.schemas.enabled": "false"}"#, "schemas.enabled"),
            (r#"{"key.converter.plugin.version": "1"}"#, "plugin.version"),
            (
                r#"{"key.converter": "org.apache.kafka.connect.storage.StringConverter",
                    "key.converter.schemas.enable": "true"}"#,
                "schemas.enable",
            ),
        ] {
            let error = converters(json).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(".converter"), "{error}");
        }
    }
}
