//! What can go wrong in the source, and what to do about it.

use cdc_core::{Error, ErrorKind, TableId};
use cdc_pgconn::{ConnectError, ConnectErrorKind};

use crate::lsn::Lsn;
use crate::pgoutput::DecodeError;
use crate::prerequisites::Prerequisite;

/// The error code of a lock that was not had in time.
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The error code of a table that is not there.
pub(crate) const UNDEFINED_TABLE: &str = "42P01";
/// An earlier statement of the transaction failed.
pub(crate) const FAILED_TRANSACTION: &str = "25P02";
/// The error code of another thing that is not there.
pub(crate) const UNDEFINED_OBJECT: &str = "42704";

/// Why the source cannot start or go on.
///
/// Each is shown as one line that names what is concerned and the remedy. It becomes a [`cdc_core::Error`] whose kind the
/// pipeline acts on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// A setting is wrong or contradicts another.
    #[error("{name}: {reason}")]
    Setting {
        /// The builder's method.
        name: &'static str,
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// The connection cannot be made or broke, or a statement failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The merge of chunks into the stream failed.
    #[error("{0}")]
    Merge(Error),
    /// A statement failed.
    #[error("{what}: {source}")]
    Statement {
        /// What it was for.
        what: String,
        /// What the server said.
        source: ConnectError,
    },
    /// The server, the role or a table is not as it must be; all that is missing, together.
    #[error("{}", crate::prerequisites::report(.0))]
    Prerequisites(Vec<Prerequisite>),
    /// The locks of a copy were not had in time.
    #[error("the tables could not be locked for the copy within {} ms: {reason}; end the transaction that holds a lock on them, or raise .snapshot_lock_timeout(..) (snapshot.lock.timeout.ms)", .timeout.as_millis())]
    SnapshotLock {
        /// How long they were waited for.
        timeout: std::time::Duration,
        /// What the server says.
        reason: String,
    },
    /// Another instance reads the slot and the source was told not to wait.
    #[error(
        "replication slot {slot:?} is in use by {holder}; stop that instance, or let this one wait"
    )]
    SlotInUse {
        /// The slot.
        slot: String,
        /// Who reads it.
        holder: String,
    },
    /// There is an offset, but its slot is gone.
    #[error(
        "replication slot {slot:?} does not exist, but the pipeline has read it up to {position}: \
         what was changed since is lost for it; remove the pipeline's offset (and empty the target) to begin with a new copy"
    )]
    SlotMissing {
        /// The slot.
        slot: String,
        /// How far the pipeline has come.
        position: Lsn,
    },
    /// The slot has let go of changes that the pipeline does not have.
    #[error(
        "replication slot {slot:?} has advanced to {confirmed}, behind it the pipeline's offset stands at {position}: \
         the changes in between are lost for it; somebody else has read the slot, or an old offset was restored: \
         drop the slot and remove the pipeline's offset to begin with a new copy"
    )]
    SlotAhead {
        /// The slot.
        slot: String,
        /// Where the slot stands.
        confirmed: Lsn,
        /// Where the pipeline stands.
        position: Lsn,
    },
    /// A slot of this name exists and nothing says that this pipeline made it.
    #[error(
        "replication slot {slot:?} exists, but the pipeline has no offset that says it is its own; \
         adopt it with .adopt_slot(true) or cdc.slot.adopt=true (all tables are copied anew), or drop it: SELECT pg_drop_replication_slot('{slot}')"
    )]
    SlotNotOurs {
        /// The slot.
        slot: String,
    },
    /// The slot cannot be created or read for a reason of its own.
    #[error("replication slot {slot:?} {reason}")]
    SlotUnusable {
        /// The slot.
        slot: String,
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// The server has removed log that the slot needs.
    #[error(
        "the write-ahead log that replication slot {slot:?} needs was removed ({reason}): changes are lost for the pipeline; \
         drop the slot, remove the pipeline's offset to begin with a new copy, and raise max_slot_wal_keep_size"
    )]
    WalRemoved {
        /// The slot.
        slot: String,
        /// What the server says.
        reason: String,
    },
    /// The offset is of another slot than the configured one.
    #[error(
        "the pipeline's offset belongs to replication slot {offset:?}, but slot {slot:?} is configured; \
         configure .slot_name({offset:?}), or remove the pipeline's offset to begin with a new copy"
    )]
    OtherSlot {
        /// The configured slot.
        slot: String,
        /// The offset's slot.
        offset: String,
    },
    /// The server is not the one the offset is from.
    #[error(
        "the server's system identifier is {server}, but the pipeline's offset is from {offset}: it is another database cluster; \
         connect to the one the offset is from, or remove the pipeline's offset to begin with a new copy"
    )]
    OtherSystem {
        /// The server's identifier.
        server: String,
        /// The offset's.
        offset: String,
    },
    /// The server's history does not contain the offset: it was promoted from a point before it.
    #[error(
        "the server is on timeline {server}, whose history does not contain the pipeline's offset {position} on timeline {timeline}: \
         changes that the pipeline has seen are not in this server; remove the pipeline's offset (and empty the target) to begin with a new copy"
    )]
    OtherTimeline {
        /// The server's timeline.
        server: u32,
        /// The offset's timeline.
        timeline: u32,
        /// The offset's position.
        position: Lsn,
    },
    /// A publication that the pipeline reads is gone, was made again, or was made too late.
    #[error(
        "publication {publication:?} {what}: changes may be missing after {position}; \
         drop replication slot {slot:?}, remove the pipeline's offset and start again: publication and slot are made anew, and all tables are copied"
    )]
    Publication {
        /// The publication.
        publication: String,
        /// What happened to it.
        what: &'static str,
        /// Up to here everything was there.
        position: Lsn,
        /// The slot.
        slot: String,
    },
    /// The role may not make the publication.
    #[error(
        "publication {publication:?} cannot be made: {reason}; let an administrator run {statement}, or choose another mode with .publication_mode(..) (publication.autocreate.mode), such as filtered"
    )]
    PublicationRight {
        /// The publication.
        publication: String,
        /// What makes it.
        statement: String,
        /// What the server says.
        reason: String,
    },
    /// A JSON object that this source did not write.
    #[error(
        "not an offset of the PostgreSQL source: {offset}; remove the pipeline's offset to begin with a new copy"
    )]
    NotAnOffset {
        /// The JSON.
        offset: String,
    },
    /// The log has a message that does not follow the protocol.
    #[error("the log at {position}: {source}; this is a fault of the server or of this library")]
    Decode {
        /// Where.
        position: Lsn,
        /// What.
        source: DecodeError,
    },
    /// The log's messages contradict each other.
    #[error("the log at {position}: {reason}; this is a fault of the server or of this library")]
    Log {
        /// Where.
        position: Lsn,
        /// What.
        reason: String,
    },
    /// A value cannot be read.
    #[error("{table}.{column} at {position}: {reason}")]
    Value {
        /// The table.
        table: TableId,
        /// The column.
        column: String,
        /// Where.
        position: Lsn,
        /// What is wrong with it.
        reason: String,
    },
    /// A row cannot be shown as the column options ask for.
    #[error("the column options cannot be carried out: {reason}")]
    Shape {
        /// What is wrong.
        reason: String,
    },
    /// A row that a row filter let in came without a large value.
    #[error(
        "{table}.{column} at {position}: a row came into the publication's row filter without its unchanged TOAST value; \
         run ALTER TABLE {} REPLICA IDENTITY FULL, or take the row filter away", crate::names::quote_table(.table)
    )]
    InsertWithoutToast {
        /// The table.
        table: TableId,
        /// The column.
        column: String,
        /// Where.
        position: Lsn,
    },
    /// A column cannot be read again.
    #[error(
        "{column} cannot be read again for {key}: {reason}; leave it as it is with .on_failure(ReselectFailure::Warn) \
         (reselect.error.handling.mode=warn), or let the log have it with REPLICA IDENTITY FULL"
    )]
    Reselect {
        /// The table and its columns.
        column: String,
        /// The row's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A table was changed as no snapshot shows it, between the snapshot and its read.
    #[error(
        "{table} was rewritten, truncated or altered while its copy began; the copy starts again"
    )]
    TableRewritten {
        /// The table.
        table: TableId,
    },
    /// A large transaction in progress cannot be kept on disk.
    #[error(
        "a large transaction that is not committed yet cannot be kept in {folder}: {source}; make room there, name another \
         folder with .spill_folder(..), or let the server keep it with .stream_in_progress(false)"
    )]
    Spill {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended the stream.
    #[error("the server ended the replication stream; it is started again")]
    StreamEnded,
    /// A task of the source is gone.
    #[error("the source was stopped")]
    Stopped,
}

