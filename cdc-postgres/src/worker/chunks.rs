//! Snapshots by chunks while the log is followed: requests, reads, and their rows on the way into batches.

use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::{Stamp, TablePlan};
use cdc_core::{Answer, Error, ErrorKind, Request, SnapshotOf, TableId};
use tokio::time::Instant;

use super::Worker;
use super::following::Following;
use super::merging::FailedRead;
use crate::catalog::publications::PublishedTable;
use crate::error::{PostgresError, UNDEFINED_TABLE};
use crate::incremental::plan::{self, TableReadPlan, plan};
use crate::incremental::readers;
use crate::slot;
use crate::stream::LogStream;

/// How often the server is asked how far the log goes, while rows wait for it.
pub(super) const ASK_INTERVAL: Duration = Duration::from_millis(10);
/// How often it is told which transactions rows wait for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the progress is told.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(500);

impl Worker {
    /// Lets the merge have what it asks for, and takes what it gives.
    pub(super) async fn merge_on(
        &mut self,
        state: &mut Following,
        stream: &LogStream,
    ) -> Result<(), PostgresError> {
        self.ask(state).await?;
        self.give_rows(state).await?;
        if state.merging.is_dirty() && state.is_empty() {
            self.flush(state).await?;
        }
        let now = Instant::now();
        if state.merging.waits_for_log(state.decoder.position().point().lsn)
            && state.asked_at.is_none_or(|at| at + ASK_INTERVAL <= now)
        {
            state.asked_at = Some(now);
            stream.ask_for_position();
        }
        if state.reported_at.is_none_or(|at| at + REPORT_INTERVAL <= now) {
            state.reported_at = Some(now);
            state.merging.report();
            self.tell_waiting(state, now).await?;
            if state.next_look() <= now {
                self.look(state).await?;
            }
        }
        Ok(())
    }

    /// Says now and then which transactions the rows wait for.
    async fn tell_waiting(&self, state: &mut Following, now: Instant) -> Result<(), PostgresError> {
        if !state.merging.waits_for_transactions() {
            state.waits_since = None;
        } else if *state.waits_since.get_or_insert(now) + PATIENCE <= now {
            state.waits_since = Some(now);
            slot::warn_of_open_transactions(&self.held.sql, "rows that are to be read").await?;
        }
        Ok(())
    }

