//! Copies beside the stream: of tables that join, of all that are read again, and of a slot that was there.
//!
//! The merge reads the rows in chunks. Tables that join go through three steps, and the stream goes on all the while. Their names are
//! in the offsets from the start on; when the log is read up to where it ended at the start, and with that behind what any
//! sink has, an offset is saved that has the names at that point. Once all sinks have it, so that a kill cannot leave a table
//! published and forgotten, the tables are entered into the publication and asked for at one place of the stream: none of their
//! changes has come yet.

use std::time::Duration;

use cdc_core::snapshot::TablePlan;
use cdc_core::{SnapshotMark, SnapshotOf, TableId};
use tokio::time::Instant;

use super::Worker;
use super::follow::sleep_until;
use super::following::Following;
use crate::catalog::server;
use crate::error::{LOCK_NOT_AVAILABLE, PostgresError};
use crate::feedback::Acknowledged;
use crate::incremental::plan::TableReadPlan;
use crate::lsn::Lsn;
use crate::position::{Phase, Position};
use crate::publication::PublicationPlan;

/// Tables that were made or chosen since the last start.
#[derive(Debug)]
pub(super) enum Joining {
    /// Until the log is read up to where it ended at the start.
    Log { tables: Vec<TableId>, at: Lsn },
    /// Until every sink has saved an offset that names them.
    Saving { tables: Vec<TableId>, named_in: Box<Position>, try_at: Option<Instant> },
}

/// Rows that are asked for.
#[derive(Debug)]
pub(super) struct Copy {
    /// Of these tables; `None` is all.
    pub(super) tables: Option<Vec<TableId>>,
    /// Targets may hold rows that the log does not have at this place, and are told to remove what they have.
    pub(super) emptied: bool,
    /// Changes that were made before are not in the stream, even of transactions that are open.
    pub(super) newly_streamed: bool,
}

/// How long a lock is waited for while the stream stands: longer than the server takes to send its own vacuum away.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a table that is locked is left alone.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether a table can be read.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Until all sinks have saved the names of the tables that join, and they can be published. Cancel-safe.
pub(super) async fn named(acknowledged: &Acknowledged, waiting: Option<&Joining>) {
    match waiting {
        Some(Joining::Saving { named_in, try_at, .. }) => {
            acknowledged.wait_for(named_in).await;
            if try_at.is_some() {
                sleep_until(*try_at).await;
            }
        }
        _ => std::future::pending().await,
    }
}

impl Worker {
    /// All rows are to be read beside the stream, from where the slot stands.
    pub(super) fn copy_beside_the_stream(&mut self, emptied: bool, newly_streamed: bool) {
        self.position.phase = Phase::Streaming;
        self.position.copies += 1;
        self.position.sent = 0;
        self.position.joining.clear();
        self.copies.push(Copy { tables: None, emptied, newly_streamed });
    }

    /// Asks for the tables that were about to join when the run before ended; others join when the log is read up to where
    /// it ends now. `again` asks for all.
    pub(super) async fn resume_joining(&mut self, again: bool) -> Result<(), PostgresError> {
        let mut resumed = std::mem::take(&mut self.position.joining);
        // Of a read that an older version was in the middle of.
        self.position.sent = 0;
        let mut new = Vec::new();
        match self.held.survey.plan.clone() {
            Some(plan) if self.options.copies() => {
                new = plan.joining();
                plan.without(&new).apply(&self.held.sql, None).await?;
            }
            _ => {
                self.enter_tables().await?;
            }
        }
        self.note_publications().await?;
        if !self.options.copies() {
            return Ok(());
        }
        if again {
            let newly_streamed = !self.were_streamed();
            // A table that comes into our own publications joins. What the others held, or which of their tables were wanted,
            // is not known: a target may have rows of a time after which it missed changes.
            let emptied = self.held.survey.plan.is_none();
            self.copies.push(Copy { tables: None, emptied, newly_streamed });
        }
        // What is not published yet has a sink that does not know of it, perhaps.
        resumed.retain(|table| !new.contains(table));
        if !resumed.is_empty() {
            let tables = Some(resumed);
            self.copies.push(Copy { tables, emptied: true, newly_streamed: true });
        }
        if !new.is_empty() {
            let segment_size = self.held.survey.server.segment_size;
            let at = server::flushed_position(&self.held.sql, segment_size).await?;
            self.position.joining.clone_from(&new);
            self.waiting = Some(Joining::Log { tables: new, at });
        }
        Ok(())
    }

    /// Whether all changes of all tables were published for as long as anybody can remember. When others entered tables into
    /// their publication is not known.
    pub(super) fn were_streamed(&self) -> bool {
        let survey = &self.held.survey;
        survey.plan.is_some() || survey.publications.iter().any(|it| it.all_tables)
    }

