//! What a running source can be asked for, and how it answers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::schema::TableId;

/// What a running source can be asked for, by [`Handle::request`](crate::Handle::request).
///
/// ```
/// use cdc_core::{Request, TableId};
///
/// let all_of_it = Request::snapshot([TableId::new("public", "orders")]);
/// assert_eq!(all_of_it.name(), "snapshot");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Read these tables again while the stream goes on.
    Snapshot {
        /// The tables.
        tables: Vec<SnapshotOf>,
    },
    /// Give up snapshots that run.
    StopSnapshot {
        /// Of these tables; none means all.
        tables: Vec<TableId>,
    },
    /// Halt snapshots that run.
    PauseSnapshot,
    /// Go on with halted snapshots.
    ResumeSnapshot,
}

/// A table whose rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOf {
    /// The table.
    pub table: TableId,
    /// Which of its rows, as the database writes a condition (without `WHERE`), or a query that gives rows of the table
    /// (`SELECT ...`); none means all.
    pub condition: Option<String>,
}

impl From<TableId> for SnapshotOf {
    fn from(table: TableId) -> Self {
        SnapshotOf { table, condition: None }
    }
}

impl Request {
    /// Asks for all rows of these tables.
    pub fn snapshot(tables: impl IntoIterator<Item = TableId>) -> Self {
        Request::Snapshot { tables: tables.into_iter().map(Into::into).collect() }
    }

    /// The name used in errors and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Snapshot { .. } => "snapshot",
            Request::StopSnapshot { .. } => "stop-snapshot",
            Request::PauseSnapshot => "pause-snapshot",
            Request::ResumeSnapshot => "resume-snapshot",
        }
    }

    /// The error of a source that cannot do it.
    pub fn refused(&self, source: &str) -> Error {
        Error::configuration(format!(
            "the {source} source does not take the request {:?}",
            self.name()
        ))
    }
}

/// Where the answer to a request goes. Dropping the last clone of it answers that the request was lost.
#[derive(Clone)]
pub struct Answer(Arc<Mutex<Option<oneshot::Sender<Result<()>>>>>);

impl Answer {
    /// An answer, and where it arrives. Nothing arrives when it is lost.
    pub fn new() -> (Self, oneshot::Receiver<Result<()>>) {
        let (sender, receiver) = oneshot::channel();
        (Answer(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Answers that the source cannot do it.
    pub fn refuse(&self, error: Error) {
        self.give(Err(error));
    }

    /// Answers that an offset that holds the request is saved.
    pub(crate) fn saved(&self) {
        self.give(Ok(()));
    }

    fn give(&self, answer: Result<()>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Nobody may be waiting for the answer any more.
            let _ = sender.send(answer);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
