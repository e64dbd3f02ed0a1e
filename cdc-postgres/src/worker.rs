//! The task that makes batches: the first copy, then the log, with copies beside it.

mod chunks;
mod first_copy;
mod follow;
mod following;
mod joining;
mod marks;
mod merging;
mod read;
mod signals;

use std::sync::Arc;

use cdc_core::status::Phase as Doing;
use cdc_core::{Answer, Batch, Request, TableId};
use joining::{Copy, Joining};
use tokio::sync::mpsc;

use crate::acquire::{Held, Link, queue_bytes, start};
use crate::batch::BatchBuilder;
use crate::catalog::{publications, server};
use crate::error::PostgresError;
use crate::feedback::{Acknowledged, Stop};
use crate::options::Options;
use crate::position::{Phase, Position};
use crate::relations::Relations;
use crate::shape::Shaper;
use crate::slot::{self, NewSlot};
use crate::snapshot::{ExportedSnapshot, SnapshotReader};
use crate::stream::LogStream;

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Make the slot and copy by its snapshot.
    MakeSlot {
        /// The intent to make it is saved already.
        intent_saved: bool,
        /// Targets may hold rows of an earlier copy and are emptied first.
        emptied: bool,
    },
    /// The slot is there; copy anew beside its stream. `emptied`: targets may hold rows of an earlier copy and are emptied
    /// first.
    ReadAnew { emptied: bool },
    /// The slot is there, and no rows are wanted.
    Announce,
    /// Go on from the position; `again` copies all tables once more.
    Follow { again: bool },
    /// Read all rows and end. Targets may hold rows of an earlier copy and are emptied first.
    CopyAlone { emptied: bool },
    /// There is nothing left to do.
    Finished,
}

/// Makes batches until it is dropped or something fails.
#[derive(Debug)]
pub(crate) struct Worker {
    options: Arc<Options>,
    held: Held,
    /// Behind the last batch that was sent.
    position: Position,
    acknowledged: Acknowledged,
    stop: Stop,
    relations: Relations,
    /// Tables that join.
    waiting: Option<Joining>,
    /// Rows that are asked for before the log is followed.
    copies: Vec<Copy>,
    /// The last step of every event.
    shaper: Shaper,
    requests: mpsc::UnboundedReceiver<(Request, Answer)>,
    out: mpsc::Sender<Result<Batch, PostgresError>>,
}

impl Worker {
    pub(crate) fn new(
        options: Arc<Options>,
        held: Held,
        position: Position,
        acknowledged: Acknowledged,
        stop: Stop,
        requests: mpsc::UnboundedReceiver<(Request, Answer)>,
        out: mpsc::Sender<Result<Batch, PostgresError>>,
    ) -> Self {
        let shaper = Shaper::new(&options.shape);
        Worker {
            options,
            held,
            position,
            acknowledged,
            stop,
            relations: Relations::default(),
            waiting: None,
            copies: Vec::new(),
            shaper,
            requests,
            out,
        }
    }

    /// Runs until it fails; the failure is the last thing that is sent.
    pub(crate) async fn run(mut self, begin: Begin) {
        let out = self.out.clone();
        if let Err(error) = self.work(begin).await {
            // Nobody waits for it when the source was dropped.
            let _ = out.send(Err(error)).await;
        }
    }

    async fn work(&mut self, begin: Begin) -> Result<(), PostgresError> {
        self.check_signals()?;
        let mut stream = None;
        match begin {
            Begin::MakeSlot { intent_saved, emptied } => {
                if !intent_saved {
                    self.save_and_wait().await?;
                }
                stream = Some(self.first_copy(emptied).await?);
            }
            Begin::ReadAnew { emptied } => {
                let are_new = !self.enter_tables().await?.is_empty();
                self.note_publications().await?;
                self.copy_beside_the_stream(emptied, are_new || !self.were_streamed());
            }
            Begin::Announce => {
                self.enter_tables().await?;
                self.note_publications().await?;
                self.announce().await?;
            }
            Begin::Follow { again } => self.resume_joining(again).await?,
            Begin::CopyAlone { emptied } => return self.copy_alone(emptied).await,
            Begin::Finished => return Ok(()),
        }
        let stream = match stream {
            Some(stream) => stream,
            None => self.take_stream()?,
        };
        self.held.context.progress.set_phase(Doing::Streaming);
        self.follow(stream).await
    }

    async fn send(&self, batch: Batch) -> Result<(), PostgresError> {
        self.out.send(Ok(batch)).await.map_err(|_| PostgresError::Stopped)?;
        // The next one is begun when this one was taken: a full one more would wait behind a slow sink, and bring nothing.
        self.out.reserve().await.map(drop).map_err(|_| PostgresError::Stopped)
    }

    /// Sends a batch of a read.
    async fn send_read(
        &mut self,
        batch: &mut BatchBuilder,
        ends_transaction: bool,
    ) -> Result<(), PostgresError> {
        batch.shape(&mut self.shaper)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.position.sent += batch.len();
        self.send(batch.take(self.position.to_offset(), ends_transaction)).await
    }

    /// Sends the position alone, to be saved at once.
    async fn save_now(&self) -> Result<(), PostgresError> {
        let mut batch = Batch::empty(self.position.to_offset());
        batch.save_now = true;
        self.send(batch).await
    }

