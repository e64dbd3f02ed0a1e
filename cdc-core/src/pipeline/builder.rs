//! Building a pipeline.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::burying::{Burial, FailureLog};
use super::chain::Chain;
use super::handle::Control;
use super::heartbeat::HeartbeatSettings;
use super::retry::RetryPolicy;
use super::stages::Stages;
use super::{Pipeline, SinkSlot, SourceSlot, StoreSlot, Target};
use crate::batch::BatchLimits;
use crate::dead_letter::DeadLetters;
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Destination};
use crate::offset_store::OffsetStore;
use crate::sink::{Delivery, Sink};
use crate::source::Source;
use crate::stage::Stage;
use crate::transform::Transform;

/// What can be set, with defaults that suit most.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: BatchLimits,
    pub(crate) queue_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) save_interval: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) wait_for_takeover: bool,
    pub(crate) until_caught_up: bool,
    pub(crate) table_events: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) heartbeat: Option<HeartbeatSettings>,
    pub(crate) until: Option<Until>,
    /// Whether events that fail may become dead letters; `None` where nobody has said it.
    pub(crate) tolerant: Option<bool>,
    pub(crate) failure_log: FailureLog,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: BatchLimits::default(),
            queue_bytes: 6 << 20,
            max_in_flight: 4,
            save_interval: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(30),
            wait_for_takeover: true,
            until_caught_up: false,
            table_events: false,
            retry: RetryPolicy::default(),
            heartbeat: None,
            until: None,
            tolerant: None,
            failure_log: FailureLog::default(),
        }
    }
}

/// Tells the event with which a pipeline ends.
#[derive(Clone)]
pub(crate) struct Until(Arc<dyn Fn(&ChangeEvent) -> bool + Send + Sync>);

impl Until {
    pub(crate) fn is_last(&self, event: &ChangeEvent) -> bool {
        (self.0)(event)
    }
}

impl std::fmt::Debug for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Until")
    }
}

/// Where dead letters go.
pub(super) struct LettersSlot(Arc<dyn DeadLetters>);

impl std::fmt::Debug for LettersSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dead letters")
    }
}

/// Builds a [`Pipeline`]. A source and one sink are enough; everything else has a default.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PipelineBuilder {
    pub(super) name: Arc<str>,
    pub(super) source: SourceSlot,
    pub(super) stages: Stages,
    pub(super) chain: Chain,
    pub(super) sinks: Vec<SinkSlot>,
    pub(super) store: Option<StoreSlot>,
    pub(super) dead_letters: Option<LettersSlot>,
    pub(super) settings: Settings,
}

impl PipelineBuilder {
    pub(super) fn new(name: Arc<str>, source: Box<dyn Source>) -> Self {
        PipelineBuilder {
            name,
            source: SourceSlot(source),
            stages: Stages::default(),
            chain: Chain::default(),
            sinks: Vec::new(),
            store: None,
            dead_letters: None,
            settings: Settings::default(),
        }
    }

    /// Adds a stage, which completes events before the common chain by asking the source or a service. Stages run in the
    /// order in which they are added, whatever transforms are added in between.
    pub fn stage(mut self, stage: impl Stage + 'static) -> Self {
        self.stages.push(Box::new(stage));
        self
    }

    /// Adds a transform to the common chain, which runs once for all sinks.
    pub fn transform(mut self, transform: impl Transform + 'static) -> Self {
        self.chain.push(Box::new(transform));
        self
    }

    /// Adds a sink that takes events as the common chain leaves them.
    pub fn sink(self, sink: impl Sink + 'static) -> Self {
        self.sink_with(Vec::new(), sink)
    }

    /// Adds a sink with a chain of its own after the common one.
    pub fn sink_with(
        mut self,
        transforms: Vec<Box<dyn Transform>>,
        sink: impl Sink + 'static,
    ) -> Self {
        let chain = Chain::new(transforms);
        self.sinks.push(SinkSlot {
            name: sink.name().into(),
            target: Target::Sink(Box::new(sink)),
            chain,
        });
        self
    }

    /// Where the offsets of sinks are saved that cannot keep their own: a store, or an `Arc` of one.
    pub fn offsets(mut self, store: impl OffsetStore + 'static) -> Self {
        self.store = Some(StoreSlot(Arc::new(store)));
        self
    }

    /// Keeps events on which a transform fails, or which a sink does not take, as [dead letters](crate::dead_letter), and
    /// goes on: Connect's `errors.tolerance=all`. Without it the first of them ends the pipeline.
    pub fn dead_letters(mut self, letters: impl DeadLetters + 'static) -> Self {
        self.dead_letters = Some(LettersSlot(Arc::new(letters)));
        self
    }

    /// `errors.tolerance`, where a configuration has said it.
    pub(crate) fn tolerate(mut self, all: bool) -> Self {
        self.settings.tolerant = Some(all);
        self
    }

    /// Logs each event that becomes a dead letter: which step, table, position, key columns and error; with `values` also the
    /// values of its key and its rows. The default is not to.
    pub fn log_dead_letters(mut self, values: bool) -> Self {
        self.settings.failure_log = FailureLog { enabled: true, with_events: values };
        self
    }

