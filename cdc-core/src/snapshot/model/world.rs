//! The reader between database and targets: a shell around the merge as a source would be, every step of which the adversary
//! may delay.

use std::sync::Arc;
use std::time::Duration;

use super::database::{Database, Image, KEYS, Table, origin};
use super::schedule::{Act, KINDS};
use super::setup::{Kind, Setup, ShellFlaw, Start};
use super::tape::Tape;
use super::target::{Batch, Delivery, Offset, Target};
use crate::batch::BatchLimits;
use crate::event::{Change, ChangeEvent};
use crate::row::Row;
use crate::snapshot::{
    BarrierTicket, Began, ChunkTarget, FirstReads, Key, KeyRange, Merge, MergeOptions, Read,
    ReadId, Region, SnapshotState, Stamp, TablePlan,
};

/// A read that the shell carries out.
#[derive(Debug)]
pub(super) struct Task<V> {
    pub(super) read: Read,
    pub(super) table: Table,
    pub(super) step: Step,
    pub(super) horizon: Option<usize>,
    pub(super) visible: Option<V>,
    pub(super) rows: Vec<Row>,
    pub(super) at_end: bool,
    pub(super) generation: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Lock,
    Visible,
    Horizon,
    Began,
    Rows,
    End,
}

/// The transaction in the middle of which the stream is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside {
    done: usize,
}

pub(super) struct World<V: Kind> {
    pub(super) setup: Setup,
    pub(super) tape: Tape,
    pub(super) weights: [usize; KINDS],
    pub(super) database: Database,
    pub(super) merge: Merge<V>,
    pub(super) point: usize,
    pub(super) inside: Option<Inside>,
    /// Statements of the transaction at `point` that were done before the restart.
    pub(super) skip: usize,
    /// The generation of columns that this connection has named.
    pub(super) named: Option<usize>,
    pub(super) batch: Vec<ChangeEvent>,
    pub(super) cut: Offset,
    pub(super) tasks: Vec<Task<V>>,
    pub(super) barrier: Option<(BarrierTicket, u64)>,
    pub(super) ticket: Option<BarrierTicket>,
    pub(super) observation: Option<u64>,
    pub(super) exported: Option<usize>,
    pub(super) targets: Vec<Target>,
    pub(super) kills: usize,
    pub(super) requested: bool,
    pub(super) trace: Option<Vec<String>>,
}

type Checked = Result<(), String>;

impl<V: Kind> World<V> {
    pub(super) fn new(setup: Setup, mut tape: Tape, trace: bool) -> Self {
        let database = Database::new(setup.workload, &mut tape);
        let cut = Offset { point: (0, 0), state: SnapshotState::default() };
        World {
            setup,
            tape,
            weights: [1; KINDS],
            database,
            merge: Merge::new(MergeOptions::default(), 0, SnapshotState::default()),
            point: 0,
            inside: None,
            skip: 0,
            named: None,
            batch: Vec::new(),
            cut,
            tasks: Vec::new(),
            barrier: None,
            ticket: None,
            observation: None,
            exported: None,
            targets: Vec::new(),
            kills: 0,
            requested: false,
            trace: trace.then(Vec::new),
        }
    }

    pub(super) fn trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn options(&mut self) -> MergeOptions {
        MergeOptions {
            max_reads: self.setup.max_reads,
            chunk: ChunkTarget { first_rows: 2, bytes: 600, ..ChunkTarget::default() },
            max_remembered_bytes: if self.setup.small_memory { 400 } else { 1 << 20 },
            split_key_changes: self.setup.targets.contains(&Delivery::Idempotent),
            ..MergeOptions::default()
        }
    }

    fn plans(&mut self) -> Vec<TablePlan> {
        let mut keyed = TablePlan::new((**Table::Keyed.id()).clone(), ["id"]);
        let key = |database: &Database, at| Key::new([database.key(at)]).expect("a key");
        keyed.ranges = match self.tape.pick(3) {
            0 => vec![KeyRange::all()],
            1 => KeyRange::between([key(&self.database, 2)]),
            _ => KeyRange::between([key(&self.database, 1), key(&self.database, 3)]),
        };
        let bag = TablePlan::new((**Table::Bag.id()).clone(), Vec::<String>::new());
        vec![keyed, bag]
    }

