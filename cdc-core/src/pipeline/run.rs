//! A run from its start to its end: opens everything in the right order, starts the tasks, and ends them together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::context::RunContext;
use super::heartbeat::Heartbeat;
use super::ledger::Ledger;
use super::queue::queue;
use super::reader::Reader;
use super::retry::Backoff;
use super::saving::Saver;
use super::sink_task::SinkTask;
use super::sparing::Preparation;
use super::start::{SinkStart, resume_offset};
use super::stop::Stage;
use super::stream::StreamTask;
use super::{Pipeline, SinkSlot, SourceSlot, StoreSlot, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::offset_store::{OffsetStore, SinkOffsets};
use crate::sink::Delivery;
use crate::source::{Source, SourceContext};
use crate::status::Phase;

/// How often an instance that waits looks whether the offset store is free.
const STORE_POLL: Duration = Duration::from_millis(500);

/// Runs a pipeline.
///
/// # Errors
/// The first error that is not transient.
pub(crate) async fn run(pipeline: Pipeline) -> Result<()> {
    let stop = Arc::clone(&pipeline.control.stop);
    let progress = pipeline.control.progress.clone();
    let result = tokio::select! {
        biased;
        () = stop.reached(Stage::Aborting) => Err(Error::cancelled("the pipeline was aborted")),
        result = run_to_end(pipeline) => result,
    };
    progress.set_phase(Phase::Stopped);
    if let Err(error) = &result {
        progress.set_failure(error.to_string());
    }
    result
}

/// What the tasks of a pipeline end with.
enum Ended {
    Reader(SourceSlot, Result<()>),
    Sink(Result<()>),
    Saver(Result<()>),
}

async fn run_to_end(mut pipeline: Pipeline) -> Result<()> {
    let context = Arc::new(RunContext {
        pipeline: Arc::clone(&pipeline.name),
        stop: Arc::clone(&pipeline.control.stop),
        ledger: Arc::clone(&pipeline.control.ledger),
        positions: pipeline.source.0.positions(),
        progress: pipeline.control.progress.clone(),
        retry: pipeline.settings.retry,
        control: Arc::clone(&pipeline.control),
        burial: pipeline.burial.take(),
    });
    let started = tokio::select! {
        biased;
        () = context.stop.reached(Stage::Stopping) => None,
        started = start(&mut pipeline, &context) => Some(started),
    };
    let started = match started {
        Some(Ok(started)) => started,
        ended => {
            if let Some(Err(error)) = &ended {
                context.fail(error);
            }
            for slot in &mut pipeline.sinks {
                if let Target::Sink(sink) = &mut slot.target {
                    // The error that ended the start is the one to report.
                    let _ = context.close_in_time(&slot.name, sink.close()).await;
                }
            }
            let closed = close(&context, pipeline.store.as_ref(), &mut pipeline.source).await;
            return match ended {
                Some(Err(error)) => Err(error),
                _ => closed,
            };
        }
    };
    let store = pipeline.store.take();
    let mut tasks = JoinSet::new();
    let finish = spawn_tasks(&mut tasks, pipeline, &context, &started, store.as_ref())?;
    let (source, result) = supervise(tasks, &context, finish, started.stop_timeout).await;
    let Some(mut source) = source else { return result };
    let closed = close(&context, store.as_ref(), &mut source).await;
    result.and(closed)
}

async fn close(
    context: &RunContext,
    store: Option<&StoreSlot>,
    source: &mut SourceSlot,
) -> Result<()> {
    let source = context.close_in_time("source", source.0.close()).await;
    let store = match store {
        Some(store) => {
            context.close_in_time("offset store", store.0.close(&context.pipeline)).await
        }
        None => Ok(()),
    };
    let letters = match &context.burial {
        Some(burial) => {
            let closed = burial.letters.close(&context.pipeline);
            context.close_in_time("dead letters", closed).await
        }
        None => Ok(()),
    };
    source.and(store).and(letters)
}

/// What the start found out.
struct Started {
    source_context: SourceContext,
    stored: SinkOffsets,
    sinks: Vec<SinkStart>,
    resume: Option<Offset>,
    stop_timeout: Duration,
}

/// Opens the store, becomes the only reader, loads the sinks, and lets the source begin where all of them can go on.
async fn start(pipeline: &mut Pipeline, context: &Arc<RunContext>) -> Result<Started> {
    let wait = pipeline.settings.wait_for_takeover;
    let store = pipeline.store.as_ref().map(|store| Arc::clone(&store.0));
    let (mut stored, held) = match &store {
        Some(store) => open_store(&**store, context, wait, sinks_fence(pipeline)).await?,
        None => (SinkOffsets::new(), false),
    };
    let source_context = SourceContext {
        pipeline: Arc::clone(&pipeline.name),
        limits: pipeline.settings.limits,
        wait,
        progress: context.progress.clone(),
    };
    let ran_before = held || !stored.is_empty();
    acquire(pipeline, context, &source_context, ran_before).await?;
    let mut sinks: Vec<SinkStart> = Vec::with_capacity(pipeline.sinks.len());
    for slot in &mut pipeline.sinks {
        let known = ran_before || sinks.iter().any(|sink| sink.committed.is_some());
        sinks.push(open_sink(slot, context, known).await?);
        let Target::Sink(sink) = &slot.target else { continue };
        let same = sink.identity().zip(pipeline.source.0.identity());
        if let Some((target, source)) = same
            && target == source
        {
            return Err(Error::configuration(format!(
                "the target of sink {} is the source itself: database {} of {}",
                slot.name, source.database, source.system
            ))
            .remedy(
                "give another database: its changes would be read and written again for ever",
            ));
        }
    }
    if let Some(store) = store.filter(|_| held) {
        stored = take_over(&*store, context).await?;
    }
    open_dead_letters(context, sinks_fence(pipeline)).await?;
    let resume = resume_offset(&pipeline.name, &sinks, &stored, &*context.positions)?;
    let mut ledger = Ledger::default();
    for sink in &sinks {
        let own = sink.offset(&stored).cloned();
        ledger.add_sink(&sink.name, sink.keeps_offset, own, stored.get(&sink.name).cloned());
    }
    let mut backoff = Backoff::new(context.retry);
    let mut connected = true;
    let end_of_log = loop {
        let attempt = async {
            let source = &mut pipeline.source.0;
            if !connected {
                source.acquire(&source_context).await?;
            }
            source.start(resume.clone()).await?;
            match pipeline.settings.until_caught_up {
                true => source.end_of_log().await.map(Some),
                false => Ok(None),
            }
        };
        match attempt.await {
            Ok(end) => break end,
            Err(error) if error.is_transient() => {
                wait_after(context, &error, &mut backoff).await;
                connected = false;
            }
            Err(error) => return Err(error),
        }
    };
    if backoff.reset() {
        context.progress.set_error(None);
    }
    let acknowledger = pipeline.source.0.acknowledger();
    context.ledger.begin(ledger, acknowledger, resume.as_ref());
    if let Some(end) = end_of_log {
        let (positions, stop) = (Arc::clone(&context.positions), Arc::clone(&context.stop));
        context.ledger.stop_at(end, resume.as_ref(), positions, stop)?;
    }
    let stop_timeout = pipeline.settings.stop_timeout;
    Ok(Started { source_context, stored, sinks, resume, stop_timeout })
}

async fn wait_after(context: &RunContext, error: &Error, backoff: &mut Backoff) {
    tracing::warn!(pipeline = &*context.pipeline, %error, "trying again");
    context.progress.set_error(Some(error.to_string()));
    tokio::time::sleep(backoff.next_wait()).await;
}

/// Whether every sink fences an older instance by itself.
fn sinks_fence(pipeline: &mut Pipeline) -> bool {
    pipeline.sinks.iter_mut().all(|slot| match &mut slot.target {
        Target::Sink(sink) => sink.transactional().is_some(),
        _ => false,
    })
}

/// Opens the offset store. While another instance holds it, waits where that is wanted; where the sinks fence that
/// instance the source decides who runs, and the store is taken over later: a process that was stopped never lets go of a lock.
async fn open_store(
    store: &dyn OffsetStore,
    context: &RunContext,
    wait: bool,
    fenced_by_sinks: bool,
) -> Result<(SinkOffsets, bool)> {
    let mut backoff = Backoff::new(context.retry);
    loop {
        match store.open(&context.pipeline).await {
            Ok(offsets) => return Ok((offsets, false)),
            Err(error) if error.is_transient() => wait_after(context, &error, &mut backoff).await,
            Err(error) if error.kind() == ErrorKind::Fenced && wait => {
                context.progress.set_phase(Phase::Standby { holder: error.message().to_owned() });
                if fenced_by_sinks {
                    return Ok((SinkOffsets::new(), true));
                }
                tokio::time::sleep(STORE_POLL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Opens the place for dead letters: what has fenced another instance takes them from it, too.
async fn open_dead_letters(context: &RunContext, fenced: bool) -> Result<()> {
    let Some(burial) = &context.burial else { return Ok(()) };
    let mut backoff = Backoff::new(context.retry);
    loop {
        let opened = match fenced {
            true => burial.letters.take_over(&context.pipeline).await,
            false => burial.letters.open(&context.pipeline).await,
        };
        match opened {
            Err(error) if error.is_transient() => wait_after(context, &error, &mut backoff).await,
            opened => return opened,
        }
    }
}

/// Takes the store of an instance that the sinks have fenced.
async fn take_over(store: &dyn OffsetStore, context: &RunContext) -> Result<SinkOffsets> {
    let mut backoff = Backoff::new(context.retry);
    loop {
        match store.take_over(&context.pipeline).await {
            Err(error) if error.is_transient() => wait_after(context, &error, &mut backoff).await,
            taken => return taken,
        }
    }
}

/// Becomes the only reader.
async fn acquire(
    pipeline: &mut Pipeline,
    context: &RunContext,
    source_context: &SourceContext,
    ran_before: bool,
) -> Result<()> {
    let mut backoff = Backoff::new(context.retry);
    loop {
        match pipeline.source.0.acquire(source_context).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => {
                if error.is_unreachable()
                    && !ran_before
                    && !any_sink_has_offset(&mut pipeline.sinks, &context.pipeline).await
                {
                    return Err(error);
                }
                wait_after(context, &error, &mut backoff).await;
            }
        }
    }
}

/// Whether the pipeline ran before, asked without fencing an instance that runs.
async fn any_sink_has_offset(sinks: &mut [SinkSlot], pipeline: &str) -> bool {
    for slot in sinks {
        if let Target::Sink(sink) = &mut slot.target
            && sink.open().await.is_ok()
            && let Some(sink) = sink.transactional()
            && let Ok(Some(_)) = sink.peek(pipeline).await
        {
            return true;
        }
    }
    false
}

async fn open_sink(slot: &mut SinkSlot, context: &RunContext, known: bool) -> Result<SinkStart> {
    let name = slot.name.to_string();
    let Target::Sink(sink) = &mut slot.target else {
        return Ok(SinkStart { name, keeps_offset: false, committed: None });
    };
    let keeps_offset = sink.delivery() == Delivery::Transactional;
    let mut backoff = Backoff::new(context.retry);
    loop {
        let attempt = async {
            sink.open().await?;
            match sink.transactional() {
                Some(sink) => sink.load(&context.pipeline).await,
                None => Ok(None),
            }
        };
        match attempt.await {
            Ok(committed) => {
                if backoff.reset() {
                    context.progress.set_error(None);
                }
                return Ok(SinkStart { name, keeps_offset, committed });
            }
            Err(error) if error.is_transient() && (known || !error.is_unreachable()) => {
                wait_after(context, &error, &mut backoff).await;
            }
            Err(error) => return Err(error.context(format_args!("sink {}", slot.name))),
        }
    }
}

/// Starts the tasks. The sender that is given back ends the saver.
fn spawn_tasks(
    tasks: &mut JoinSet<Ended>,
    pipeline: Pipeline,
    context: &Arc<RunContext>,
    started: &Started,
    store: Option<&StoreSlot>,
) -> Result<Option<oneshot::Sender<()>>> {
    let mut queues = Vec::with_capacity(pipeline.sinks.len());
    for (index, (slot, sink)) in pipeline.sinks.into_iter().zip(&started.sinks).enumerate() {
        let own = sink.offset(&started.stored).cloned();
        let (sender, receiver) = queue(pipeline.settings.queue_bytes);
        queues.push(sender);
        let idempotent =
            matches!(&slot.target, Target::Sink(sink) if sink.delivery() == Delivery::Idempotent);
        let (name, positions) = (Arc::clone(&slot.name), Arc::clone(&context.positions));
        let preparation = Preparation::new(
            name,
            slot.chain,
            positions,
            own.as_ref(),
            idempotent,
            context.burial.is_some(),
        )?;
        context.progress.update_sink(index, |status| status.durable.clone_from(&own));
        let context = Arc::clone(context);
        match slot.target {
            Target::Sink(target) => {
                let task = SinkTask {
                    index,
                    name: slot.name,
                    sink: target,
                    keeps_offset: sink.keeps_offset,
                    preparation,
                    own,
                    queue: receiver,
                    max_in_flight: pipeline.settings.max_in_flight,
                    context,
                };
                tasks.spawn(async move { Ended::Sink(task.run().await) });
            }
            Target::Stream(feed) => {
                let task = StreamTask { feed, preparation, own, queue: receiver, context };
                tasks.spawn(async move { Ended::Sink(task.run().await) });
            }
        }
    }
    let reader = Reader {
        source: pipeline.source.0,
        source_context: started.source_context.clone(),
        resume: started.resume.clone(),
        stages: pipeline.stages,
        chain: pipeline.chain,
        queues,
        commands: pipeline.commands,
        paused: pipeline.control.paused.subscribe(),
        sequence: 0,
        heartbeat: Heartbeat::new(pipeline.settings.heartbeat),
        until: pipeline.settings.until,
        last_seen: false,
        context: Arc::clone(context),
    };
    tasks.spawn(async move {
        let (source, result) = reader.run().await;
        Ended::Reader(SourceSlot(source), result)
    });
    let Some(store) = store else { return Ok(None) };
    let saver = Saver {
        pipeline: Arc::clone(&context.pipeline),
        store: Arc::clone(&store.0),
        ledger: Arc::clone(&context.ledger),
        interval: pipeline.settings.save_interval,
        retry: context.retry,
        progress: context.progress.clone(),
    };
    let (finish, finished) = oneshot::channel();
    tasks.spawn(async move { Ended::Saver(saver.run(finished).await) });
    Ok(Some(finish))
}

/// Waits for all tasks. The first failure stops the others: at once when another instance took over, else after what
/// was read is written.
async fn supervise(
    mut tasks: JoinSet<Ended>,
    context: &RunContext,
    mut finish: Option<oneshot::Sender<()>>,
    stop_timeout: Duration,
) -> (Option<SourceSlot>, Result<()>) {
    let mut source = None;
    let mut failure: Option<Error> = None;
    // The saver ends last.
    let mut saver_runs = finish.is_some();
    let too_late = async {
        context.stop.reached(Stage::Stopping).await;
        tokio::time::sleep(stop_timeout).await;
    };
    tokio::pin!(too_late);
    let mut timed_out = false;
    loop {
        if tasks.len() == usize::from(saver_runs)
            && let Some(finish) = finish.take()
        {
            let fenced = failure.as_ref().is_some_and(|error| error.kind() == ErrorKind::Fenced);
            if !fenced {
                // A saver that failed is not there any more.
                let _ = finish.send(());
            }
        }
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = &mut too_late, if !timed_out => {
                timed_out = true;
                tracing::warn!(
                    pipeline = &*context.pipeline,
                    "stopped before everything was written; it is read again at the next start"
                );
                context.stop.raise(Stage::Failing);
                continue;
            }
        };
        let result = match ended {
            None => break,
            Some(Ok(Ended::Reader(slot, result))) => {
                source = Some(slot);
                result
            }
            Some(Ok(Ended::Sink(result))) => result,
            Some(Ok(Ended::Saver(result))) => {
                saver_runs = false;
                result
            }
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => Err(Error::cancelled("the runtime of the pipeline was shut down")),
        };
        if let Err(error) = result {
            let fenced = error.kind() == ErrorKind::Fenced;
            context.stop.raise(if fenced { Stage::Failing } else { Stage::Stopping });
            if fenced || failure.is_none() {
                failure = Some(error);
            }
        }
    }
    (source, failure.map_or(Ok(()), Err))
}
