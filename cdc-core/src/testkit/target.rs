//! A target in memory, and sinks of every kind that write to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::event::{Change, ChangeEvent, Operation};
use crate::offset::Offset;
use crate::row::Row;
use crate::sink::{Ack, Delivery, Outcome, Sink, TransactionalSink};
use crate::source::SystemIdentity;

/// The rows of a table, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct TableContent(Vec<Row>);

impl TableContent {
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = self.0.clone();
        rows.sort_by_cached_key(|row| format!("{row:?}"));
        rows
    }

    fn find(&self, row: &Row) -> Option<usize> {
        match row.key() {
            Some(key) => self.0.iter().position(|row| row.key().as_ref() == Some(&key)),
            None => self.0.iter().position(|other| other == row),
        }
    }

    /// Applies one change.
    pub(super) fn apply(&mut self, change: &Change) -> Result<()> {
        match (change.operation, &change.before, change.completed_after()) {
            (Operation::Table, ..) => {}
            (Operation::Truncate, ..) => self.0.clear(),
            (Operation::Delete, Some(before), _) => {
                if let Some(at) = self.find(before) {
                    self.0.remove(at);
                }
            }
            (Operation::Read | Operation::Create, _, Some(after)) => {
                if after.key().is_some()
                    && let Some(at) = self.find(&after)
                {
                    self.0.remove(at);
                }
                self.0.push(after);
            }
            (Operation::Update, before, Some(mut after)) => {
                let from =
                    before.as_ref().filter(|_| after.key().is_none() || change.old_key().is_some());
                let at = self.find(from.unwrap_or(&after));
                let old = at.map(|at| self.0.remove(at));
                for index in 0..after.len() {
                    if after.get(index).is_some_and(|value| value.is_unavailable()) {
                        let Some(value) = old.as_ref().and_then(|old| old.value(index)) else {
                            return Err(Error::data(
                                "an update lacks columns of a row that is not there",
                            ));
                        };
                        after.set(index, value);
                    }
                }
                if after.key().is_some()
                    && let Some(at) = self.find(&after)
                {
                    self.0.remove(at);
                }
                self.0.push(after);
            }
            _ => return Err(Error::data("a change without its row")),
        }
        Ok(())
    }
}

/// A target in memory that outlives the sinks which write to it. It can be told to fail, to wait and to reject.
#[derive(Debug, Clone, Default)]
pub struct MemoryTarget(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, TableContent>,
    pipelines: BTreeMap<String, Pipeline>,
    faults: VecDeque<Fault>,
    held: bool,
    seen: Vec<ChangeEvent>,
    batches: u64,
    opened: u64,
    closed: u64,
    waiting: Vec<(Arc<Batch>, oneshot::Sender<Result<Outcome>>)>,
    identity: Option<SystemIdentity>,
    refused: Refused,
}

/// Which events the target does not take.
#[derive(Default)]
struct Refused(Option<Box<Predicate>>);

type Predicate = dyn Fn(&ChangeEvent) -> bool + Send;

impl Refused {
    fn contains(&self, event: &ChangeEvent) -> bool {
        self.0.as_ref().is_some_and(|refused| refused(event))
    }

    fn error() -> Error {
        Error::data("the target does not take this value")
    }
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refused")
    }
}

/// What the target keeps for one pipeline.
#[derive(Debug, Default)]
struct Pipeline {
    offset: Option<Offset>,
    epoch: u64,
}

/// What happens to the next write.
#[derive(Debug)]
pub enum Fault {
    /// It fails and changes nothing.
    Fail(Error),
    /// It is carried out, and then fails: its end is in doubt.
    InDoubt(Error),
    /// The event at this index of its batch is rejected, the others land.
    Reject(usize),
    /// It succeeds: the fault after it waits for the write after that.
    None,
}

