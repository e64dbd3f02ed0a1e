//! What can go wrong in a target, and what the pipeline does about it.

use cdc_core::{Error, ErrorKind, Offset};

use crate::sql::naming::TableName;

/// An error of a SQL sink. Its text is one line that names target, table and remedy, and never a password.
///
/// As a [`cdc_core::Error`] it has the kind that [`SinkError::kind`] gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A column of the target cannot hold what the source's column holds.
    #[error(transparent)]
    TypeConflict(Box<TypeConflict>),
    /// Two destinations have one table in the target.
    #[error(
        "{target}: the tables {first} and {second} would both be written to {table}; \
         leave one of them out, or give them names with .table_names(..)"
    )]
    NameCollision {
        /// The sink.
        target: String,
        /// The target's table.
        table: String,
        /// The destination that was first.
        first: String,
        /// The destination that came later.
        second: String,
    },
    /// The target's table has no unique key that is the key of the source.
    #[error(
        "{target}: table {table} has no primary key or unique index on ({key}); run {statement}"
    )]
    NoUniqueKey {
        /// The sink.
        target: String,
        /// The target's table.
        table: String,
        /// The columns of the source's key.
        key: String,
        /// The statement that makes one.
        statement: String,
    },
    /// The target cannot have a table or a column of this name.
    #[error("{target}: {reason}; {remedy}")]
    Name {
        /// The sink.
        target: String,
        /// What is wrong with which name.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A value that the target cannot take.
    #[error("{target}: column {column:?} of table {table}: {reason}")]
    Value {
        /// The sink.
        target: String,
        /// The target's table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// The target refused something.
    #[error("{target}: {what}: {reason}{}{}", if remedy.is_empty() { "" } else { "; " }, remedy)]
    Refused {
        /// The sink.
        target: String,
        /// What was tried, with the table.
        what: String,
        /// What the target said.
        reason: String,
        /// What to do, where there is something to say.
        remedy: String,
        /// What the pipeline does about it.
        kind: ErrorKind,
    },
    /// A newer instance of the pipeline writes to the target.
    #[error(
        "{target}: another instance of the pipeline {pipeline:?} has taken over; this one writes nothing more"
    )]
    Fenced {
        /// The sink.
        target: String,
        /// The pipeline.
        pipeline: String,
    },
    /// The server could not be reached or the connection broke.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Connection(#[from] cdc_pgconn::ConnectError),
    /// An event that is no row, or lacks what a row needs.
    #[error(transparent)]
    Event(#[from] Error),
}

/// A column of the target that cannot hold what the source's column holds.
#[derive(Debug, thiserror::Error)]
#[error(
    "{target}: column {column:?} of table {table} has the type {target_type} and cannot hold {source_type} without loss; \
     {remedy}"
)]
pub struct TypeConflict {
    /// The sink.
    pub target: String,
    /// The target's table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type in the target.
    pub target_type: String,
    /// Its type at the source.
    pub source_type: String,
    /// What to do.
    pub remedy: String,
}

impl SinkError {
    /// What the pipeline does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SinkError::TypeConflict(_)
            | SinkError::NameCollision { .. }
            | SinkError::NoUniqueKey { .. }
            | SinkError::Name { .. } => ErrorKind::Configuration,
            SinkError::Value { .. } => ErrorKind::Data,
            SinkError::Refused { kind, .. } => *kind,
            SinkError::Fenced { .. } => ErrorKind::Fenced,
            #[cfg(feature = "postgres")]
            SinkError::Connection(error) => match error.kind() {
                cdc_pgconn::ConnectErrorKind::Transient => ErrorKind::Transient,
                _ => ErrorKind::Configuration,
            },
            SinkError::Event(error) => error.kind(),
        }
    }

    /// A setting that only a human can change.
    pub(crate) fn configuration(
        target: &str,
        what: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        SinkError::Refused {
            target: target.to_owned(),
            what: what.into(),
            reason: reason.into(),
            remedy: remedy.into(),
            kind: ErrorKind::Configuration,
        }
    }
}

/// A commit on a connection that has not taken the fence: the one that had is gone.
pub(crate) fn not_loaded(target: &str) -> SinkError {
    SinkError::Refused {
        target: target.to_owned(),
        what: "the batch cannot be written".into(),
        reason: "the connection that held the fence is gone".into(),
        remedy: "the offset is loaded again before the next write".into(),
        kind: ErrorKind::Transient,
    }
}

/// Another instance has the fence.
pub(crate) fn fenced(target: &str, pipeline: &str) -> SinkError {
    SinkError::Fenced { target: target.to_owned(), pipeline: pipeline.to_owned() }
}

/// The offset from its text.
pub(crate) fn read_offset(
    target: &str,
    table: &TableName,
    pipeline: &str,
    text: Option<String>,
) -> Result<Option<Offset>, SinkError> {
    text.map(|text| text.parse()).transpose().map_err(|error: Error| {
        SinkError::configuration(
            target,
            format!("the offset of pipeline {pipeline:?} in {table} is damaged"),
            error.to_string(),
            "restore the table, or delete its row and copy into empty tables",
        )
    })
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Error {
        match error {
            SinkError::Event(error) => error,
            error => {
                let made = Error::new(error.kind(), error.to_string());
                #[cfg(feature = "postgres")]
                if let SinkError::Connection(cause) = &error
                    && cause.is_unreachable()
                {
                    return made.unreachable().with_source(error);
                }
                made.with_source(error)
            }
        }
    }
}
