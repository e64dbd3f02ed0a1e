//! A log of transactions in memory, and the source that reads it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::log_position::{LogPositions, Phase as OffsetPhase, Position};
use super::target::TableContent;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::event::{Change, ChangeEvent, Destination};
use crate::offset::Offset;
use crate::origin::{Origin, SnapshotMark, TransactionId, TransactionOrigin};
use crate::request::{Answer, Request};
use crate::row::Row;
use crate::schema::{Schema, TableId};
use crate::source::{Acknowledge, Acknowledger, Positions, Source, SourceContext, SystemIdentity};
use crate::status::{Phase, Progress};

/// A server in memory: transactions are committed to it, [sources](MemoryLog::source) read it, and what they
/// acknowledge is forgotten.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    tables: Vec<Arc<Schema>>,
    transactions: Vec<Arc<[Change]>>,
    ended: bool,
    reader: Option<u64>,
    faults: Vec<(Moment, Error)>,
    released: Option<Offset>,
    released_commit: u64,
    /// The transaction after which the slot was made.
    slot: Option<u64>,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    takes_requests: bool,
    starts: Vec<Option<Offset>>,
}

/// When a [fault](MemoryLog::fail) strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the source becomes the reader.
    Acquire,
    /// When it begins to read.
    Start,
    /// When the next batch is read.
    Read,
}

impl MemoryLog {
    /// A log of these tables, without transactions.
    pub fn new(tables: impl IntoIterator<Item = Arc<Schema>>) -> Self {
        let state = State { tables: tables.into_iter().collect(), ..State::default() };
        MemoryLog(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, update: impl FnOnce(&mut State) -> T) -> T {
        let result = update(&mut self.lock());
        self.0.changed.notify_waiters();
        result
    }

    /// Commits a transaction and gives its number, counted from 1. One without changes is an idle position.
    pub fn commit(&self, changes: impl IntoIterator<Item = Change>) -> u64 {
        self.update(|state| {
            state.transactions.push(changes.into_iter().collect());
            state.transactions.len() as u64
        })
    }

    /// Nothing more will be committed: sources end when they have read everything.
    pub fn end(&self) {
        self.update(|state| state.ended = true);
    }

    /// The next read fails as if the connection were lost.
    pub fn cut(&self) {
        self.fail(Moment::Read, Error::transient("connection lost"));
    }

    /// Fails once at that moment.
    pub fn fail(&self, moment: Moment, error: Error) {
        self.update(|state| state.faults.push((moment, error)));
    }

    /// Takes requests from now on, rather than refusing them.
    pub fn take_requests(&self) {
        self.update(|state| state.takes_requests = true);
    }

    /// The requests that were taken.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// The offset that was acknowledged last.
    pub fn acknowledged(&self) -> Option<Offset> {
        self.lock().released.clone()
    }

    /// The offsets that sources were started with, in order.
    pub fn starts(&self) -> Vec<Option<Offset>> {
        self.lock().starts.clone()
    }

    /// The rows of a table after all transactions: what a copy must equal.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let state = self.lock();
        content(&state, state.transactions.len())
            .remove(table)
            .map(|content| content.rows())
            .unwrap_or_default()
    }

    /// A source that reads the log: first what the tables hold, then the changes.
    pub fn source(&self) -> MemorySource {
        static INSTANCES: AtomicU64 = AtomicU64::new(1);
        MemorySource {
            log: self.clone(),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            snapshot: true,
            max_events: usize::MAX,
            stage: Stage::Stopped,
            progress: Progress::default(),
        }
    }
}

/// What the tables hold after so many transactions.
fn content(state: &State, transactions: usize) -> BTreeMap<String, TableContent> {
    let mut tables: BTreeMap<String, TableContent> = BTreeMap::new();
    for schema in &state.tables {
        tables.insert(table_of(schema).to_string(), TableContent::default());
    }
    for change in state.transactions.iter().take(transactions).flat_map(|changes| changes.iter()) {
        let table = tables.entry(table_of(&change.schema).to_string()).or_default();
        // The log is its own authority: a change that does not fit changes nothing.
        let _ = table.apply(change);
    }
    tables
}