impl MemoryTarget {
    /// An empty target.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next write that has no fault yet end this way. Faults queue up.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// From now on the target does not take such events: a transactional sink fails a batch that has one, any other sink
    /// rejects them.
    pub fn refuse(&self, refused: impl Fn(&ChangeEvent) -> bool + Send + 'static) {
        self.lock().refused = Refused(Some(Box::new(refused)));
    }

    /// Writes wait from now on until [`MemoryTarget::let_go`].
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// Writes go on.
    pub fn let_go(&self) {
        self.lock().held = false;
        self.0.released.notify_waiters();
    }

    /// The rows of a table, sorted.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.lock().tables.get(table).map(TableContent::rows).unwrap_or_default()
    }

    /// Whether the table exists.
    pub fn has_table(&self, table: &str) -> bool {
        self.lock().tables.contains_key(table)
    }

    /// The offset that was committed with the data, by the only pipeline.
    pub fn offset(&self) -> Option<Offset> {
        self.lock().pipelines.values().find_map(|pipeline| pipeline.offset.clone())
    }

    /// Every event that landed, in order, repeated ones too.
    pub fn seen(&self) -> Vec<ChangeEvent> {
        self.lock().seen.clone()
    }

    /// How many batches landed, and how often sinks were opened and closed.
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.batches, state.opened, state.closed)
    }

    /// Loses everything, as if the target were replaced by an empty one.
    pub fn wipe(&self) {
        *self.lock() = State::default();
    }

    /// Says that the target is this database.
    pub fn set_identity(&self, identity: SystemIdentity) {
        self.lock().identity = Some(identity);
    }

    /// The batches of a [`pending`](MemoryTarget::pending) sink that wait, by their number in the run.
    pub fn waiting(&self) -> Vec<u64> {
        self.lock().waiting.iter().map(|(batch, _)| batch.sequence).collect()
    }

    /// Ends a write of a [`pending`](MemoryTarget::pending) sink. It lands, unless the end is an error.
    pub fn settle(&self, sequence: u64, end: Result<()>) {
        let mut state = self.lock();
        let Some(at) = state.waiting.iter().position(|(batch, _)| batch.sequence == sequence)
        else {
            return;
        };
        let (batch, ended) = state.waiting.remove(at);
        let result = end.and_then(|()| {
            let rejected = state.refused(&batch);
            state.apply_but(&batch, &rejected)?;
            let reject = |index| (index, Refused::error());
            Ok(Outcome { rejected: rejected.into_iter().map(reject).collect() })
        });
        // The pipeline may have been aborted.
        let _ = ended.send(result);
    }

    /// A sink that upserts and deletes by key.
    pub fn idempotent(&self, name: &str) -> MemorySink {
        self.sink(name, Delivery::Idempotent)
    }

    /// A sink that commits the offset with the data.
    pub fn transactional(&self, name: &str) -> MemorySink {
        self.sink(name, Delivery::Transactional)
    }

    /// A sink whose writes wait for [`MemoryTarget::settle`].
    pub fn pending(&self, name: &str) -> MemorySink {
        MemorySink { pending: true, ..self.sink(name, Delivery::Idempotent) }
    }

    fn sink(&self, name: &str, delivery: Delivery) -> MemorySink {
        MemorySink {
            name: name.to_owned(),
            target: self.clone(),
            delivery,
            loaded: None,
            pending: false,
        }
    }

    async fn wait_until_let_go(&self) {
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.lock().held {
                return;
            }
            released.await;
        }
    }
}

impl State {
    /// The events of a batch that the target does not take.
    fn refused(&self, batch: &Batch) -> Vec<usize> {
        let events = batch.events.iter().enumerate();
        events.filter(|(_, event)| self.refused.contains(event)).map(|(index, _)| index).collect()
    }

    fn apply_but(&mut self, batch: &Batch, rejected: &[usize]) -> Result<()> {
        for (index, event) in batch.events.iter().enumerate() {
            if rejected.contains(&index) {
                continue;
            }
            self.seen.push(event.clone());
            if let Some(change) = event.as_change() {
                self.tables.entry(event.destination.to_string()).or_default().apply(change)?;
            }
        }
        self.batches += 1;
        Ok(())
    }

