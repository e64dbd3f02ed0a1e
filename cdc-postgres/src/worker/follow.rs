//! The log to batches, and idle positions while nothing comes for us.

use std::time::Duration;

use bytes::Bytes;
use cdc_core::{Batch, TableId};
use tokio::time::Instant;

use super::Worker;
use super::following::{Following, Stop};
use super::joining::named;
use super::merging::Merging;
use super::signals::Signals;
use crate::acquire::start_failed;
use crate::batch::BatchBuilder;
use crate::catalog::{columns, publications, server};
use crate::decode::Decoder;
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{self, Begin, Commit, Message, StreamCommit};
use crate::position::{Chunks, Position};
use crate::relations::{Relation, Relations};
use crate::stream::{Chunk, LogStream};
use crate::streamed::Streamed;

/// How long what the log says may be hidden from the catalog.
const SEEN_LATE: Duration = Duration::from_millis(250);

/// What is read comes here so much later, or sooner.
const ON_ITS_WAY: Duration = Duration::from_micros(500);

impl Worker {
    /// Follows the log until something fails.
    pub(super) async fn follow(&mut self, mut stream: LogStream) -> Result<(), PostgresError> {
        let relations: Relations = std::mem::take(&mut self.relations);
        let database = self.held.survey.server.database.as_str().into();
        let chunks = std::mem::take(&mut self.position.chunks);
        let position = Position { chunks: Chunks::default(), ..self.position.clone() };
        let mut decoder = Decoder::new(database, position, relations)
            .map_err(|error| PostgresError::Log { position: Lsn::ZERO, reason: error.to_string() })?
            .with_markers(self.options.settings.transaction_markers);
        let progress = self.held.context.progress.clone();
        let mut merging = Merging::new(&self.options, self.position.end, &chunks, progress);
        let signals = Signals::new(&self.options.settings.signals);
        if signals.has_table() && self.position.inside.is_some() {
            // A row before it may have asked for something that was not carried out.
            merging.wake();
        }
        if merging.is_active() {
            decoder.tell_done();
        }
        let mut state = Following::new(
            decoder,
            BatchBuilder::new(self.options.settings.limits.apply(self.held.context.limits)),
            Streamed::new(self.options.settings.spill.clone()),
            merging,
            signals,
            &self.position,
        );
        if chunks.all && self.options.copies() {
            self.read_everything(&mut state).await?;
        }
        self.request_copies(&mut state).await?;
        self.name_joining(&mut state).await?;
        loop {
            if state.merging.is_active() {
                self.merge_on(&mut state, &stream).await?;
            }
            let wake = state.wake_at();
            let merging = state.merging.is_active();
            let between = !state.decoder.in_transaction();
            tokio::select! {
                biased;
                Some((request, answer)) = self.requests.recv(), if between => {
                    self.request(&mut state, request, answer).await?;
                }
                () = named(&self.acknowledged, self.waiting.as_ref()), if between => {
                    self.join(&mut state).await?;
                }
                answer = state.merging.next_answer(), if merging => {
                    self.take_answer(&mut state, answer).await?;
                }
                chunk = stream.next(), if !state.merging.holds_stream() => match chunk {
                    Some(Ok(chunk)) => self.take(&mut state, chunk).await?,
                    Some(Err(error)) => return Err(self.stream_failed(error, &state).await),
                    None => return Err(PostgresError::StreamEnded),
                },
                () = sleep_until(wake), if wake.is_some() => {}
            }
            if state.signals.wake_at().is_some_and(|at| at <= Instant::now())
                && !state.decoder.in_transaction()
            {
                self.obey_file(&mut state).await?;
            }
            if state.batch.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                self.flush(&mut state).await?;
            }
            if state.wants_idle() && state.next_look() <= Instant::now() {
                self.look(&mut state).await?;
                self.send_position(&mut state, false).await?;
            }
        }
    }

    async fn take(&mut self, state: &mut Following, chunk: Chunk) -> Result<(), PostgresError> {
        let owner = chunk.block.bytes();
        let mut messages = chunk.block.messages();
        while let Some(stop) =
            state.take_messages(&mut messages, owner, false, self.waiting.is_some())?
        {
            match stop {
                Stop::Full => self.flush(state).await?,
                Stop::Other { data, start } => self.take_other(state, data, owner, start).await?,
                Stop::Look => {}
            }
            if state.signals.are_there() && !state.decoder.in_transaction() {
                self.obey_rows(state).await?;
            }
            if state.merging.is_active() {
                self.give_rows(state).await?;
            }
            if self.waiting.is_some() {
                self.name_joining(state).await?;
            }
        }
        state.show()?;
        state.decoder.seal();
        if let Some(time) = state.decoder.position().last.commit_time_us {
            self.held.context.progress.set_last_commit(time);
        }
        state.streamed.spill().await?;
        let rests_until = chunk.rests_until;
        drop(chunk);
        match (state.batch.deadline(), rests_until) {
            // No other event would come in time to join it.
            (Some(deadline), Some(until)) if deadline <= until + ON_ITS_WAY => {
                self.flush(state).await
            }
            _ => Ok(()),
        }
    }

    /// Takes a message of the output plugin that is not of a row, a part of `owner`.
    async fn take_other(
        &mut self,
        state: &mut Following,
        data: &[u8],
        owner: &Bytes,
        at: Lsn,
    ) -> Result<(), PostgresError> {
        match decode(data, owner, at, false)? {
            Message::StreamStart(start) => state.streamed.start(start.xid, at)?,
            Message::StreamAbort(abort) => state.streamed.abort(abort.xid, abort.subxid)?,
            Message::StreamCommit(commit) => self.replay(state, commit, at).await?,
            message => self.take_message(state, message, at).await?,
        }
        Ok(())
    }

    /// Decodes a transaction that was sent before it was committed.
    async fn replay(
        &mut self,
        state: &mut Following,
        commit: StreamCommit,
        at: Lsn,
    ) -> Result<(), PostgresError> {
        let StreamCommit { xid, commit_lsn, end_lsn, commit_time } = commit;
        let mut replay = state.streamed.commit(xid);
        let begin = Begin { final_lsn: commit_lsn, commit_time, xid };
        self.take_message(state, Message::Begin(begin), at).await?;
        while let Some(block) = replay.next().await? {
            let (owner, mut messages) = (block.bytes(), block.messages());
            while let Some(stop) = state.take_messages(&mut messages, owner, true, false)? {
                match stop {
                    Stop::Full => self.flush(state).await?,
                    Stop::Other { data, start } => {
                        let message = decode(data, owner, start, true)?;
                        self.take_message(state, message, start).await?;
                    }
                    Stop::Look => {}
                }
            }
            state.show()?;
            state.decoder.seal();
        }
        let commit = Commit { commit_lsn, end_lsn, commit_time };
        self.take_message(state, Message::Commit(commit), at).await
    }

    async fn take_message(
        &mut self,
        state: &mut Following,
        message: Message,
        at: Lsn,
    ) -> Result<(), PostgresError> {
        match &message {
            Message::Relation(relation) => return self.describe(state, relation, at).await,
            Message::Type(named) => {
                let name = match named.namespace.as_str() {
                    "" => named.name.clone(),
                    namespace => format!("{namespace}.{}", named.name),
                };
                state.types.name(named.id, name);
                return Ok(());
            }
            _ => {}
        }
        state.decode(message, at)?;
        if state.is_full()? {
            self.flush(state).await?;
        }
        Ok(())
    }

    /// Sends what has come so far.
    pub(super) async fn flush(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        state.show()?;
        // Rows have values when they are sealed, and are shown as they are to be only then.
        state.decoder.seal();
        state.batch.shape(&mut self.shaper)?;
        if state.batch.is_empty() && state.batch.answers.is_empty() && !state.merging.is_dirty() {
            return Ok(());
        }
        // From PostgreSQL 18 on a publication that is gone is no error of the server: nothing comes any more.
        if self.held.sql.server_version() >= 180_000 && state.next_look() <= Instant::now() {
            self.look(state).await?;
        }
        self.position = state.position();
        state.sent = self.position.point();
        state.merging.saved();
        let ends_transaction = !state.decoder.in_transaction();
        let batch = state.batch.take(self.position.to_offset(), ends_transaction);
        self.send(batch).await
    }

    /// Sends where the log is read up to, without an event; to be saved at once where that is wanted.
    pub(super) async fn send_position(
        &mut self,
        state: &mut Following,
        save_now: bool,
    ) -> Result<(), PostgresError> {
        self.position = state.position();
        state.sent = self.position.point();
        state.merging.saved();
        let batch = Batch { save_now, ..Batch::empty(self.position.to_offset()) };
        self.send(batch).await
    }

    /// Puts together what the log and the catalog say of a table.
    async fn describe(
        &mut self,
        state: &mut Following,
        message: &pgoutput::Relation,
        at: Lsn,
    ) -> Result<(), PostgresError> {
        let sql = &self.held.sql;
        state.types.load(sql, message.columns.iter().map(|column| column.type_id)).await?;
        let catalog = columns::columns(sql, message.id).await?.unwrap_or_default();
        let catalog = catalog.with_unique(self.options.settings.unique_keys);
        let id = TableId::new(message.namespace.as_str(), message.name.as_str());
        let wanted = self.held.survey.wants(&self.options, &id);
        // A Relation has no position of its own.
        let at = if at == Lsn::ZERO { state.decoder.position().point().lsn } else { at };
        let relation = Relation::new(message, &catalog, &state.types, wanted, at)?;
        state.decoder.relations.insert(message.id, relation);
        Ok(())
    }

    /// Looks whether the publications are still there, and how far the log goes.
    pub(super) async fn look(&self, state: &mut Following) -> Result<(), PostgresError> {
        let names = self.publications();
        let found = publications::oids(&self.held.sql, &names).await?;
        for (name, oid) in &self.position.publications {
            let what = match found.iter().find(|(there, _)| there == name) {
                Some((_, there)) if there == oid => continue,
                Some(_) => "was dropped and made again",
                None => "was dropped",
            };
            return Err(PostgresError::Publication {
                publication: name.clone(),
                what,
                position: state.seen,
                slot: self.slot_name(),
            });
        }
        let segment_size = self.held.survey.server.segment_size;
        let end = server::insert_position(&self.held.sql, segment_size).await?;
        let reached = state.decoder.position().point().lsn;
        let lag = end.0.saturating_sub(reached.0);
        self.held.context.progress.set_lag_bytes(lag);
        state.merging.lags_by(lag);
        state.looked_at = Some(Instant::now());
        state.seen = reached;
        Ok(())
    }

    /// What an error of the stream means.
    async fn stream_failed(
        &self,
        error: cdc_pgconn::ConnectError,
        state: &Following,
    ) -> PostgresError {
        let publication =
            error.server().filter(|server| server.code == "42704").and_then(|server| {
                let names = self.publications();
                names.into_iter().find(|name| server.message.contains(&format!("\"{name}\"")))
            });
        let Some(publication) = publication else { return start_failed(error, &self.slot_name()) };
        let name = std::slice::from_ref(&publication);
        let mut there = publications::oids(&self.held.sql, name).await;
        if there.as_ref().is_ok_and(|there| !there.is_empty()) {
            // A commit is in the log a moment before others see what it did.
            tokio::time::sleep(SEEN_LATE).await;
            there = publications::oids(&self.held.sql, name).await;
        }
        let what = match there {
            Ok(there) if !there.is_empty() => "was made after the position that the slot reads",
            _ => "was dropped",
        };
        PostgresError::Publication {
            publication,
            what,
            position: state.decoder.position().end,
            slot: self.slot_name(),
        }
    }
}

/// Decodes a message that is a part of `owner`.
fn decode(data: &[u8], owner: &Bytes, at: Lsn, in_stream: bool) -> Result<Message, PostgresError> {
    pgoutput::decode(owner.slice_ref(data), in_stream)
        .map_err(|source| PostgresError::Decode { position: at, source })
}

pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