fn table_of(schema: &Schema) -> TableId {
    schema.table().cloned().unwrap_or_else(|| TableId::new("public", "unnamed"))
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemorySource {
    log: MemoryLog,
    instance: u64,
    snapshot: bool,
    max_events: usize,
    stage: Stage,
    progress: Progress,
}

#[derive(Debug)]
enum Stage {
    Stopped,
    /// The intent is to be saved.
    Intent,
    /// The intent was given and is not acknowledged yet.
    IntentGiven,
    /// The slot is to be made.
    Slot,
    /// Rows are read; the stream starts after `from`, the rows show everything up to `shown`.
    Snapshot {
        events: VecDeque<ChangeEvent>,
        from: u64,
        shown: u64,
        rows: u64,
    },
    Streaming(Position),
}

impl MemorySource {
    /// Reads the changes from the first one on, without reading what the tables hold.
    #[must_use]
    pub fn without_snapshot(mut self) -> Self {
        self.snapshot = false;
        self
    }

    fn event(
        &self,
        change: &Change,
        transaction: &Arc<TransactionOrigin>,
        index: u64,
    ) -> ChangeEvent {
        let table = table_of(&change.schema);
        let origin = Origin {
            transaction: Arc::clone(transaction),
            index,
            log_position: transaction.position[0],
            table: Some(Arc::new(table.clone())),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        };
        ChangeEvent::change(Destination::of_table(&table), change.clone(), origin)
    }

    fn table_events(&self, state: &State, commit: u64) -> VecDeque<ChangeEvent> {
        let transaction = transaction(commit);
        let tables = state.tables.iter().map(|schema| Change::table(Arc::clone(schema)));
        tables.map(|change| self.event(&change, &transaction, 0)).collect()
    }

    /// The tables and their rows now. A read that repeats another one empties the tables first.
    fn read_tables(&self, state: &State, again: bool) -> VecDeque<ChangeEvent> {
        let transaction = transaction(state.transactions.len() as u64);
        let mut events = self.table_events(state, state.transactions.len() as u64);
        let mut content = content(state, state.transactions.len());
        for schema in &state.tables {
            let truncate = again.then(|| Change::truncate(Arc::clone(schema)));
            let rows = content.remove(&table_of(schema).to_string()).unwrap_or_default().rows();
            let changes = truncate.into_iter().chain(rows.into_iter().map(Change::read));
            for (index, change) in changes.enumerate() {
                events.push_back(self.event(&change, &transaction, index as u64));
            }
        }
        events.into_iter().map(|event| mark(event, SnapshotMark::Row, false)).collect()
    }

    fn begin(&mut self, state: &mut State, resume: Option<&Offset>) -> Result<()> {
        let now = state.transactions.len() as u64;
        let resume = resume.map(Position::of).transpose()?;
        self.stage = match resume {
            None if self.snapshot => Stage::Intent,
            None => Stage::Streaming(Position::streaming(0, None, 0)),
            Some(Position { phase: OffsetPhase::Intent, .. }) if state.slot.is_none() => {
                Stage::Slot
            }
            Some(Position { phase: OffsetPhase::Intent | OffsetPhase::Snapshot, .. }) => {
                // The slot is kept, whatever was saved of it: another sink may need what came after it.
                let from = state.slot.unwrap_or(now);
                let events = self.read_tables(state, true);
                Stage::Snapshot { events, from, shown: now, rows: 0 }
            }
            Some(position) => {
                if position.commit < state.released_commit {
                    return Err(Error::configuration(format!(
                        "the log was released up to transaction {}, but the offset is at {}",
                        state.released_commit, position.commit
                    )));
                }
                Stage::Streaming(position)
            }
        };
        Ok(())
    }

    fn try_next(&mut self, state: &mut State) -> Result<Option<Batch>> {
        take_fault(state, Moment::Read)?;
        if state.reader != Some(self.instance) {
            return Err(Error::transient("another instance reads the log now"));
        }
        let limit = self.max_events;
        match &mut self.stage {
            Stage::Stopped => Err(Error::configuration("the source was not started")),
            Stage::Intent => {
                self.stage = Stage::IntentGiven;
                Ok(Some(Batch { save_now: true, ..Batch::empty(Position::INTENT.offset()) }))
            }
            Stage::IntentGiven if state.released.is_none() => Ok(None),
            Stage::IntentGiven | Stage::Slot => {
                let now = state.transactions.len() as u64;
                let again = matches!(self.stage, Stage::Slot);
                state.slot = Some(now);
                let events = self.read_tables(state, again);
                self.stage = Stage::Snapshot { events, from: now, shown: now, rows: 0 };
                let offset = Position::snapshot(now, 0).offset();
                Ok(Some(Batch { save_now: true, ..Batch::empty(offset) }))
            }
            Stage::Snapshot { events, from, shown, rows } => {
                if events.is_empty() {
                    let position = Position::streaming(*from, None, *shown);
                    self.stage = Stage::Streaming(position);
                    return Ok(Some(Batch::empty(position.offset())));
                }
                let part: Vec<_> = events.drain(..limit.min(events.len())).collect();
                *rows += part.len() as u64;
                Ok(Some(Batch::new(part, Position::snapshot(*from, *rows).offset())))
            }
            Stage::Streaming(position) => {
                let position = *position;
                let (commit, index) = position.next();
                let Ok(at) = usize::try_from(commit - 1) else { return Ok(None) };
                let Some(changes) = state.transactions.get(at).map(Arc::clone) else {
                    return Ok(None);
                };
                let shown = commit <= position.shown_until;
                let origin = transaction(commit);
                let mut events: Vec<ChangeEvent> = Vec::new();
                if commit == 1 && index == 0 && !self.snapshot {
                    events.extend(self.table_events(state, commit));
                }
                let first = usize::try_from(index).unwrap_or(usize::MAX);
                for (number, change) in changes.iter().enumerate().skip(first).take(limit) {
                    events.push(mark(
                        self.event(change, &origin, number as u64),
                        SnapshotMark::No,
                        shown,
                    ));
                }
                let done = first.saturating_add(limit).min(changes.len());
                let complete = done >= changes.len();
                let index = (!complete).then_some(done as u64);
                let reached = Position::streaming(commit, index, position.shown_until);
                self.stage = Stage::Streaming(reached);
                Ok(Some(Batch {
                    ends_transaction: complete,
                    ..Batch::new(events, reached.offset())
                }))
            }
        }
    }
}

fn mark(event: ChangeEvent, mark: SnapshotMark, shown: bool) -> ChangeEvent {
    let origin = Origin { snapshot: mark, shown_by_snapshot: shown, ..event.origin().clone() };
    ChangeEvent::new(event.destination, event.key, event.value, origin)
}

fn transaction(commit: u64) -> Arc<TransactionOrigin> {
    Arc::new(TransactionOrigin {
        connector: "memory",
        database: "shop".into(),
        id: u32::try_from(commit).ok().map(TransactionId::Xid),
        commit_time_us: i64::try_from(commit).ok(),
        position: [commit, commit],
        previous_commit: commit.checked_sub(1),
        replicated_from: None,
    })
}

fn take_fault(state: &mut State, moment: Moment) -> Result<()> {
    match state.faults.iter().position(|(at, _)| *at == moment) {
        Some(index) => Err(state.faults.remove(index).1),
        None => Ok(()),
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn acquire(&mut self, context: &SourceContext) -> Result<()> {
        self.max_events = context.limits.max_events;
        self.progress = context.progress.clone();
        let shared = Arc::clone(&self.log.0);
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.log.lock();
                take_fault(&mut state, Moment::Acquire)?;
                match state.reader {
                    Some(other) if other != self.instance => {
                        let holder = format!("instance {other}");
                        if !context.wait {
                            return Err(Error::configuration(format!(
                                "the log is read by {holder}"
                            )));
                        }
                        context.progress.set_phase(Phase::Standby { holder });
                    }
                    _ => {
                        state.reader = Some(self.instance);
                        return Ok(());
                    }
                }
            }
            changed.await;
        }
    }

    async fn start(&mut self, resume: Option<Offset>) -> Result<()> {
        let log = self.log.clone();
        let mut state = log.lock();
        take_fault(&mut state, Moment::Start)?;
        state.starts.push(resume.clone());
        self.begin(&mut state, resume.as_ref())
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        let log = self.log.clone();
        loop {
            let changed = log.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = log.lock();
                let next = self.try_next(&mut state)?;
                if matches!(self.stage, Stage::Streaming(_)) {
                    self.progress.set_phase(Phase::Streaming);
                }
                if let Some(mut batch) = next {
                    batch.answers.append(&mut state.answers);
                    return Ok(Some(batch));
                }
                if state.ended && matches!(self.stage, Stage::Streaming(_)) {
                    return Ok(None);
                }
            }
            changed.await;
        }
    }

    fn acknowledger(&self) -> Acknowledger {
        Acknowledger::new(self.log.clone())
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(LogPositions)
    }

    async fn end_of_log(&mut self) -> Result<Offset> {
        let end = self.log.lock().transactions.len() as u64;
        Ok(Position::streaming(end, None, 0).offset())
    }

    fn control(&mut self, request: Request, answer: Answer) -> Result<()> {
        self.log.update(|state| {
            if !state.takes_requests {
                return Err(request.refused("in-memory"));
            }
            state.requests.push(request);
            state.answers.push(answer);
            Ok(())
        })
    }

    fn identity(&self) -> Option<SystemIdentity> {
        let system = format!("memory:{:p}", Arc::as_ptr(&self.log.0));
        Some(SystemIdentity { system, database: "shop".to_owned() })
    }

    async fn close(&mut self) -> Result<()> {
        self.let_go();
        Ok(())
    }
}

impl MemorySource {
    fn let_go(&mut self) {
        let instance = self.instance;
        self.log.update(|state| {
            if state.reader == Some(instance) {
                state.reader = None;
            }
        });
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Acknowledge for MemoryLog {
    fn acknowledge(&self, offset: &Offset) {
        let Ok(position) = Position::of(offset) else { return };
        self.update(|state| {
            let older = state.released.as_ref().is_some_and(|released| {
                LogPositions.compare(offset, released).ok().flatten()
                    == Some(std::cmp::Ordering::Less)
            });
            if !older {
                state.released = Some(offset.clone());
                state.released_commit = state.released_commit.max(match position.phase {
                    // A transaction is forgotten when all of it is acknowledged.
                    OffsetPhase::Streaming => position.next().0.saturating_sub(1),
                    _ => 0,
                });
            }
        });
    }
}
