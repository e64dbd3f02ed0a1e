//! What becomes of events that fail where the pipeline has a place for dead letters.

use std::fmt;
use std::sync::Arc;

use super::context::RunContext;
use super::retry::Backoff;
use crate::batch::Batch;
use crate::dead_letter::{DeadLetter, DeadLetters, Stage};
use crate::error::{Error, ErrorKind, Result};
use crate::event::ChangeEvent;
use crate::origin::Origin;

/// Where dead letters go, and what is logged of them.
pub(crate) struct Burial {
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) log: FailureLog,
}

/// What is logged of events that become dead letters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FailureLog {
    /// Each of them, with its table, position and key columns.
    pub(crate) enabled: bool,
    /// With the values of the event.
    pub(crate) with_events: bool,
}

impl fmt::Debug for Burial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Burial").field("log", &self.log).finish_non_exhaustive()
    }
}

/// An event that failed, before it is known what it was at the source.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) origin: Origin,
    pub(crate) stage: Stage,
    pub(crate) transform: Option<Arc<str>>,
    pub(crate) error: Error,
}

/// The events of a batch as the source gave them.
#[derive(Debug, Clone)]
pub(crate) struct Originals {
    pub(crate) batch: Arc<Batch>,
    /// Where there is no common chain they are those of the batch.
    pub(crate) before_chain: Option<Arc<[ChangeEvent]>>,
}

impl Originals {
    pub(crate) fn get(&self, origin: &Origin) -> Option<&ChangeEvent> {
        let place = usize::try_from(origin.place).ok()?;
        self.before_chain.as_deref().unwrap_or(&self.batch.events).get(place)
    }
}

/// Whether two events were made of one.
pub(crate) fn same_origin(a: &Origin, b: &Origin) -> bool {
    (a.batch, a.place) == (b.batch, b.place)
}

/// Whether an event that fails so may become a dead letter.
pub(crate) fn is_tolerated(error: &Error) -> bool {
    error.kind() == ErrorKind::Data
}

impl RunContext {
    /// Keeps what failed, durably, before anything goes on. `sink` is that which lacks the events, by its place and name.
    /// Transient errors are retried until the pipeline is told to stop.
    ///
    /// # Errors
    /// That of the place for dead letters, when it cannot keep them: the events come again at the next start.
    pub(crate) async fn bury(
        &self,
        sink: Option<(usize, &Arc<str>)>,
        failed: Vec<Failed>,
        original: impl Fn(&Origin) -> Option<ChangeEvent>,
    ) -> Result<()> {
        let Some(burial) = self.burial.as_ref().filter(|_| !failed.is_empty()) else {
            return Ok(());
        };
        let mut letters = Vec::with_capacity(failed.len());
        for failed in failed {
            let Some(event) = original(&failed.origin) else {
                return Err(failed.error.context(
                    "an event that failed came from none that the source gave: a transform made up its origin",
                ));
            };
            letters.push(DeadLetter {
                pipeline: Arc::clone(&self.pipeline),
                sink: sink.map(|(_, name)| Arc::clone(name)),
                stage: failed.stage,
                transform: failed.transform,
                error: (&failed.error).into(),
                event,
            });
        }
        let mut backoff = Backoff::new(self.retry);
        while let Err(error) = burial.letters.write(&letters).await {
            let error = error.context("dead letters cannot be kept");
            if !error.is_transient() {
                return Err(error);
            }
            tracing::warn!(pipeline = &*self.pipeline, %error, "trying again");
            self.progress.set_error(Some(error.to_string()));
            if !self.stop.sleep(backoff.next_wait()).await {
                return Err(error);
            }
        }
        if backoff.reset() {
            self.progress.set_error(None);
        }
        self.progress.count_dead_letters(sink.map(|(index, _)| index), letters.len() as u64);
        if burial.log.enabled {
            letters.iter().for_each(|letter| log(letter, burial.log.with_events));
        }
        Ok(())
    }
}

/// Says what failed: names of the key's columns, no values unless they are asked for.
fn log(letter: &DeadLetter, with_event: bool) {
    let event = &letter.event;
    let fields = event.as_change().and_then(|change| change.schema.key_schema());
    let names: Vec<&str> =
        fields.iter().flat_map(|key| key.fields()).map(|field| &*field.name).collect();
    let values = with_event.then(|| format!("key {:?}, value {:?}", event.key, event.value));
    tracing::warn!(
        pipeline = &*letter.pipeline,
        sink = letter.sink.as_deref(),
        stage = letter.stage.as_str(),
        transform = letter.transform.as_deref(),
        origin = %event.origin(),
        key = names.join(", "),
        error = letter.error.text,
        event = values,
        "an event failed and is a dead letter"
    );
}
