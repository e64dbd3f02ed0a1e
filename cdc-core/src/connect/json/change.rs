//! Events as JSON: a change goes straight into its envelope, with no struct made in between.

use crate::connect::envelope::{Processed, completed};
use crate::connect::schema::ConnectField;
use crate::connect::{complete_before, transaction};
use crate::error::Result;
use crate::event::{Change, ChangeEvent, Operation, Payload};
use crate::origin::Origin;
use crate::row::Row;

use super::converter::{JsonConverter, TableWriter};
use super::encode::Writer;

/// So much room is made for a record at once, where one before it was as long.
const MOST_RESERVED: usize = 1 << 16;

impl JsonConverter {
    /// Appends the value of an event, a change as its envelope; `false` when it is absent: a tombstone, or a table
    /// that announces its schema.
    ///
    /// The bytes are those of [`encode`](Self::encode) after [`lower`](crate::connect::ConnectProfile::lower).
    ///
    /// # Errors
    /// As [`encode`](Self::encode) and `lower`.
    pub fn encode_value(
        &mut self,
        event: &ChangeEvent,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let start = out.len();
        let result = match &event.value {
            Payload::Change(change) if change.operation == Operation::Table => return Ok(false),
            Payload::Change(change) => self.change(change, event.origin(), processed, out),
            Payload::Transaction(_) | Payload::Message(_) => {
                match self.profile().lower(event, processed)? {
                    Some(lowered) => return self.encode(&lowered.value, out),
                    None => return Ok(false),
                }
            }
            value => return self.encode(value, out),
        };
        if let Err(error) = result {
            out.truncate(start);
            return Err(error);
        }
        Ok(true)
    }

    /// Appends the key of an event; `false` when it has none.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_key(
        &mut self,
        event: &ChangeEvent,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        match &event.value {
            Payload::Transaction(_) | Payload::Message(_) => {
                match self.profile().lower(event, processed)? {
                    Some(lowered) => self.encode(&lowered.key, out),
                    None => Ok(false),
                }
            }
            _ => self.encode(&event.key, out),
        }
    }

    fn change(
        &mut self,
        change: &Change,
        origin: &Origin,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut table = self.take_table(&change.schema)?;
        let result = self.envelope(&mut table, change, origin, processed, out);
        self.give_back(table);
        result
    }

    fn envelope(
        &self,
        table: &mut TableWriter,
        change: &Change,
        origin: &Origin,
        processed: Processed,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let fields = table.view.fields();
        out.reserve(table.longest);
        let start = out.len();
        out.extend_from_slice(&table.written.head);
        let writer = self.writer();
        match &change.before {
            None => out.extend_from_slice(b"{\"before\":null,\"after\":"),
            Some(before) => {
                out.extend_from_slice(b"{\"before\":");
                if before.is_complete() {
                    writer.row(fields, before, out)?;
                } else {
                    writer.row(fields, &complete_before(before), out)?;
                }
                out.extend_from_slice(b",\"after\":");
            }
        }
        match &change.after {
            Some(after) if change.before.is_none() => writer.row(fields, after, out)?,
            _ => image(&writer, fields, completed(change).as_ref(), out)?,
        }
        out.extend_from_slice(b",\"source\":");
        table.source.write(origin, writer.modes, out)?;
        match change.transaction {
            None => out.extend_from_slice(b",\"transaction\":null,\"op\":\""),
            Some(place) => {
                out.extend_from_slice(b",\"transaction\":");
                transaction::write_block(place, &origin.transaction, out);
                out.extend_from_slice(b",\"op\":\"");
            }
        }
        out.extend_from_slice(change.operation.code().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\",");
        processed.write_json(out);
        out.push(b'}');
        if self.options().schemas_enable {
            out.push(b'}');
        }
        table.longest = table.longest.max(out.len() - start).min(MOST_RESERVED);
        Ok(())
    }
}

fn image(
    writer: &Writer<'_>,
    fields: &[ConnectField],
    row: Option<&Row>,
    out: &mut Vec<u8>,
) -> Result<()> {
    match row {
        Some(row) => writer.row(fields, row, out),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}
