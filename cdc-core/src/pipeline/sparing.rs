//! Sparing: a sink is not given again what its own offset covers.

use std::cmp::Ordering;
use std::sync::Arc;

use super::burying::{Failed, same_origin};
use super::chain::Chain;
use crate::batch::Batch;
use crate::dead_letter::Stage;
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Operation};
use crate::offset::Offset;
use crate::origin::Origin;
use crate::source::{Coverage, Positions};

/// Makes of the batches of the reader those of one sink: without what it has, through its own chain.
#[derive(Debug)]
pub(crate) struct Preparation {
    sink: Arc<str>,
    chain: Chain,
    coverage: Box<dyn Coverage>,
    positions: Arc<dyn Positions>,
    /// What the sink had when it was loaded.
    own: Option<Offset>,
    /// The sink's offset while the reader is behind it: its offset never goes back.
    ahead: Option<Offset>,
    refuse_partial_moves: bool,
    /// Events that fail are given back rather than end the pipeline.
    tolerant: bool,
}

/// A batch for one sink.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// `None` when the sink's own offset covers all of it.
    pub(crate) batch: Option<Arc<Batch>>,
    /// What failed on the way and is not in it.
    pub(crate) failed: Vec<Failed>,
}

impl Preparation {
    /// For a sink whose offset at the start is `own`.
    ///
    /// # Errors
    /// When `own` is not an offset of the source.
    pub(crate) fn new(
        sink: Arc<str>,
        chain: Chain,
        positions: Arc<dyn Positions>,
        own: Option<&Offset>,
        refuse_partial_moves: bool,
        tolerant: bool,
    ) -> Result<Self> {
        let coverage = positions.coverage(own)?;
        let ahead = match own {
            Some(own) if !positions.before_first_event(own)? => Some(own.clone()),
            _ => None,
        };
        let own = own.cloned();
        Ok(Preparation {
            sink,
            chain,
            coverage,
            positions,
            own,
            ahead,
            refuse_partial_moves,
            tolerant,
        })
    }

    /// The sink was loaded again and has this offset now.
    ///
    /// # Errors
    /// When it is not an offset of the source.
    pub(crate) fn reload(&mut self, own: Option<&Offset>) -> Result<()> {
        self.coverage = self.positions.coverage(own)?;
        self.own = own.cloned();
        Ok(())
    }

    /// The offset that the sink stays at while the reader is behind it.
    pub(crate) fn ahead(&self) -> Option<&Offset> {
        self.ahead.as_ref()
    }

    /// The batch as the sink is to write it.
    ///
    /// # Errors
    /// Of the chain; of offsets that have no order; of a key change that an idempotent sink cannot repeat.
    pub(crate) fn prepare(&mut self, batch: &Arc<Batch>) -> Result<Prepared> {
        let mut failed = Vec::new();
        let wanted = batch.audience.includes(&self.sink);
        let covered = |event: &ChangeEvent| {
            !event.origin().is_of_pipeline() && self.coverage.covers(event.origin())
        };
        let spared = |event: &ChangeEvent| !wanted || covered(event);
        let events: Option<Vec<ChangeEvent>> = if batch.events.iter().any(spared) {
            Some(batch.events.iter().filter(|event| !spared(event)).cloned().collect())
        } else {
            None
        };
        let mut offset = self.positions.for_sink(self.own.as_ref(), &batch.offset)?;
        if let Some(ahead) = &self.ahead {
            match self.positions.compare(&batch.offset, ahead)? {
                Some(Ordering::Greater) => self.ahead = None,
                Some(_) if events.as_ref().unwrap_or(&batch.events).is_empty() => {
                    return Ok(Prepared { batch: None, failed });
                }
                Some(_) => offset = ahead.clone(),
                None => {
                    return Err(Error::configuration(format!(
                        "the offset {} of sink {} and the offset {} of the log have no order",
                        ahead, self.sink, batch.offset
                    ))
                    .remedy("start the pipeline anew with a snapshot"));
                }
            }
        }
        let mut prepared = if events.is_none() && offset == batch.offset && self.chain.is_empty() {
            Arc::clone(batch)
        } else {
            let events = events.unwrap_or_else(|| batch.events.clone());
            let events = match self.tolerant {
                true => self.chain.apply_or_bury(events, Stage::SinkChain, &mut failed)?,
                false => self.chain.apply(events)?,
            };
            Arc::new(Batch {
                offset,
                bytes: events.iter().map(ChangeEvent::size).sum(),
                events,
                audience: batch.audience.clone(),
                answers: Vec::new(),
                ..**batch
            })
        };
        if self.refuse_partial_moves {
            while let Some((origin, error)) = partial_move(&self.sink, &prepared) {
                if !self.tolerant {
                    return Err(error);
                }
                prepared = Arc::new(without(&prepared, |other| same_origin(other, &origin)));
                failed.push(Failed { origin, stage: Stage::Sink, transform: None, error });
            }
        }
        Ok(Prepared { batch: Some(prepared), failed })
    }
}

/// A change of the key that lacks columns cannot be repeated: another row may have come onto the old key since.
fn partial_move(sink: &str, batch: &Batch) -> Option<(Origin, Error)> {
    for event in &batch.events {
        let Some(change) = event.as_change() else { continue };
        if change.operation == Operation::Update
            && change.before.is_some()
            && change.lacks_columns()
            && change.old_key().is_some()
        {
            let table = event.origin().table.as_ref().map_or_else(
                || event.destination.to_string(),
                |table| format!("{:?}.{:?}", &*table.schema, &*table.table),
            );
            let error = Error::data(format!(
                "{}: a change of the key without all columns (an unchanged TOAST value was not sent) cannot be repeated \
                 safely in sink {sink}, which is idempotent only",
                event.origin()
            ))
            .remedy(format!(
                "ALTER TABLE {table} REPLICA IDENTITY FULL makes the server send all columns; a transactional sink does \
                 not need it"
            ));
            return Some((event.origin().clone(), error));
        }
    }
    None
}

/// The batch without the events of some origins.
pub(crate) fn without(batch: &Batch, left_out: impl Fn(&Origin) -> bool) -> Batch {
    let kept = batch.events.iter().filter(|event| !left_out(event.origin()));
    let events: Vec<ChangeEvent> = kept.cloned().collect();
    Batch {
        bytes: events.iter().map(ChangeEvent::size).sum(),
        events,
        offset: batch.offset.clone(),
        audience: batch.audience.clone(),
        answers: Vec::new(),
        ..*batch
    }
}
