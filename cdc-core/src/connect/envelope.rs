//! A change as Debezium's envelope.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Result;
use crate::event::{Change, ChangeEvent, Operation, Payload};
use crate::origin::Origin;
use crate::row::Row;
use crate::value::Value;

use super::before_image::complete_before;
use super::java_numbers::write_i64;
use super::profile::ConnectProfile;
use super::source_block::SourceBlock;
use super::{message, transaction};
use crate::value::digits::nineteen_digits;

/// When an event was processed: the `ts_ms`, `ts_us` and `ts_ns` at the top of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    nanos: i64,
}

impl Processed {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Processed { nanos: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX) }
    }

    /// A time in nanoseconds since the Unix epoch.
    pub const fn at_nanos(nanos: i64) -> Self {
        Processed { nanos }
    }

    /// Appends `"ts_ms":…,"ts_us":…,"ts_ns":…`.
    pub(crate) fn write_json(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"ts_ms\":");
        write_i64(self.millis(), out);
        out.extend_from_slice(b",\"ts_us\":");
        write_i64(self.micros(), out);
        out.extend_from_slice(b",\"ts_ns\":");
        write_i64(self.nanos, out);
    }

    /// As [`write_json`](Self::write_json) where the places are fixed, in the years 2001 to 2262.
    #[inline(always)]
    pub(crate) fn usual(self) -> Option<UsualTimes> {
        u64::try_from(self.nanos).ok().and_then(nineteen_digits).map(UsualTimes)
    }

    pub(crate) fn nanos(self) -> i64 {
        self.nanos
    }

    pub(crate) fn micros(self) -> i64 {
        self.nanos.div_euclid(1_000)
    }

    pub(crate) fn millis(self) -> i64 {
        self.nanos.div_euclid(1_000_000)
    }
}

/// The digits of a time in nanoseconds that has nineteen of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsualTimes([[u8; 8]; 3]);

impl UsualTimes {
    /// Writes `"ts_ms":…,"ts_us":…,"ts_ns":…`. Each piece writes over what the one before it has too much.
    #[inline(always)]
    pub(crate) fn write_json(self, out: &mut [u8; 74]) {
        let [high, middle, low] = self.0;
        let mut put = |at: usize, piece: &[u8]| out[at..at + piece.len()].copy_from_slice(piece);
        for (name, at) in [(b"\"ts_ms\":", 0), (b"\"ts_us\":", 22), (b"\"ts_ns\":", 47)] {
            if at > 0 {
                put(at - 1, b",");
            }
            put(at, name);
            put(at + 8, &high);
            put(at + 11, &middle);
            put(at + 19, &low);
        }
    }
}

impl ConnectProfile {
    /// The event with key and value as Connect's structs: a change as its envelope, a transaction marker and a logical
    /// message as their records. Other events are given back as they are. `None` for an event that has no record, a
    /// table that announces its schema.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for events of a source whose `source` block is not known.
    pub fn lower(&self, event: &ChangeEvent, processed: Processed) -> Result<Option<ChangeEvent>> {
        let mut out = event.clone();
        match &event.value {
            Payload::Change(change) if change.operation == Operation::Table => return Ok(None),
            Payload::Change(change) => {
                out.value = Payload::row(self.envelope(change, event.origin(), processed)?);
            }
            Payload::Transaction(marker) => {
                let commit_us = event.origin().transaction.commit_time_us.unwrap_or(0);
                (out.key, out.value) = transaction::marker(marker, commit_us)?;
            }
            Payload::Message(content) => {
                (out.key, out.value) =
                    message::message(content, event.origin(), self.modes(), processed)?;
            }
            _ => {}
        }
        if let Some(row) = event.key.as_row()
            && row.schema().table().is_some()
            && row.schema().connect().is_none()
            && matches!(event.value, Payload::Change(_))
        {
            out.key = Payload::row(self.key(row)?);
        }
        Ok(Some(out))
    }

    /// A key under the schema that has its name.
    ///
    /// # Errors
    /// None in practice: the schema is made from that of the key.
    pub fn key(&self, key: &Row) -> Result<Row> {
        let view = self.view(key.schema())?;
        match view.key_schema() {
            Some(schema) => key.with_schema(Arc::clone(schema)),
            None => Ok(key.clone()),
        }
    }

    /// The envelope of a change.
    fn envelope(&self, change: &Change, origin: &Origin, processed: Processed) -> Result<Row> {
        let view = self.view(&change.schema)?;
        let image = |row: Option<&Row>| match (row, view.image_schema()) {
            (Some(row), Some(schema)) => row.with_schema(Arc::clone(schema)).map(Value::Struct),
            _ => Ok(Value::Null),
        };
        let before = change.before.as_ref().map(complete_before);
        let values = vec![
            image(before.as_ref())?,
            image(completed(change).as_ref())?,
            Value::Struct(SourceBlock::new(origin, self.modes())?.to_row()?),
            transaction::block(change.transaction, &origin.transaction)?,
            change.operation.code().map_or(Value::Null, Value::text),
            Value::Int64(processed.millis()),
            Value::Int64(processed.micros()),
            Value::Int64(processed.nanos()),
        ];
        Row::new(Arc::clone(view.envelope_schema()), values)
    }
}

/// The row after; a value that did not change is taken from a full row before.
pub(crate) fn completed(change: &Change) -> Option<Row> {
    match &change.after {
        Some(after) if change.before.is_some() && !after.is_complete() => change.completed_after(),
        after => after.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_in_three_units_in_every_year() {
        for (nanos, text) in [
            (
                1_795_000_000_223_456_789,
                "\"ts_ms\":1795000000223,\"ts_us\":1795000000223456,\"ts_ns\":1795000000223456789",
            ),
            (5_000_000, "\"ts_ms\":5,\"ts_us\":5000,\"ts_ns\":5000000"),
            (-1, "\"ts_ms\":-1,\"ts_us\":-1,\"ts_ns\":-1"),
        ] {
            let mut out = Vec::new();
            Processed::at_nanos(nanos).write_json(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            let mut out = [0; 74];
            if let Some(times) = Processed::at_nanos(nanos).usual() {
                times.write_json(&mut out);
                assert_eq!(std::str::from_utf8(&out), Ok(text));
            }
        }
    }
}
