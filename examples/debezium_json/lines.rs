//! A sink of one's own: one line for each record.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use cdc_core::connect::Processed;
use cdc_core::connector::{Converter, Converters};
use cdc_core::{
    Ack, Batch, ChangeEvent, Delivery, Error, ErrorKind, Operation, Outcome, Result, Sink,
};

/// The sink's name, by which its offset is kept.
pub(crate) const NAME: &str = "stdout";

/// Writes records as JSON lines.
pub(crate) struct JsonLines<W> {
    converters: Converters,
    out: W,
    /// The lines of a batch.
    lines: Vec<u8>,
    part: Vec<u8>,
}

impl<W: Write> JsonLines<W> {
    pub(crate) fn new(converters: Converters, out: W) -> Self {
        JsonLines { converters, out, lines: Vec::new(), part: Vec::new() }
    }

    fn line(&mut self, event: &ChangeEvent, processed: Processed) -> Result<()> {
        self.lines.extend_from_slice(b"{\"topic\":");
        quote(event.destination.as_str(), &mut self.lines);
        self.lines.extend_from_slice(b",\"headers\":[");
        for (index, header) in event.headers.iter().enumerate() {
            if index > 0 {
                self.lines.push(b',');
            }
            self.lines.push(b'[');
            quote(&header.name, &mut self.lines);
            self.lines.push(b',');
            self.part.clear();
            let there = self.converters.header.header(header, &mut self.part)?;
            put(&self.converters.header, there, &self.part, &mut self.lines);
            self.lines.push(b']');
        }
        self.lines.extend_from_slice(b"],\"key\":");
        self.part.clear();
        let there = self.converters.key.key(event, processed, &mut self.part)?;
        put(&self.converters.key, there, &self.part, &mut self.lines);
        self.lines.extend_from_slice(b",\"value\":");
        self.part.clear();
        let there = self.converters.value.value(event, processed, &mut self.part)?;
        put(&self.converters.value, there, &self.part, &mut self.lines);
        self.lines.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// The bytes of a converter: JSON as it is, anything else as a JSON string.
fn put(converter: &Converter, there: bool, bytes: &[u8], out: &mut Vec<u8>) {
    match converter {
        _ if !there => out.extend_from_slice(b"null"),
        Converter::Json(_) => out.extend_from_slice(bytes),
        _ => quote(&String::from_utf8_lossy(bytes), out),
    }
}

fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[async_trait]
impl<W: Write + Send> Sink for JsonLines<W> {
    fn name(&self) -> &str {
        NAME
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack> {
        let processed = Processed::now();
        self.lines.clear();
        let mut outcome = Outcome::default();
        for (index, event) in batch.events.iter().enumerate() {
            // A table that announces its schema has no record.
            if event.operation() == Some(Operation::Table) {
                continue;
            }
            let begin = self.lines.len();
            if let Err(error) = self.line(event, processed) {
                if error.kind() != ErrorKind::Data {
                    return Err(error.context(event.origin()));
                }
                // It is for the pipeline to say what becomes of an event that has no record.
                self.lines.truncate(begin);
                outcome.rejected.push((index, error));
            }
        }
        self.out.write_all(&self.lines).and_then(|()| self.out.flush()).map_err(|error| {
            Error::configuration(format!("standard output cannot be written: {error}"))
                .with_source(error)
        })?;
        Ok(Ack::Durable(outcome))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
