//! What can happen next, and what the adversary chooses.

use super::database::Status;
use super::setup::Kind;
use super::world::{Step, World};

/// Kinds of acts, which are as likely as each other.
pub(super) const KINDS: usize = 10;
const KILL: usize = 8;
const REQUEST: usize = 9;

impl Act {
    fn kind(&self) -> usize {
        match self {
            Act::Begin => 0,
            Act::Commit(_) | Act::Abort(_) | Act::Flush => 1,
            Act::BecomeVisible(_) => 2,
            Act::Shown(_) => 3,
            Act::Deliver => 4,
            Act::Take | Act::Cut | Act::Write(_) | Act::Save(_) => 5,
            Act::AskBarrier | Act::AnswerBarrier | Act::Observe | Act::Observed => 6,
            Act::Open | Act::Advance(_) => 7,
            Act::Kill | Act::LoseExported | Act::Fail(_) | Act::LoseBarrier => KILL,
            Act::Request | Act::Pause | Act::Resume | Act::Lag(_) => REQUEST,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Begin,
    Commit(usize),
    Abort(usize),
    BecomeVisible(usize),
    Shown(usize),
    Flush,
    Deliver,
    Take,
    Cut,
    AskBarrier,
    AnswerBarrier,
    LoseBarrier,
    Observe,
    Observed,
    Open,
    Advance(usize),
    Fail(usize),
    Write(usize),
    Save(usize),
    Kill,
    Request,
    Pause,
    Resume,
    Lag(bool),
    LoseExported,
}

type Checked = Result<(), String>;

impl<V: Kind> World<V> {
    /// Runs the schedule to its end.
    pub(super) fn run(&mut self) -> Checked {
        // Each schedule has things that happen often and things that hardly do: a commit that stays invisible while everything
        // else goes on is what an even choice would seldom find.
        for weight in &mut self.weights {
            *weight = [2, 4, 8, 16, 1][self.tape.pick(5)];
        }
        let disturbance = [0, 1, 1, 2][self.tape.pick(4)];
        (self.weights[KILL], self.weights[REQUEST]) = (disturbance, self.tape.pick(2));
        // The log is in the middle of something when the reader comes.
        for _ in 0..self.tape.pick(12) {
            let acts = self.database_acts(false);
            if !acts.is_empty() {
                let act = acts[self.tape.pick(acts.len())];
                self.act(act)?;
            }
        }
        self.start();
        while !self.tape.is_at_end() {
            let acts = self.acts(false);
            if acts.is_empty() {
                break;
            }
            let weight = |act: &Act| self.weights[act.kind()];
            let total: usize = acts.iter().map(weight).sum();
            // A choice is used up even where there is none, or a tape might never end.
            let mut choice = self.tape.pick(total.max(2)) % total.max(1);
            let chosen = acts.iter().find(|act| {
                let weight = self.weights[act.kind()];
                let found = choice < weight;
                choice = choice.saturating_sub(weight);
                found
            });
            self.act(*chosen.unwrap_or(&acts[0]))?;
        }
        self.say(|| "the rest runs without disturbance".into());
        let mut steps = 0;
        loop {
            let acts = self.acts(true);
            if acts.is_empty() {
                break;
            }
            let act = acts[self.tape.pick(acts.len())];
            self.act(act)?;
            steps += 1;
            if steps > 5_000 {
                return Err("it does not end".into());
            }
        }
        if self.point != self.database.log.len() || !self.merge.is_idle() {
            return Err(format!("stuck at {} with {:?}", self.point, self.merge.progress()));
        }
        self.targets.iter().try_for_each(|target| target.check_end(&self.database))
    }

    fn database_acts(&self, end: bool) -> Vec<Act> {
        let mut acts = Vec::new();
        let database = &self.database;
        if !end && database.transactions.len() < database.workload.transactions {
            acts.extend([Act::Begin, Act::Begin]);
        }
        for (number, transaction) in database.transactions.iter().enumerate() {
            match transaction.status {
                Status::Active => {
                    acts.push(Act::Commit(number));
                    if !end && number % 4 == 3 {
                        acts.push(Act::Abort(number));
                    }
                }
                Status::Logged if database.can_be_visible(number) => {
                    acts.push(Act::BecomeVisible(number));
                }
                Status::Visible if !transaction.shown => acts.push(Act::Shown(number)),
                _ => {}
            }
        }
        if database.flushed < database.log.len() {
            acts.push(Act::Flush);
        }
        acts
    }

    fn acts(&mut self, end: bool) -> Vec<Act> {
        let mut acts = self.database_acts(end);
        if self.merge.has_events() {
            acts.extend([Act::Take, Act::Take]);
        } else if (self.inside.is_some() || self.point < self.database.flushed)
            && self.exported.is_none()
            && !self.merge.holds_stream()
        {
            acts.extend([Act::Deliver, Act::Deliver, Act::Deliver]);
        }
        if !self.batch.is_empty() || self.has_moved() {
            acts.push(Act::Cut);
        }
        if self.barrier.is_none() && self.ticket.is_none() {
            self.ticket = self.merge.wants_barrier();
        }
        match self.barrier {
            None if self.ticket.is_some() => acts.push(Act::AskBarrier),
            None => {}
            Some(_) => {
                acts.push(Act::AnswerBarrier);
                if !end {
                    acts.push(Act::LoseBarrier);
                }
            }
        }
        match self.observation {
            None if self.merge.wants_visible() => acts.push(Act::Observe),
            None => {}
            Some(_) => acts.push(Act::Observed),
        }
        if self.tasks.len() < self.setup.max_reads {
            acts.push(Act::Open);
        }
        for (at, task) in self.tasks.iter().enumerate() {
            if task.step != Step::Lock || self.database.can_lock(task.table) {
                acts.push(Act::Advance(at));
                if !end && task.read.id.0 % 5 == 4 {
                    acts.push(Act::Fail(at));
                }
            }
        }
        for (at, target) in self.targets.iter().enumerate() {
            if !target.queue.is_empty() {
                acts.push(Act::Write(at));
            }
            if target.can_save() {
                acts.push(Act::Save(at));
            }
        }
        if end {
            acts.push(Act::Resume);
            acts.push(Act::Lag(false));
            if !self.requested {
                acts.push(Act::Request);
            }
            if self.is_over() {
                return Vec::new();
            }
        } else {
            if self.exported.is_some() && self.kills < self.setup.kills {
                acts.push(Act::LoseExported);
            }
            if self.kills < self.setup.kills {
                acts.push(Act::Kill);
            }
            if self.setup.requests || !self.requested {
                acts.push(Act::Request);
            }
            if self.setup.requests {
                acts.extend([Act::Pause, Act::Resume, Act::Resume]);
                acts.extend([Act::Lag(true), Act::Lag(false), Act::Lag(false)]);
            }
        }
        acts
    }

    fn is_over(&self) -> bool {
        self.requested
            && self.database_acts(true).is_empty()
            && self.point == self.database.log.len()
            && self.inside.is_none()
            && !self.merge.has_events()
            && self.merge.is_idle()
            && self.batch.is_empty()
            && !self.has_moved()
            && self.targets.iter().all(|target| target.is_caught_up(&self.cut))
    }
}