    /// Hands on what the merge asks for.
    async fn ask(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        while let Some(read) = state.merging.drive() {
            // A table that somebody else asked for: an offset, or a change that lacks columns.
            let condition = state.merging.condition(&read.table);
            let of = SnapshotOf { table: read.table.as_ref().clone(), condition };
            match self.plan_of(&[of]).await {
                Ok(plans) => match plans.into_iter().next() {
                    Some((_, plan)) => state.merging.read(read, Arc::new(plan)),
                    None => {
                        tracing::warn!(table = %read.table, "the table is no longer published; its snapshot is given up");
                        state.merging.forget(&read.table);
                    }
                },
                Err(error) if error.kind() == ErrorKind::Transient => {
                    tracing::warn!(table = %read.table, %error, "its snapshot is tried again");
                    state.merging.give_up(&read);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the rows that the merge has ready.
    pub(super) async fn give_rows(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        let most = self.options.settings.snapshot_fetch_size.unwrap_or(usize::MAX);
        while state.merging.has_events() {
            let (mut room, stamp) = (state.batch.room(), self.stamp(state));
            room.max_events = room.max_events.min(most);
            let Following { merging, batch, .. } = &mut *state;
            let before = batch.len();
            merging.take(&room, &stamp, |event, size| batch.push_sized(event, size));
            let is_enough = usize::try_from(batch.len() - before).is_ok_and(|len| len >= most);
            if is_enough || state.batch.is_full() {
                self.flush(state).await?;
            }
        }
        if !state.decoder.in_transaction() {
            state.merging.rest();
        }
        Ok(())
    }

    /// Where rows are given that are merged into the stream.
    pub(super) fn stamp(&self, state: &Following) -> Stamp {
        let position = state.decoder.position();
        let lsn = position.point().lsn.0;
        Stamp { transaction: self.read_origin(None, [lsn, position.copies]), log_position: lsn }
    }

    /// Takes what a reader says.
    pub(super) async fn take_answer(
        &mut self,
        state: &mut Following,
        answer: readers::Answer,
    ) -> Result<(), PostgresError> {
        // Rows may be given now, and changes that came before stand before them.
        state.show()?;
        match state.merging.answer(answer)? {
            None => {}
            Some(failed) => self.read_failed(state, failed)?,
        }
        // The next chunk is read while this one is sent.
        self.ask(state).await?;
        self.give_rows(state).await
    }

    fn read_failed(
        &self,
        state: &mut Following,
        FailedRead { table, error }: FailedRead,
    ) -> Result<(), PostgresError> {
        // A table that is gone is found out by the next plan.
        let again =
            error.kind() == ErrorKind::Transient || error.sqlstate() == Some(UNDEFINED_TABLE);
        if again {
            tracing::warn!(%table, %error, "a chunk is read again");
            return Ok(());
        }
        if state.merging.condition(&table).is_some() && state.merging.stop(&table) {
            tracing::error!(%table, %error, "the snapshot of a part of the table is given up");
            return Ok(());
        }
        Err(error)
    }

    /// Asks for all tables: a sink that has nothing joined.
    pub(super) async fn read_everything(
        &mut self,
        state: &mut Following,
    ) -> Result<(), PostgresError> {
        let tables: Vec<SnapshotOf> =
            self.copied(None).await?.into_iter().map(|table| table.id.into()).collect();
        let plans = self.plan_of(&tables).await?;
        let position = state.decoder.position().end;
        state.decoder.tell_done();
        state.merging.request(plans, position)
    }

    /// Carries out a request; the stream stands between two transactions.
    pub(super) async fn request(
        &mut self,
        state: &mut Following,
        request: Request,
        answer: Answer,
    ) -> Result<(), PostgresError> {
        if let Err(refused) = self.carry_out(state, &request).await? {
            answer.refuse(refused);
            return Ok(());
        }
        state.batch.answers.push(answer);
        self.flush(state).await
    }

    /// Carries out a request, or says why it cannot be.
    pub(super) async fn carry_out(
        &mut self,
        state: &mut Following,
        request: &Request,
    ) -> Result<Result<(), Error>, PostgresError> {
        state.show()?;
        // A transaction that was done in part before the start may have yet to come.
        state.decoder.tell_done();
        match request {
            Request::Snapshot { tables } => {
                if let Some(refused) = self.refused(tables).await? {
                    return Ok(Err(refused));
                }
                let plans = match self.plan_of(tables).await {
                    Ok(plans) => plans,
                    Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
                    Err(error) => return Ok(Err(error.into())),
                };
                state.merging.request(plans, state.decoder.position().point().lsn)?;
            }
            Request::StopSnapshot { tables } => {
                let tables =
                    if tables.is_empty() { state.merging.tables() } else { tables.clone() };
                for table in tables {
                    if !state.merging.stop(&table) {
                        return Ok(Err(Error::configuration(format!(
                            "the snapshot of {table} cannot be given up: the table has no key, and its changes wait for its rows"
                        ))));
                    }
                }
            }
            Request::PauseSnapshot => state.merging.pause(),
            Request::ResumeSnapshot => state.merging.resume(),
            other => return Ok(Err(other.refused("PostgreSQL"))),
        }
        if !state.decoder.in_transaction() {
            state.merging.rest();
        }
        Ok(Ok(()))
    }

    /// Why tables cannot be read: they are not published, or a condition is wrong.
    async fn refused(&self, tables: &[SnapshotOf]) -> Result<Option<Error>, PostgresError> {
        if tables.is_empty() {
            return Ok(Some(Error::configuration("a snapshot of no table was asked for")));
        }
        let published = self.published(None).await?;
        let missing: Vec<String> = tables
            .iter()
            .filter(|of| !published.iter().any(|table| table.id == of.table))
            .map(|of| of.table.to_string())
            .collect();
        if !missing.is_empty() {
            return Ok(Some(
                Error::configuration(format!(
                    "a snapshot was asked for of what this source does not publish, or what does not exist: {}",
                    missing.join(", ")
                ))
                .remedy("name tables as schema and table, a partitioned one by its leaves, and let the source follow them"),
            ));
        }
        for of in tables {
            let Some(condition) = &of.condition else { continue };
            let question = plan::question(&of.table, condition);
            let asked = self.held.sql.prepare(&question).await;
            if let Err(error) = asked {
                let what = format!("the condition {condition:?} for the rows of {}", of.table);
                return Ok(Some(crate::catalog::failed(&self.held.sql, &what)(error).into()));
            }
        }
        Ok(None)
    }

    /// How to read tables, as far as they are published, in the order in which they are copied.
    pub(super) async fn plan_of(
        &self,
        tables: &[SnapshotOf],
    ) -> Result<Vec<(TablePlan, TableReadPlan)>, PostgresError> {
        let ids: Vec<TableId> = tables.iter().map(|of| of.table.clone()).collect();
        let published: Vec<PublishedTable> = self.published(Some(&ids)).await?;
        let connections = self.options.settings.snapshot_connections.get();
        let mut plans = plan(&self.held.sql, &self.options, &published, connections).await?;
        for (plan, read) in &mut plans {
            let of = tables.iter().find(|of| of.table == plan.table);
            if let Some(condition) = of.and_then(|of| of.condition.clone()) {
                read.choose(&condition);
                plan.condition = Some(condition);
            }
            plan.newly_streamed = !self.were_streamed();
        }
        Ok(plans)
    }
}