    /// Lets all sinks save the names of the tables that join, when the log is read up to a point.
    pub(super) async fn name_joining(
        &mut self,
        state: &mut Following,
    ) -> Result<(), PostgresError> {
        let reached = state.decoder.position().point().lsn;
        let tables = match &mut self.waiting {
            Some(Joining::Log { tables, at })
                if reached >= *at && !state.decoder.in_transaction() =>
            {
                std::mem::take(tables)
            }
            _ => return Ok(()),
        };
        self.flush(state).await?;
        self.send_position(state, true).await?;
        let named_in = Box::new(self.position.clone());
        self.waiting = Some(Joining::Saving { tables, named_in, try_at: None });
        Ok(())
    }

    /// Publishes the tables that join and asks for their rows. The stream stands between two transactions.
    pub(super) async fn join(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        let Some(Joining::Saving { tables, named_in, .. }) = self.waiting.take() else {
            return Ok(());
        };
        let list: Vec<String> = tables.iter().map(ToString::to_string).collect();
        let list = list.join(", ");
        let publication = self.options.publication_name(self.pipeline());
        let (sql, followed) = (&self.held.sql, &self.held.survey.tables);
        let via_root = self.options.settings.via_root;
        let plan = PublicationPlan::survey(sql, &publication, via_root, followed).await?;
        match plan.apply(sql, Some(LOCK_TIMEOUT)).await {
            Ok(()) => tracing::info!(tables = list, "new tables join"),
            Err(error) if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => {
                tracing::warn!(tables = list, %error, "new tables join when one of them is not locked any more");
                let try_at = Some(Instant::now() + TRY_AGAIN_AFTER);
                self.waiting = Some(Joining::Saving { tables, named_in, try_at });
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let copy = Copy { tables: Some(tables), emptied: true, newly_streamed: true };
        self.request_copy(state, copy).await?;
        // In one offset with the request.
        state.decoder.set_joining(Vec::new());
        self.flush(state).await
    }

    /// Asks for what is to be read from the start on, before anything of the stream is taken.
    pub(super) async fn request_copies(
        &mut self,
        state: &mut Following,
    ) -> Result<(), PostgresError> {
        let copies = std::mem::take(&mut self.copies);
        if copies.is_empty() {
            return Ok(());
        }
        for copy in copies {
            self.request_copy(state, copy).await?;
        }
        self.flush(state).await
    }

    /// Asks the merge for rows; the next offset has it.
    async fn request_copy(
        &mut self,
        state: &mut Following,
        copy: Copy,
    ) -> Result<(), PostgresError> {
        let mut plans = self.plan_of_copy(copy.tables.as_deref()).await?;
        for (plan, _) in &mut plans {
            plan.newly_streamed |= copy.newly_streamed;
        }
        state.show()?;
        state.decoder.tell_done();
        let position = state.decoder.position().end;
        state.merging.request(plans.clone(), position)?;
        // What an offset has after this is more, also where there is nothing to read.
        state.merging.number(1);
        if copy.emptied {
            self.empty(state, &plans)?;
        }
        Ok(())
    }

    /// Tells targets to remove the rows of tables: a row that is there has to be the one that the log has at this place. One
    /// without a key is emptied with its rows.
    fn empty(
        &self,
        state: &mut Following,
        plans: &[(TablePlan, TableReadPlan)],
    ) -> Result<(), PostgresError> {
        let stamp = self.stamp(state);
        for (plan, read) in plans.iter().filter(|(plan, _)| !plan.key.is_empty()) {
            state.decoder.relations.announce(&plan.table, &read.schema);
            let place = (&stamp, SnapshotMark::Incremental);
            for event in state.merging.announce(&plan.table, &read.schema, place, true)? {
                state.batch.push(event);
            }
        }
        Ok(())
    }

    /// How to read tables, as soon as nobody is altering one of them.
    async fn plan_of_copy(
        &self,
        tables: Option<&[TableId]>,
    ) -> Result<Vec<(TablePlan, TableReadPlan)>, PostgresError> {
        let until = self.options.settings.snapshot_lock_timeout.map(|it| Instant::now() + it);
        let mut told = false;
        loop {
            let copied = self.copied(tables).await?;
            let copied: Vec<SnapshotOf> = copied.into_iter().map(|table| table.id.into()).collect();
            let error = match self.plan_of(&copied).await {
                Err(
                    error @ (PostgresError::SnapshotLock { .. }
                    | PostgresError::TableRewritten { .. }),
                ) if until.is_none_or(|until| Instant::now() < until) => error,
                planned => return planned,
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "a table is being altered; it is read when that has ended");
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }
}