impl PostgresError {
    /// A statement that failed.
    pub(crate) fn statement(what: impl Into<String>, source: ConnectError) -> Self {
        // What the connection says of itself needs no addition.
        if source.sqlstate().is_none() {
            return Self::Connect(source);
        }
        Self::Statement { what: what.into(), source }
    }

    /// What the server's error code says, where there is one.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Connect(source) | Self::Statement { source, .. } => source.sqlstate(),
            _ => None,
        }
    }

    /// What the pipeline does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) | Self::Statement { source: error, .. } => match error.kind() {
                ConnectErrorKind::Transient => ErrorKind::Transient,
                ConnectErrorKind::Configuration => ErrorKind::Configuration,
            },
            Self::TableRewritten { .. } | Self::SnapshotLock { .. } | Self::StreamEnded => {
                ErrorKind::Transient
            }
            Self::Decode { .. }
            | Self::Log { .. }
            | Self::Value { .. }
            | Self::Reselect { .. }
            | Self::InsertWithoutToast { .. } => ErrorKind::Data,
            Self::Merge(error) => error.kind(),
            Self::Stopped => ErrorKind::Cancelled,
            _ => ErrorKind::Configuration,
        }
    }
}

impl From<Error> for PostgresError {
    fn from(error: Error) -> Self {
        Self::Merge(error)
    }
}

impl From<PostgresError> for Error {
    fn from(error: PostgresError) -> Self {
        if let PostgresError::Merge(error) = error {
            return error;
        }
        let unreachable =
            matches!(&error, PostgresError::Connect(source) if source.is_unreachable());
        let converted = Error::new(error.kind(), error.to_string()).with_source(error);
        if unreachable { converted.unreachable() } else { converted }
    }
}
