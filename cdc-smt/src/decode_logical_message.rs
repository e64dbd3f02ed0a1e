//! `DecodeLogicalDecodingMessageContent`: messages in the log that are JSON, as inserts.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{
    ChangeEvent, ConnectAttributes, Error, Field, Payload, Properties, Result, Row, Transform,
    Value, ValueRef,
};
use serde_json::Value as Json;

use crate::Side;
use crate::content::Content;
use crate::json_payload::Guess;

/// Makes a message that `pg_logical_emit_message` wrote, a JSON object, an insert of that object, for the outbox say
/// (`io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent`).
///
/// Option: `fields.null.include` (`false`), whether members that are null become fields. Other records pass.
///
/// ```
/// use bytes::Bytes;
/// use cdc_core::value::Text;
/// use cdc_core::{ChangeEvent, Destination, LogicalMessage, Payload, Transform};
/// use cdc_smt::DecodeLogicalDecodingMessageContent;
///
/// # let mut origin = cdc_core::testkit::some_origin();
/// # std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
/// let message = LogicalMessage {
///     prefix: Text::from("outbox"),
///     content: Bytes::from_static(br#"{"id": 7}"#),
///     transactional: true,
///     transaction: None,
/// };
/// let event = ChangeEvent::new(Destination::named("shop.message"), Payload::Absent, Payload::Message(message), origin);
/// let mut out = Vec::new();
/// DecodeLogicalDecodingMessageContent::new(false).apply(event, &mut out)?;
/// assert!(out[0].value.as_row().unwrap().by_name("after").is_some());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DecodeLogicalDecodingMessageContent {
    profile: ConnectProfile,
    guess: Guess,
}

const MESSAGE: &str = "io.debezium.connector.postgresql.MessageValue";

impl DecodeLogicalDecodingMessageContent {
    /// The transform; members that are null are left out, or become fields.
    pub fn new(include_nulls: bool) -> Self {
        DecodeLogicalDecodingMessageContent {
            profile: ConnectProfile::default(),
            guess: Guess { null_as_bytes: include_nulls, ..Guess::default() },
        }
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a value that is no boolean.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let mut transform = Self::new(properties.bool("fields.null.include", false)?);
        transform.profile = profile.clone();
        Ok(transform)
    }

    fn decode(&self, value: &Row) -> Result<Row> {
        let content = match value.by_name("message") {
            Some(ValueRef::Struct(message)) => match message.by_name("content") {
                Some(ValueRef::Bytes(content)) => content.to_vec(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let text = String::from_utf8_lossy(&content);
        if !text.trim_start().starts_with(['{', '[']) {
            return Err(Error::data(format!(
                "Unable to parse logical decoding message content JSON string '{text}'"
            )));
        }
        let json: Json = serde_json::from_str(&text).map_err(|error| {
            Error::data("the content of a logical message is no JSON").with_source(error)
        })?;
        if json.is_array() {
            return Err(Error::data("Not a struct schema: Schema{ARRAY}"));
        }
        let Some(after_type) = self.guess.value_type(&json, None)? else {
            return Err(Error::data("the content of a logical message is no JSON object"));
        };
        let after = self.guess.value(&json, &after_type)?;
        let mut fields: Vec<Field> = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        for (index, field) in value.schema().fields().iter().enumerate() {
            if &*field.name == "message" {
                continue;
            }
            fields.push(field.clone());
            values.push(match &*field.name {
                "op" => Value::text("c"),
                _ => value.value(index).unwrap_or_default(),
            });
        }
        fields.push(Field::new("after", after_type));
        values.push(after);
        let schema = cdc_core::Schema::builder().fields(fields).connect(ConnectAttributes {
            name: Some(Arc::from(format!("{MESSAGE}.Envelope"))),
            ..ConnectAttributes::default()
        });
        Row::new(schema.build()?, values)
    }
}

impl Transform for DecodeLogicalDecodingMessageContent {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if matches!(event.value, Payload::Change(_) | Payload::Transaction(_)) {
            out.push(event);
            return Ok(());
        }
        let content = Content::take(&mut event, Side::Value, &self.profile)?;
        let name = |row: &Row| row.schema().connect().and_then(|connect| connect.name.clone());
        let content = match content {
            Content::Struct(row) if name(&row).as_deref() == Some(MESSAGE) => {
                event.key = Payload::Absent;
                Content::Struct(self.decode(&row)?)
            }
            Content::Schemaless(_) => {
                return Err(Error::data("a value without a schema cannot be told from a message"));
            }
            content => content,
        };
        content.put(&mut event, Side::Value);
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "DecodeLogicalDecodingMessageContent"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
