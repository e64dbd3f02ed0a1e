//! `ReadToInsertEvent`: rows of a snapshot as inserts.

use cdc_core::{ChangeEvent, Operation, Payload, Result, Transform, Value};

use crate::envelope::Envelope;

/// Makes the rows that a snapshot read inserts (`io.debezium.connector.mysql.transforms.ReadToInsertEvent`).
///
/// It has no options.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Operation, Transform};
/// use cdc_smt::ReadToInsertEvent;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let event = ChangeEvent::change(Destination::named("orders"), Change::read(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// ReadToInsertEvent.apply(event, &mut out)?;
/// assert_eq!(out[0].operation(), Some(Operation::Create));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadToInsertEvent;

impl Transform for ReadToInsertEvent {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match &mut event.value {
            Payload::Change(change) if change.operation == Operation::Read => {
                change.operation = Operation::Create;
            }
            value => {
                let created = Envelope::of(value)
                    .filter(|envelope| envelope.operation().as_deref() == Some("r"))
                    .and_then(|envelope| {
                        let mut row = envelope.row().clone();
                        let op = row.schema().index_of("op")?;
                        row.set(op, Value::text("c"));
                        Some(row)
                    });
                if let Some(row) = created {
                    *value = Payload::row(row);
                }
            }
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ReadToInsertEvent"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(*self)
    }
}