    /// Sends the position alone and waits until it is saved.
    async fn save_and_wait(&self) -> Result<(), PostgresError> {
        self.save_now().await?;
        self.acknowledged.wait_for(&self.position).await;
        Ok(())
    }

    fn pipeline(&self) -> &str {
        &self.held.context.pipeline
    }

    fn publications(&self) -> Vec<String> {
        self.options.publications(self.pipeline())
    }

    fn slot_name(&self) -> String {
        self.options.slot_name(self.pipeline())
    }

    /// Brings our publications to the wanted set. The tables that are new in them.
    async fn enter_tables(&mut self) -> Result<Vec<TableId>, PostgresError> {
        if let Some(single) = &self.held.survey.single {
            single.apply(&self.held.sql).await?;
        }
        let Some(plan) = &self.held.survey.plan else { return Ok(Vec::new()) };
        let joining = plan.joining();
        plan.apply(&self.held.sql, None).await?;
        Ok(joining)
    }

    async fn note_publications(&mut self) -> Result<(), PostgresError> {
        let names = self.publications();
        self.position.publications = publications::oids(&self.held.sql, &names).await?;
        Ok(())
    }

    /// Makes the slot, reads all rows by its snapshot, and starts its stream.
    async fn first_copy(&mut self, emptied: bool) -> Result<LogStream, PostgresError> {
        // A slot sees only publications that are older than it.
        self.enter_tables().await?;
        self.note_publications().await?;
        let slot_name = self.slot_name();
        if self.held.survey.slot.as_ref().is_some_and(|slot| slot.is_lost()) {
            slot::drop(&self.held.sql, &slot_name).await?;
        }
        let Link::Idle(link) = &mut self.held.link else { return Err(PostgresError::Stopped) };
        let progress = &self.held.context.progress;
        let NewSlot { start, snapshot } = slot::create(
            link,
            &self.held.sql,
            &slot_name,
            self.options.settings.failover_slot,
            progress,
        )
        .await?;
        self.position.phase = Phase::Snapshot;
        self.position.end = start;
        self.save_now().await?;
        if !self.options.copies() {
            let stream = self.start_stream().await?;
            self.announce().await?;
            return Ok(stream);
        }
        let published = self.copied(None).await?;
        let exported = ExportedSnapshot::keep(&self.options, &snapshot).await;
        // The exported snapshot is imported, or useless; the stream may begin and holds the slot.
        let stream = self.start_stream().await?;
        match self.copy_exported(exported?, published, emptied).await {
            Ok(()) => {}
            Err(PostgresError::TableRewritten { table }) => {
                tracing::warn!(%table, "the table was altered since the slot was made; all rows are read beside the stream");
                self.copy_beside_the_stream(emptied, false);
            }
            Err(error @ PostgresError::SnapshotLock { .. }) => {
                tracing::warn!(%error, "all rows are read beside the stream");
                self.copy_beside_the_stream(emptied, false);
            }
            Err(error) => return Err(error),
        }
        Ok(stream)
    }

    /// Reads all rows by a snapshot of our own, with nothing to follow.
    async fn copy_alone(&mut self, emptied: bool) -> Result<(), PostgresError> {
        self.position.end =
            server::insert_position(&self.held.sql, self.held.survey.server.segment_size).await?;
        self.save_now().await?;
        let published = self.copied(None).await?;
        let reader = SnapshotReader::open(&self.options, &published).await?;
        self.read(reader, emptied).await?;
        self.position.copies += 1;
        self.position.sent = 0;
        self.save_now().await
    }

    /// The tables to read, as they are published.
    async fn published(
        &self,
        tables: Option<&[TableId]>,
    ) -> Result<Vec<publications::PublishedTable>, PostgresError> {
        let names = self.publications();
        let all = self.held.survey.published(&self.held.sql, &self.options, &names).await?;
        Ok(match tables {
            None => all,
            Some(tables) => all.into_iter().filter(|table| tables.contains(&table.id)).collect(),
        })
    }

    /// Those of them whose rows are copied without being asked for.
    async fn copied(
        &self,
        tables: Option<&[TableId]>,
    ) -> Result<Vec<publications::PublishedTable>, PostgresError> {
        let mut published = self.published(tables).await?;
        published.retain(|table| self.options.filter.copies(&table.id));
        Ok(published)
    }

    /// Starts the stream of a slot that was just made.
    async fn start_stream(&mut self) -> Result<LogStream, PostgresError> {
        let link = std::mem::replace(&mut self.held.link, Link::Taken);
        let Link::Idle(link) = link else { return Err(PostgresError::Stopped) };
        let names = self.publications();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let slot_name = self.slot_name();
        let copy = start(*link, &slot_name, &names, &self.options)
            .await
            .map_err(|error| crate::acquire::start_failed(error, &slot_name))?;
        Ok(LogStream::start(
            copy,
            self.acknowledged.subscribe(),
            self.stop.subscribe(),
            self.held.wal_sender_timeout,
            queue_bytes(&self.held.context, &self.options),
        ))
    }

    /// The stream that is held since the source was acquired.
    fn take_stream(&mut self) -> Result<LogStream, PostgresError> {
        match std::mem::replace(&mut self.held.link, Link::Taken) {
            Link::Streaming(stream) => Ok(stream),
            Link::Idle(_) | Link::Taken => Err(PostgresError::Stopped),
        }
    }
}