    /// When the source ends a batch.
    pub fn limits(mut self, limits: BatchLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How many bytes wait for each sink at most, those in flight among them; the reader waits then. Default 6 MiB.
    /// A batch that is larger passes alone.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.queue_bytes = bytes;
        self
    }

    /// How many writes may be on their way to a sink that is not transactional. Default 4.
    pub fn max_in_flight(mut self, writes: usize) -> Self {
        self.settings.max_in_flight = writes;
        self
    }

    /// How often offsets are written to the store while they change. Default 1 s.
    pub fn save_interval(mut self, interval: Duration) -> Self {
        self.settings.save_interval = interval;
        self
    }

    /// How long a graceful stop waits for the sinks. Default 30 s. What is not written by then is read again at the next start.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.settings.stop_timeout = timeout;
        self
    }

    /// Whether to wait as a hot standby while another instance runs, rather than end with an error. Default true.
    pub fn wait_for_takeover(mut self, wait: bool) -> Self {
        self.settings.wait_for_takeover = wait;
        self
    }

    /// Ends gracefully when all that was committed before the start is durable in every sink.
    pub fn until_caught_up(mut self) -> Self {
        self.settings.until_caught_up = true;
        self
    }

    /// Ends gracefully when the source has given an event for which the function is true, its transaction is over, and all
    /// up to there is durable in every sink. It sees events as they come from the source, before any transform.
    pub fn until(mut self, last: impl Fn(&ChangeEvent) -> bool + Send + Sync + 'static) -> Self {
        self.settings.until = Some(Until(Arc::new(last)));
        self
    }

    /// The waits between attempts after transient errors.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = policy;
        self
    }

    /// Sends Debezium's heartbeat record to a topic at an interval (not zero), once the source follows its log. It goes
    /// through the common chain. Consumers see by it that the pipeline runs; the source's log needs none of it.
    pub fn heartbeat(mut self, interval: Duration, topic: &str, server_name: &str) -> Self {
        self.settings.heartbeat = Some(HeartbeatSettings {
            interval,
            topic: Destination::named(topic),
            server: server_name.to_owned(),
        });
        self
    }

    /// Checks the parts and puts them together. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration): no sink, two sinks of one name, a sink that needs a store, a
    /// bound of zero.
    pub fn build(mut self) -> Result<Pipeline> {
        if self.sinks.is_empty() {
            return Err(self.error("it has no sink").remedy("add one by .sink(..)"));
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.sinks.iter().find(|slot| !names.insert(Arc::clone(&slot.name))) {
            return Err(self
                .error(format!("two sinks are named {}", twice.name))
                .remedy("offsets are kept by the name of the sink, so give each its own"));
        }
        for slot in &mut self.sinks {
            let Target::Sink(sink) = &mut slot.target else { continue };
            let says = sink.delivery() == Delivery::Transactional;
            if says != sink.transactional().is_some() {
                return Err(Error::configuration(format!(
                    "pipeline {}: sink {} does not say whether it is transactional: delivery() and transactional() differ",
                    self.name, slot.name
                )));
            }
            if !says && self.store.is_none() {
                return Err(Error::configuration(format!(
                    "pipeline {}: sink {} cannot keep its offset, and there is no offset store",
                    self.name, slot.name
                ))
                .remedy("add one by .offsets(FileOffsetStore::open(..)?)"));
            }
        }
        self.check_settings()?;
        Ok(self.assemble())
    }

    pub(super) fn check_settings(&self) -> Result<()> {
        let settings = &self.settings;
        let zero = [
            ("queue_bytes", settings.queue_bytes == 0),
            ("max_in_flight", settings.max_in_flight == 0),
            ("limits: max_events", settings.limits.max_events == 0),
            ("limits: max_bytes", settings.limits.max_bytes == 0),
            ("heartbeat", settings.heartbeat.as_ref().is_some_and(|beat| beat.interval.is_zero())),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Err(self.error(format!("{name} must not be zero")));
        }
        match (settings.tolerant, &self.dead_letters) {
            (Some(true), None) => {
                return Err(self
                    .error(
                        "errors.tolerance is all, and there is no place for the events that fail",
                    )
                    .remedy("add one by .dead_letters(FileDeadLetters::open(..)?)"));
            }
            (Some(false), Some(_)) => {
                return Err(self
                    .error("errors.tolerance is none, and there is a place for dead letters")
                    .remedy("set errors.tolerance to all, or leave .dead_letters(..) out"));
            }
            _ => {}
        }
        if self.name.trim().is_empty() {
            return Err(self.error("it has no name").remedy("its state is found again by it"));
        }
        Ok(())
    }

    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::configuration(format!("pipeline {}: {message}", self.name))
    }

    pub(super) fn assemble(self) -> Pipeline {
        let (control, commands) = Control::new();
        let log = self.settings.failure_log;
        let burial = self.dead_letters.map(|LettersSlot(letters)| Burial { letters, log });
        for (index, slot) in self.sinks.iter().enumerate() {
            control.progress.update_sink(index, |status| status.name = slot.name.to_string());
        }
        Pipeline {
            name: self.name,
            source: self.source,
            stages: self.stages,
            chain: self.chain,
            sinks: self.sinks,
            store: self.store,
            burial,
            settings: self.settings,
            control: Arc::new(control),
            commands,
        }
    }
}
