//! The source: it takes the log, decides where to begin, and hands out what its worker makes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cdc_core::{
    Acknowledger, Answer, Batch, Error, Offset, Positions, Request, Result, Source, SourceContext,
    SystemIdentity,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::acquire::{Held, acquire, wait_until_free};
use crate::builder::{Address, PostgresSourceBuilder};
use crate::catalog;
use crate::error::PostgresError;
use crate::feedback::{Acknowledged, Stop};
use crate::lsn::Lsn;
use crate::options::{Options, PublicationMode, SnapshotMode};
use crate::position::{Chunks, LastTransaction, Phase, Position};
use crate::positions::LogPositions;
use crate::worker::{Begin, Worker};
use crate::{publication, slot};

/// Changes of a PostgreSQL database, by logical replication with `pgoutput`.
///
/// At the first start it makes publications and a slot, copies all rows by the slot's snapshot, and follows the log from
/// there. PostgreSQL 12 to 18.
///
/// ```no_run
/// use cdc_postgres::PostgresSource;
///
/// let source = PostgresSource::builder("postgres://app@db/shop").tables(["public.orders"]).build()?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
pub struct PostgresSource {
    options: Arc<Options>,
    acknowledged: Acknowledged,
    stop: Stop,
    identity: Option<SystemIdentity>,
    slot: Option<String>,
    /// The server process of the last replication connection.
    process: Option<i32>,
    held: Option<Held>,
    run: Option<Run>,
    /// What an offset says when all that was there at the start is copied; `None` before a start.
    wanted: Option<Wanted>,
    /// Nothing more can come.
    finished: bool,
}

/// How long a source that is closed waits for the server.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// What an offset says at least when all that was there at the start is copied.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// How many copies of everything were begun.
    copies: u64,
    /// How many events snapshots have given.
    sent: u64,
}

