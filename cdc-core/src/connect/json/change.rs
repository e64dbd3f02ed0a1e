//! Events as JSON: a change goes straight into its envelope, with no struct made in between.

use crate::connect::envelope::Processed;
use crate::connect::transaction;
use crate::error::Result;
use crate::event::{Change, ChangeEvent, Operation, Payload};
use crate::origin::Origin;

use super::converter::{JsonConverter, TableWriter};
use super::page::Page;
use super::row::Unsent;

/// At most so much room is made for a record beforehand: what is not used was cleared for nothing.
const MOST_EXPECTED: usize = 1 << 12;
/// Room for the last piece, which is copied at a greater length than counts.
const SPARE: usize = 64;

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
        out.extend_from_slice(&table.written.head);
        let fields = table.view.fields();
        let writer = self.writer();
        let mut page = Page::after(out, table.expected);
        let payload = page.at();
        match &change.before {
            None => page.array(b"{\"before\":null,\"after\":"),
            Some(before) => {
                page.array(b"{\"before\":");
                page = writer.row_on(fields, before, Unsent::Empty, page)?;
                page.array(b",\"after\":");
            }
        }
        page = match &change.after {
            None => {
                page.null();
                page
            }
            Some(after) if change.before.is_none() || after.is_complete() => {
                writer.row_on(fields, after, Unsent::Placeholder, page)?
            }
            Some(after) => {
                let completed = change.completed_after();
                let after = completed.as_ref().unwrap_or(after);
                writer.row_on(fields, after, Unsent::Placeholder, page)?
            }
        };
        page.array(b",\"source\":");
        page.bytes(table.source.of(origin, writer.modes)?);
        match change.transaction {
            None => page.array(b",\"transaction\":null,\"op\":\""),
            Some(place) => {
                page.array(b",\"transaction\":");
                transaction::write_block(place, &origin.transaction, page.leave());
                page.come_back();
                page.array(b",\"op\":\"");
            }
        }
        if let Some([letter]) = change.operation.code().map(str::as_bytes) {
            page.array(&[*letter]);
        }
        page.array(b"\",");
        match processed.usual() {
            Some(times) => page.fill(|room| times.write_json(room)),
            None => {
                processed.write_json(page.leave());
                page.come_back();
            }
        }
        page.array(b"}");
        if self.options().schemas_enable {
            page.array(b"}");
        }
        let written = page.at() - payload;
        page.finish();
        // The next record is mostly about as long.
        table.expected = (written + written / 8 + SPARE).min(MOST_EXPECTED);
        Ok(())
    }
}