    fn write(&mut self, batch: &Batch, pipeline: Option<&str>) -> Result<Outcome> {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let mut rejected = self.refused(batch);
        match &fault {
            Fault::Fail(error) => return Err(error.duplicate()),
            Fault::Reject(index) => rejected.push(*index),
            _ if pipeline.is_some() && !rejected.is_empty() => return Err(Refused::error()),
            _ => {}
        }
        self.apply_but(batch, &rejected)?;
        if let Some(pipeline) = pipeline {
            let kept = self.pipelines.entry(pipeline.to_owned()).or_default();
            kept.offset = Some(batch.offset.clone());
        }
        if let Fault::InDoubt(error) = fault {
            return Err(error);
        }
        let reject = |index| (index, Refused::error());
        Ok(Outcome { rejected: rejected.into_iter().map(reject).collect() })
    }
}

/// Writes to a [`MemoryTarget`].
#[derive(Debug)]
pub struct MemorySink {
    name: String,
    target: MemoryTarget,
    delivery: Delivery,
    /// The pipeline it was loaded for, and the fence it got.
    loaded: Option<(String, u64)>,
    pending: bool,
}

impl MemorySink {
    /// The same sink with another promise about repeated writes.
    #[must_use]
    pub fn delivering(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// The pipeline, where no other instance has taken the fence since.
    fn fenced<'a>(&'a self, state: &State) -> Result<&'a str> {
        let Some((pipeline, epoch)) = &self.loaded else {
            return Err(Error::configuration("the sink was not loaded"));
        };
        if state.pipelines.get(pipeline).is_none_or(|kept| kept.epoch != *epoch) {
            return Err(Error::fenced("another instance writes to the target now"));
        }
        Ok(pipeline)
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> &str {
        &self.name
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    async fn open(&mut self) -> Result<()> {
        self.target.lock().opened += 1;
        Ok(())
    }

    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack> {
        self.target.wait_until_let_go().await;
        let mut state = self.target.lock();
        if !self.pending {
            return state.write(&batch, None).map(Ack::Durable);
        }
        let (ended, end) = oneshot::channel();
        state.waiting.push((batch, ended));
        Ok(Ack::pending(async {
            end.await.unwrap_or_else(|_| Err(Error::transient("the target is gone")))
        }))
    }

    fn transactional(&mut self) -> Option<&mut dyn TransactionalSink> {
        (self.delivery == Delivery::Transactional).then_some(self)
    }

    fn identity(&self) -> Option<SystemIdentity> {
        self.target.lock().identity.clone()
    }

    async fn close(&mut self) -> Result<()> {
        self.target.lock().closed += 1;
        Ok(())
    }
}

#[async_trait]
impl TransactionalSink for MemorySink {
    async fn peek(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        let state = self.target.lock();
        Ok(state.pipelines.get(pipeline).and_then(|kept| kept.offset.clone()))
    }

    async fn load(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        let mut state = self.target.lock();
        if self.loaded.is_some() {
            self.fenced(&state)?;
        }
        let kept = state.pipelines.entry(pipeline.to_owned()).or_default();
        kept.epoch += 1;
        self.loaded = Some((pipeline.to_owned(), kept.epoch));
        Ok(kept.offset.clone())
    }

    async fn commit(&mut self, batch: Arc<Batch>) -> Result<Outcome> {
        self.target.wait_until_let_go().await;
        let mut state = self.target.lock();
        let pipeline = self.fenced(&state)?;
        state.write(&batch, Some(pipeline))
    }

    async fn find_rejected(&mut self, batch: Arc<Batch>) -> Result<Vec<(usize, Error)>> {
        let state = self.target.lock();
        self.fenced(&state)?;
        Ok(state.refused(&batch).into_iter().map(|index| (index, Refused::error())).collect())
    }

    async fn forget(&mut self, pipeline: &str) -> Result<()> {
        self.target.lock().pipelines.remove(pipeline);
        Ok(())
    }
}