    pub(super) fn start(&mut self) {
        const STARTS: [Start; 3] = [Start::Exported, Start::Merged, Start::OnDemand];
        let exact = if V::EXACT { 0 } else { 1 };
        let start = self
            .setup
            .start
            .unwrap_or_else(|| STARTS[exact + self.tape.pick(STARTS.len() - exact)]);
        self.point = self.database.flushed;
        let options = self.options();
        self.merge = Merge::new(options, self.point, SnapshotState::default());
        let plans = self.plans();
        match start {
            Start::Exported => {
                self.exported = Some(self.point);
                self.merge.request(plans, FirstReads::Exported);
            }
            Start::Merged => self.merge.request(plans, FirstReads::Own),
            Start::NewlyStreamed => {
                self.database.begin_to_stream(&mut self.tape);
                let mut plans = plans;
                for plan in &mut plans {
                    plan.newly_streamed = self.setup.flaw != Some(ShellFlaw::AsIfStreamed);
                }
                self.merge.request(plans, FirstReads::Own);
            }
            Start::OnDemand => {}
        }
        self.requested = start != Start::OnDemand;
        self.cut = Offset::at_rest((self.point, 0), &self.merge.state());
        for delivery in self.setup.targets {
            let mut target = Target::new(*delivery, &self.cut);
            if start == Start::OnDemand {
                target.fill(&self.database);
            }
            self.targets.push(target);
        }
        let point = self.point;
        self.say(|| format!("the reader starts {start:?} at {point}"));
    }

    fn place(&self) -> (usize, usize) {
        (self.point, self.inside.map_or(0, |inside| inside.done))
    }

    fn state(&self) -> SnapshotState {
        let mut state = self.merge.state();
        if self.setup.flaw == Some(ShellFlaw::PendingKeysNotSaved) {
            for table in &mut state.tables {
                table.again.clear();
            }
            state.tables.retain(|table| !table.left.is_empty());
        }
        state
    }

    /// Whether there is something to save, beside events.
    pub(super) fn has_moved(&self) -> bool {
        self.place() != self.cut.point || self.state() != self.cut.state
    }

    pub(super) fn act(&mut self, act: Act) -> Checked {
        match act {
            Act::Begin => {
                if let Some(said) = self.database.begin(&mut self.tape) {
                    self.say(|| said);
                }
            }
            Act::Commit(number) => {
                self.database.commit(number);
                let place = self.database.log.len() - 1;
                self.say(|| format!("T{number} has its commit in the log at {place}"));
            }
            Act::Abort(number) => {
                self.database.abort(number);
                self.say(|| format!("T{number} is rolled back"));
            }
            Act::BecomeVisible(number) => {
                self.database.become_visible(number);
                self.say(|| format!("T{number} is visible"));
            }
            Act::Shown(number) => {
                self.database.transactions[number].shown = true;
                self.say(|| format!("T{number} is said to be visible"));
            }
            Act::Flush => self.database.flushed = self.database.log.len(),
            Act::Deliver => self.deliver()?,
            Act::Take => self.take(),
            Act::Cut => self.cut()?,
            Act::AskBarrier => {
                if let Some(ticket) = self.ticket.take() {
                    let ids = match self.setup.flaw {
                        Some(ShellFlaw::NoBarrier) => 0,
                        _ if V::EXACT => self.database.locked_ids(),
                        _ => self.database.logged_before(self.point),
                    };
                    self.barrier = Some((ticket, ids));
                    self.say(|| format!("the barrier is asked for: {ids:b}"));
                }
            }
            Act::AnswerBarrier => {
                if let Some((ticket, ids)) = self.barrier.take() {
                    self.merge.barrier(ticket, &ids);
                    self.say(|| "the barrier is known".into());
                }
            }
            Act::LoseBarrier => {
                if let Some((ticket, _)) = self.barrier.take() {
                    self.merge.no_barrier(ticket);
                }
            }
            Act::Observe => self.observation = Some(self.database.shown()),
            Act::Observed => {
                if let Some(shown) = self.observation.take() {
                    self.merge.observed(V::new(shown));
                    self.say(|| format!("observed: {shown:b} are visible"));
                }
            }
            Act::Open => {
                if let Some(read) = self.merge.next_read() {
                    self.say(|| format!("{read:?}"));
                    let keyed = read.table == *Table::Keyed.id();
                    self.tasks.push(Task {
                        table: if keyed { Table::Keyed } else { Table::Bag },
                        read,
                        step: Step::Lock,
                        horizon: None,
                        visible: None,
                        rows: Vec::new(),
                        at_end: true,
                        generation: 0,
                    });
                }
            }
            Act::Advance(at) => self.advance(at)?,
            Act::Fail(at) => {
                let id = self.end_task(at);
                self.merge.read_failed(id);
                self.say(|| format!("{id:?} fails"));
            }
            Act::Write(at) => {
                self.targets[at].write_batch(&self.database)?;
                self.say(|| format!("target {at} writes a batch"));
            }
            Act::Save(at) => self.targets[at].save(),
            Act::Kill => self.kill()?,
            Act::Request => {
                self.requested = true;
                let plans = self.plans();
                self.say(|| "a snapshot is asked for".into());
                self.exported = None;
                self.merge.request(plans, FirstReads::Own);
            }
            Act::Pause => {
                self.say(|| "pause".into());
                self.exported = None;
                self.merge.pause();
            }
            Act::Resume => self.merge.resume(),
            Act::Lag(lagging) => self.merge.set_lagging(lagging),
            Act::LoseExported => {
                while !self.tasks.is_empty() {
                    let id = self.end_task(0);
                    self.merge.read_failed(id);
                }
                self.exported = None;
                self.merge.rebase();
                self.say(|| "the exported snapshot is gone".into());
            }
        }
        if self.merge.is_idle() {
            self.exported = None;
        }
        Ok(())
    }

