//! Signals: rows of a table in the stream, and lines of a file, that ask for something while the log is followed.

use std::time::Duration;

use cdc_core::signal::{Command, Signal, SignalFile};
use cdc_core::{Answer, ChangeEvent, Error, Operation, TableId};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

use super::Worker;
use super::following::Following;
use crate::error::PostgresError;
use crate::options::SignalSettings;

/// What was asked and is not carried out yet.
#[derive(Debug)]
pub(super) struct Signals {
    table: Option<TableId>,
    /// Rows of the table in the transaction that is open, or in one that was committed last.
    rows: Vec<ChangeEvent>,
    file: Option<SignalFile>,
    interval: Duration,
    /// When the file is looked at next.
    look_at: Instant,
    /// What the file asked for, until an offset that holds it is saved.
    unsaved: Vec<oneshot::Receiver<Result<(), Error>>>,
    /// It will not be: the pipeline begins again, and reads the file again.
    lost: bool,
}

impl Signals {
    pub(super) fn new(settings: &SignalSettings) -> Self {
        Signals {
            table: settings.table.clone(),
            rows: Vec::new(),
            file: settings.file.as_ref().map(SignalFile::new),
            interval: settings.interval,
            look_at: Instant::now(),
            unsaved: Vec::new(),
            lost: false,
        }
    }

    /// Whether rows can ask for something.
    #[inline]
    pub(super) fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// Keeps a change that asks for something: a row that was put into the table.
    pub(super) fn notice(&mut self, event: Option<&ChangeEvent>) {
        if let Some(event) = event
            && event.operation() == Some(Operation::Create)
            && event.origin().table.as_deref() == self.table.as_ref()
        {
            self.rows.push(event.clone());
        }
    }

    /// Whether a row asks for something.
    pub(super) fn are_there(&self) -> bool {
        !self.rows.is_empty()
    }

    /// When the file has to be looked at.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.file.as_ref().map(|_| self.look_at)
    }

    /// What the file asks for, where it is time to look, and whether what it asked for before is done.
    fn read_file(&mut self) -> Vec<Signal> {
        let Some(file) = &mut self.file else { return Vec::new() };
        let lost = &mut self.lost;
        self.unsaved.retain_mut(|saved| match saved.try_recv() {
            Ok(_) => false,
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => {
                *lost = true;
                false
            }
        });
        let is_saved = self.unsaved.is_empty() && !self.lost;
        let done = if is_saved { file.done() } else { Ok(()) };
        let signals = done.and_then(|()| file.read());
        self.look_at = Instant::now() + self.interval;
        signals.unwrap_or_else(|error| {
            tracing::warn!(%error, "signals are waited for");
            Vec::new()
        })
    }
}

impl Worker {
    /// The table for signals has to be followed, or no row of it would ever come.
    pub(super) fn check_signals(&self) -> Result<(), PostgresError> {
        let Some(table) = &self.options.settings.signals.table else { return Ok(()) };
        if self.held.survey.tables.iter().any(|followed| followed.id == *table) {
            return Ok(());
        }
        Err(PostgresError::Setting {
            name: "signal_table",
            reason: format!(
                "{table} (signal.data.collection) is not among the tables that are followed; make it: \
                 CREATE TABLE {} (id text PRIMARY KEY, type text NOT NULL, data text), and let the source follow it",
                crate::names::quote_table(table)
            ),
        })
    }

    /// Carries out what rows asked for; the stream stands between two transactions.
    pub(super) async fn obey_rows(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        state.show()?;
        state.decoder.seal();
        for event in std::mem::take(&mut state.signals.rows) {
            let Some(row) = event.after() else { continue };
            match Signal::from_row(row) {
                Ok(signal) => {
                    self.obey(state, &signal).await?;
                }
                Err(error) => tracing::warn!(%error, "a signal is left out"),
            }
        }
        self.flush(state).await
    }

    /// Looks into the file, and carries out what it asks for; the stream stands between two transactions.
    pub(super) async fn obey_file(&mut self, state: &mut Following) -> Result<(), PostgresError> {
        let signals = state.signals.read_file();
        if signals.is_empty() {
            return Ok(());
        }
        for signal in &signals {
            if self.obey(state, signal).await? {
                let (answer, saved) = Answer::new();
                state.batch.answers.push(answer);
                state.signals.unsaved.push(saved);
            }
        }
        self.flush(state).await
    }

    /// Carries out a signal. One that cannot be is told and left out, as in Debezium. Whether it changed anything.
    async fn obey(
        &mut self,
        state: &mut Following,
        signal: &Signal,
    ) -> Result<bool, PostgresError> {
        let (id, kind) = (&signal.id, &signal.kind);
        let refused = match self.command(state, signal).await? {
            Ok(done) => {
                tracing::info!(%id, %kind, "signal");
                return Ok(done);
            }
            Err(refused) => refused,
        };
        tracing::warn!(%id, %kind, error = %refused, "a signal is left out");
        Ok(false)
    }

    async fn command(
        &mut self,
        state: &mut Following,
        signal: &Signal,
    ) -> Result<Result<bool, Error>, PostgresError> {
        let command = match signal.command() {
            Ok(command) => command,
            Err(error) => return Ok(Err(error)),
        };
        if let Command::Log { message } = &command {
            let offset = self.position.to_offset().to_string();
            tracing::info!("{}", message.replacen("{}", &offset, 1));
            return Ok(Ok(false));
        }
        let published = self.published(None).await?;
        match command.request(published.iter().map(|table| &table.id)) {
            Ok(None) => Ok(Ok(false)),
            Ok(Some(request)) => Ok(self.carry_out(state, &request).await?.map(|()| true)),
            Err(error) => Ok(Err(error)),
        }
    }
}
