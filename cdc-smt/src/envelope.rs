//! Envelopes that are structs: records that came from outside, or that a transform lowered.

use cdc_core::{Payload, Row, Schema, Value};

/// A struct whose schema has the name of an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a>(&'a Row);

impl<'a> Envelope<'a> {
    /// The envelope in a payload; `None` for everything else.
    pub(crate) fn of(payload: &'a Payload) -> Option<Self> {
        payload.as_row().filter(|row| is_envelope(row.schema())).map(Envelope)
    }

    pub(crate) fn row(self) -> &'a Row {
        self.0
    }

    /// A struct in it.
    pub(crate) fn part(self, name: &str) -> Option<Row> {
        match self.0.value(self.0.schema().index_of(name)?)? {
            Value::Struct(row) => Some(row),
            _ => None,
        }
    }

    pub(crate) fn before(self) -> Option<Row> {
        self.part("before")
    }

    pub(crate) fn after(self) -> Option<Row> {
        self.part("after")
    }

    /// Debezium's letter of the operation.
    pub(crate) fn operation(self) -> Option<String> {
        match self.0.value(self.0.schema().index_of("op")?)? {
            Value::Text(letter) => Some(letter.to_string()),
            _ => None,
        }
    }
}

/// Whether the schema has the name of an envelope.
pub(crate) fn is_envelope(schema: &Schema) -> bool {
    schema
        .connect()
        .and_then(|connect| connect.name.as_deref())
        .is_some_and(|name| name.ends_with(".Envelope"))
}