    /// One message of the stream.
    fn deliver(&mut self) -> Checked {
        let number = self.database.log[self.point];
        let transaction = self.database.transactions[number].clone();
        let Some(Inside { done }) = self.inside else {
            self.merge.begin(&transaction.origin);
            let flaw = self.setup.flaw == Some(ShellFlaw::NothingAlreadyDone);
            for index in 0..self.skip {
                if let (false, Some(event)) = (flaw, self.database.change(self.point, index)) {
                    self.merge.already_done(event).map_err(|error| error.to_string())?;
                }
            }
            let (point, skip) = (self.point, self.skip);
            self.say(|| format!("T{number} comes by at {point}, {skip} done"));
            self.inside = Some(Inside { done: std::mem::take(&mut self.skip) });
            return Ok(());
        };
        if done == transaction.statements.len() {
            self.point += 1;
            self.inside = None;
            let point = self.point;
            self.say(|| format!("T{number} has come by, at {point}"));
            return self.merge.commit(point).map_err(|error| error.to_string());
        }
        if let Some(event) = self.database.change(self.point, done) {
            let generation = self.database.history[self.point][done].generation;
            let keyed = transaction.statements[done].table() == Table::Keyed;
            if keyed && self.named != Some(generation) {
                self.named = Some(generation);
                let schema = self.database.schema(Table::Keyed, generation);
                let table = Change::table(schema);
                let origin = Arc::clone(&transaction.origin);
                let event = self.database.event(Table::Keyed, table, origin, done);
                self.change(event)?;
            }
            self.change(event)?;
        }
        self.inside = Some(Inside { done: done + 1 });
        self.say(|| format!("statement {done} of T{number} came by"));
        Ok(())
    }

    fn change(&mut self, event: ChangeEvent) -> Checked {
        self.merge.change(event, &mut self.batch).map_err(|error| error.to_string())
    }

    fn take(&mut self) {
        let done = self.inside.map_or(0, |inside| inside.done);
        let stamp = Stamp {
            transaction: origin(None, self.point as u64, done as u64),
            log_position: self.point as u64,
        };
        let more = 1 + self.tape.pick(3);
        let limits = BatchLimits { max_events: more, ..BatchLimits::default() };
        let before = self.batch.len();
        self.merge.take(&limits, &stamp, |event, _| self.batch.push(event));
        let point = (self.point, done);
        if self.trace.is_some() {
            let rows: Vec<String> = self.batch[before..]
                .iter()
                .filter_map(ChangeEvent::as_change)
                .map(|change| format!("{:?} {:?}", change.operation, change.row()))
                .collect();
            self.say(|| format!("taken at {point:?}: {rows:?}"));
        }
    }

    fn cut(&mut self) -> Checked {
        let offset = Offset::at_rest(self.place(), &self.state());
        if !self.batch.is_empty() && offset.order() <= self.cut.order() {
            return Err(format!("a batch ends where it began: {offset:?}"));
        }
        self.cut = offset.clone();
        let events = std::mem::take(&mut self.batch);
        self.say(|| format!("a batch of {} ends at {offset:?}", events.len()));
        for target in &mut self.targets {
            target.queue.push_back(Batch { events: events.clone(), offset: offset.clone() });
        }
        Ok(())
    }

    fn end_task(&mut self, at: usize) -> ReadId {
        let task = self.tasks.remove(at);
        if task.step != Step::Lock {
            self.database.readers[task.table as usize] -= 1;
        }
        task.read.id
    }