/// A running worker.
struct Run {
    batches: mpsc::Receiver<Result<Batch, PostgresError>>,
    requests: mpsc::UnboundedSender<(Request, Answer)>,
    task: JoinHandle<()>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresSource {
    /// Starts to build a source for a database: a URL such as `postgres://app@db:5432/shop`, or a
    /// [`ConnectConfig`](cdc_pgconn::ConnectConfig).
    pub fn builder(address: impl Into<Address>) -> PostgresSourceBuilder {
        PostgresSourceBuilder::new(address.into())
    }

    pub(crate) fn with(options: Options) -> Self {
        PostgresSource {
            options: Arc::new(options),
            acknowledged: Acknowledged::new(),
            stop: Stop::new(),
            identity: None,
            slot: None,
            process: None,
            held: None,
            run: None,
            wanted: None,
            finished: false,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Removes what a pipeline left in the database: the slot and the publications that the source made. What is not
    /// there is no error. The one publication of another [mode](PublicationMode) than `Managed` stays.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) while somebody reads the slot, naming the reader; or when the
    /// slot of this name is not one that this source could have made (of another database, another plugin): it stays.
    pub async fn remove(&self, pipeline: &str) -> Result<()> {
        let sql = catalog::connect(&self.options.sql).await?;
        let name = self.options.slot_name(pipeline);
        let found = slot::find(&sql, &name).await?.filter(|_| self.options.settings.create_slot);
        if let Some(found) = found {
            if let Some(reason) = found.unusable(self.options.sql.config.database()) {
                return Err(Error::configuration(format!(
                    "replication slot {name:?} {reason}: it is not this pipeline's, and was not dropped"
                ))
                .remedy("remove the pipeline under the name and with the database that it ran with"));
            }
            slot::drop(&sql, &name).await?;
        }
        // One publication may serve others too.
        if self.options.settings.publication_mode == PublicationMode::Managed {
            publication::drop_both(&sql, &self.options.publication_name(pipeline)).await?;
        }
        Ok(())
    }

    /// What this run copies of its own accord.
    fn wanted(&self, held: &Held, begin: Begin, position: &Position) -> Wanted {
        let Begin::Follow { again } = begin else {
            let copies = position.copies + u64::from(begin != Begin::Finished);
            return Wanted { copies, sent: 0 };
        };
        let joins = || {
            let plan = held.survey.plan.as_ref();
            !position.joining.is_empty() || plan.is_some_and(|plan| !plan.joining().is_empty())
        };
        let asks = again || self.options.copies() && joins();
        Wanted { copies: position.copies, sent: position.chunks.state.sent + u64::from(asks) }
    }

    /// Where to begin, from the offset and what is there.
    fn decide(
        &self,
        held: &Held,
        resume: Option<&Position>,
    ) -> Result<(Begin, Position), PostgresError> {
        let slot_name = self.options.slot_name(&held.context.pipeline);
        let there = held.survey.slot.as_ref();
        let lost = there.is_some_and(|slot| slot.is_lost());
        let confirmed = there.filter(|_| !lost).map(|slot| slot.confirmed.unwrap_or_default());
        let when_needed = self.options.copies_when_needed();
        let copies = resume.map_or(0, |resume| resume.copies);
        let fresh = |phase, end| Position {
            phase,
            slot: slot_name.clone(),
            system: held.survey.server.system.clone(),
            timeline: held.history.current(),
            end,
            inside: None,
            reads: Vec::new(),
            copies,
            sent: resume.map_or(0, |resume| resume.sent),
            joining: Vec::new(),
            chunks: resume.map_or_else(Chunks::default, |resume| resume.chunks.of_nothing()),
            publications: Vec::new(),
            last: LastTransaction::default(),
        };
        // From a slot that is there: a new copy, or just what it has kept.
        let from_slot = |start, emptied| match self.options.copies() {
            true => (Begin::ReadAnew { emptied }, fresh(Phase::Snapshot, start)),
            false => (Begin::Announce, fresh(Phase::Snapshot, start)),
        };
        if !self.options.streams() {
            let done = |resume: &Position| {
                resume.phase == Phase::Streaming
                    || resume.phase == Phase::Snapshot && resume.copies > 0
            };
            return Ok(match resume {
                Some(resume) if done(resume) => (Begin::Finished, resume.clone()),
                resume => {
                    let emptied = resume.is_some_and(|resume| resume.phase == Phase::Snapshot);
                    (Begin::CopyAlone { emptied }, fresh(Phase::Snapshot, Lsn::ZERO))
                }
            });
        }
        let Some(resume) = resume else {
            return match confirmed {
                None if lost => Err(PostgresError::SlotNotOurs { slot: slot_name }),
                None => Ok((
                    Begin::MakeSlot { intent_saved: false, emptied: false },
                    fresh(Phase::Intent, Lsn::ZERO),
                )),
                Some(start)
                    if self.options.settings.adopt_slot || !self.options.settings.create_slot =>
                {
                    Ok(from_slot(start, true))
                }
                Some(_) => Err(PostgresError::SlotNotOurs { slot: slot_name }),
            };
        };
        if resume.system != held.survey.server.system {
            return Err(PostgresError::OtherSystem {
                server: held.survey.server.system.clone(),
                offset: resume.system.clone(),
            });
        }
        if resume.slot != slot_name {
            return Err(PostgresError::OtherSlot { slot: slot_name, offset: resume.slot.clone() });
        }
        let Some(start) = confirmed else {
            let dropped = self.options.settings.drop_slot_on_stop && !lost;
            if resume.phase == Phase::Streaming && !dropped && !when_needed {
                return Err(PostgresError::SlotMissing { slot: slot_name, position: resume.end });
            }
            if resume.phase == Phase::Streaming {
                let why = if dropped {
                    "was dropped when the source was stopped"
                } else if lost {
                    "has lost log that it needs"
                } else {
                    "is gone"
                };
                tracing::warn!(slot = %slot_name, "the slot {why}; all tables are copied again");
                return Ok((
                    Begin::MakeSlot { intent_saved: false, emptied: true },
                    fresh(Phase::Intent, Lsn::ZERO),
                ));
            }
            // Also rows of a copy from before the slot that was to be made again.
            let emptied = resume.phase == Phase::Snapshot || resume.copies > 0;
            return Ok((
                Begin::MakeSlot { intent_saved: true, emptied },
                fresh(Phase::Intent, Lsn::ZERO),
            ));
        };
        if resume.reads_anew() {
            let emptied = resume.phase == Phase::Snapshot || resume.copies > 0;
            return Ok(from_slot(start, emptied));
        }
        let has_other_history = !held.history.contains(resume.timeline, resume.end);
        if when_needed && (has_other_history || start > resume.end) {
            tracing::warn!(slot = %slot_name, "the slot has no longer what the offset needs; all tables are copied again");
            return Ok(from_slot(start, true));
        }
        if has_other_history {
            return Err(PostgresError::OtherTimeline {
                server: held.history.current(),
                timeline: resume.timeline,
                position: resume.end,
            });
        }
        if start > resume.end {
            return Err(PostgresError::SlotAhead {
                slot: slot_name,
                confirmed: start,
                position: resume.end,
            });
        }
        for (name, oid) in &resume.publications {
            let found = held.survey.publications.iter().find(|there| there.name == *name);
            let what = match found {
                Some(there) if there.oid == *oid => continue,
                Some(_) => "was dropped and made again",
                None => "was dropped",
            };
            return Err(PostgresError::Publication {
                publication: name.clone(),
                what,
                position: resume.end,
                slot: slot_name,
            });
        }
        let mut position = resume.clone();
        position.timeline = held.history.current();
        if position.phase == Phase::Snapshot {
            // What is left of the first copy is read beside the stream.
            position.phase = Phase::Streaming;
            position.copies += 1;
            position.sent = 0;
        }
        // Every start copies again, but for one that goes on after a lost connection.
        let again = self.options.settings.snapshot == SnapshotMode::Always
            && self.wanted.is_none_or(|wanted| position.chunks.state.sent < wanted.sent);
        Ok((Begin::Follow { again }, position))
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn acquire(&mut self, context: &SourceContext) -> Result<()> {
        self.run = None;
        self.held = None;
        self.finished = false;
        self.stop = Stop::new();
        let (held, process) =
            acquire(&self.options, context, &self.acknowledged, &self.stop, self.process).await?;
        self.identity = Some(SystemIdentity {
            system: format!("postgresql:{}", held.survey.server.system),
            database: held.survey.server.database.clone(),
        });
        self.slot = self.options.streams().then(|| self.options.slot_name(&context.pipeline));
        self.process = process;
        self.held = Some(held);
        Ok(())
    }

    async fn start(&mut self, resume: Option<Offset>) -> Result<()> {
        let Some(held) = self.held.take() else {
            return Err(Error::configuration("the PostgreSQL source was started before acquire"));
        };
        let resume = resume.as_ref().map(Position::from_offset).transpose()?;
        let resume = resume.map(|position| {
            let slot = self.options.slot_name(&held.context.pipeline);
            let confirmed = held.survey.slot.as_ref().and_then(|slot| slot.confirmed);
            position.settle(&held.survey.server.system, held.history.current(), &slot, confirmed)
        });
        let (begin, position) = self.decide(&held, resume.as_ref())?;
        self.wanted = Some(self.wanted(&held, begin, &position));
        if begin == Begin::Finished {
            self.run = None;
            self.finished = true;
            return Ok(());
        }
        let (out, batches) = mpsc::channel(1);
        let (requests, asked) = mpsc::unbounded_channel();
        let worker = Worker::new(
            Arc::clone(&self.options),
            held,
            position,
            self.acknowledged.clone(),
            self.stop.clone(),
            asked,
            out,
        );
        let task = tokio::spawn(worker.run(begin));
        self.run = Some(Run { batches, requests, task });
        Ok(())
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.finished {
            return Ok(None);
        }
        let Some(run) = &mut self.run else {
            return Err(Error::configuration("the PostgreSQL source was not started"));
        };
        match run.batches.recv().await {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(error.into()),
            // A worker that fails says so; one that reads rows alone comes to an end.
            None if !self.options.streams() && (&mut run.task).await.is_ok() => {
                self.finished = true;
                Ok(None)
            }
            None => Err(Error::transient("the PostgreSQL source's worker has ended")),
        }
    }

    fn acknowledger(&self) -> Acknowledger {
        Acknowledger::new(self.acknowledged.clone())
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(LogPositions)
    }

    async fn end_of_log(&mut self) -> Result<Offset> {
        let sql = catalog::connect(&self.options.sql).await?;
        let facts = catalog::server::facts(&sql).await?;
        let end = catalog::server::insert_position(&sql, facts.segment_size).await?;
        let wanted = self.wanted.unwrap_or(Wanted { copies: 0, sent: 0 });
        let position = Position {
            phase: Phase::Streaming,
            slot: String::new(),
            system: facts.system,
            timeline: 0,
            end,
            inside: None,
            reads: Vec::new(),
            copies: wanted.copies,
            sent: 0,
            joining: Vec::new(),
            chunks: Chunks::of_sent(wanted.sent),
            publications: Vec::new(),
            last: LastTransaction::default(),
        };
        Ok(position.to_offset())
    }

    /// Snapshots beside the stream are begun, given up, halted and gone on with once the log is followed.
    fn control(&mut self, request: Request, answer: Answer) -> Result<()> {
        if !self.options.streams() {
            return Err(request.refused("PostgreSQL")
                .remedy("it reads the rows once and ends; let it follow the log (snapshot.mode other than initial_only)"));
        }
        let Some(run) = &self.run else {
            return Err(Error::configuration("the PostgreSQL source was not started"));
        };
        // Where the worker has failed the answer is dropped, which says so.
        let _ = run.requests.send((request, answer));
        Ok(())
    }

    fn identity(&self) -> Option<SystemIdentity> {
        self.identity.clone()
    }

    async fn close(&mut self) -> Result<()> {
        let (run, held) = (self.run.take(), self.held.take());
        if run.is_none() && held.is_none() {
            return Ok(());
        }
        // The server learns what is saved, and whoever comes next need not wait for the slot. A server that cannot be
        // reached learns nothing, which costs a repetition.
        let _ = timeout(CLOSE_PATIENCE, async {
            self.stop.stop().await;
            drop((run, held));
            if let Some(slot) = &self.slot {
                let sql = catalog::connect(&self.options.sql).await?;
                wait_until_free(&sql, slot, None).await?;
                if self.options.settings.drop_slot_on_stop {
                    slot::drop(&sql, slot).await?;
                }
            }
            Ok::<(), PostgresError>(())
        })
        .await;
        Ok(())
    }
}

impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSource")
            .field("database", &self.options.sql.config.display())
            .field("acquired", &self.held.is_some())
            .field("running", &self.run.is_some())
            .finish_non_exhaustive()
    }
}
