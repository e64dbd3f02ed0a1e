//! Events as JSON: a change goes straight into its envelope, with no struct made in between.

use crate::connect::envelope::{Processed, completed};
use crate::connect::schema::ConnectField;
use crate::connect::source_block::SourceBlock;
use crate::connect::{complete_before, transaction};
use crate::error::Result;
use crate::event::{Change, ChangeEvent, Operation, Payload};
use crate::origin::Origin;
use crate::row::Row;

use super::converter::JsonConverter;
use super::encode::Writer;

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
        let (view, written) = self.table(&change.schema)?;
        let fields = view.fields();
        out.extend_from_slice(&written.head);
        let writer = self.writer();
        out.extend_from_slice(b"{\"before\":");
        match &change.before {
            Some(before) if before.is_complete() => writer.row(fields, before, out)?,
            Some(before) => writer.row(fields, &complete_before(before), out)?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        match &change.after {
            Some(after) if change.before.is_none() => writer.row(fields, after, out)?,
            _ => image(&writer, fields, completed(change).as_ref(), out)?,
        }
        out.extend_from_slice(b",\"source\":");
        SourceBlock::new(origin, writer.modes)?.write_json(view.source_parts(), out);
        out.extend_from_slice(b",\"transaction\":");
        match change.transaction {
            Some(place) => transaction::write_block(place, &origin.transaction, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"op\":\"");
        out.extend_from_slice(change.operation.code().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\",");
        processed.write_json(out);
        out.push(b'}');
        if self.options().schemas_enable {
            out.push(b'}');
        }
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