    fn advance(&mut self, at: usize) -> Checked {
        if !self.merge.is_wanted(self.tasks[at].read.id) {
            self.end_task(at);
            return Ok(());
        }
        let flaw = self.setup.flaw;
        let id = self.tasks[at].read.id;
        let horizon = match flaw {
            Some(ShellFlaw::HorizonIsFlushed) => self.database.flushed,
            Some(ShellFlaw::HorizonIsVisible) => {
                let shown = self.database.shown();
                let seen = |place: &usize| shown >> self.database.log[*place] & 1 == 1;
                (0..self.database.log.len()).filter(seen).max().map_or(0, |place| place + 1)
            }
            _ => self.exported.unwrap_or(self.database.log.len()),
        };
        match self.tasks[at].step {
            Step::Lock => {
                let table = self.tasks[at].table;
                self.database.readers[table as usize] += 1;
                self.tasks[at].step = Step::Visible;
                if flaw == Some(ShellFlaw::HorizonBeforeVisible) {
                    self.tasks[at].horizon = Some(horizon);
                }
            }
            Step::Visible => {
                let shown = self.database.shown();
                let (rows, at_end, generation) = self.read(&self.tasks[at].read);
                let task = &mut self.tasks[at];
                task.visible = Some(match self.exported {
                    Some(place) => V::exported(place),
                    None => V::new(shown),
                });
                (task.rows, task.at_end, task.generation) = (rows, at_end, generation);
                task.step = Step::Horizon;
                let rows = task.rows.clone();
                self.say(|| format!("{id:?} reads {rows:?} where {shown:b} are visible"));
            }
            Step::Horizon => {
                let task = &mut self.tasks[at];
                let horizon = *task.horizon.get_or_insert(horizon);
                task.step = Step::Began;
                self.say(|| format!("{id:?} has the horizon {horizon}"));
            }
            Step::Began => {
                let task = &mut self.tasks[at];
                task.step = Step::Rows;
                let schema = self.database.schema(task.table, task.generation);
                let (Some(visible), Some(horizon)) = (task.visible.clone(), task.horizon) else {
                    return Err("a read without a snapshot".into());
                };
                let destination = task.table.destination();
                self.say(|| format!("{id:?} is known to have begun"));
                self.merge.read_began(id, Began { visible, horizon, schema, destination });
            }
            Step::Rows => {
                if !self.merge.takes_rows(id) {
                    return Ok(());
                }
                let task = &mut self.tasks[at];
                let some = 1 + self.tape.pick(2);
                let rows: Vec<Row> = task.rows.drain(..some.min(task.rows.len())).collect();
                if task.rows.is_empty() {
                    task.step = Step::End;
                }
                let bytes = rows.iter().map(Row::size).sum();
                self.merge.read_rows(id, rows, bytes);
            }
            Step::End => {
                let at_end = self.tasks[at].at_end;
                self.end_task(at);
                self.say(|| format!("{id:?} has ended"));
                let time = Duration::from_millis(1);
                self.merge.read_ended(id, at_end, time).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// What the read sees now.
    fn read(&self, read: &Read) -> (Vec<Row>, bool, usize) {
        let database = &self.database;
        let state = match self.exported {
            Some(place) => &database.history[place][0],
            None => &database.visible,
        };
        let name = |key: usize| Key::new([database.key(key)]).expect("a key");
        let wanted = |key: &usize| match &read.region {
            Region::Range(range) => range.contains(&name(*key), true) == Some(true),
            Region::Keys(keys) => keys.contains(&name(*key)),
            Region::Whole => false,
        };
        if read.region == Region::Whole {
            return (state.bag.iter().map(|value| database.bag_row(*value)).collect(), true, 0);
        }
        let generation = state.generation;
        let rows: Vec<Row> = (0..KEYS)
            .filter(wanted)
            .filter_map(|key| state.shown(key).map(|row| (key, row)))
            .map(|(key, row)| database.row(key, row, Image::Complete, generation))
            .collect();
        let most = usize::try_from(read.max_rows).unwrap_or(usize::MAX);
        let at_end = rows.len() <= most;
        (rows.into_iter().take(most).collect(), at_end, generation)
    }

    fn kill(&mut self) -> Checked {
        self.kills += 1;
        while !self.tasks.is_empty() {
            self.end_task(0);
        }
        let written = self.tape.pick(8);
        for target in &mut self.targets {
            target.kill(&self.database, written)?;
        }
        (self.ticket, self.barrier, self.observation) = (None, None, None);
        self.exported = None;
        (self.inside, self.named) = (None, None);
        self.batch.clear();
        let saved: Vec<&Offset> = self.targets.iter().map(|target| &target.saved).collect();
        let Some(earliest) = saved.iter().min_by_key(|offset| offset.point) else {
            return Err("no target".into());
        };
        let state = match self.setup.flaw {
            Some(ShellFlaw::MeetIsTheEarlier) => earliest.state.clone(),
            _ => saved
                .iter()
                .skip(1)
                .fold(saved[0].state.clone(), |state, offset| state.union(&offset.state)),
        };
        let (place, done) = earliest.point;
        (self.point, self.skip) = (place, done);
        self.cut = Offset::at_rest((place, done), &state);
        let cut = self.cut.clone();
        self.say(|| format!("KILL; it goes on at {cut:?}"));
        let options = self.options();
        self.merge = Merge::new(options, place, state);
        Ok(())
    }
}
