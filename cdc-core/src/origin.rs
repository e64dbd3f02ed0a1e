//! Where an event came from: outside its payload, so that no transform can lose it.

use std::fmt;
use std::sync::Arc;

use crate::schema::TableId;

/// Where an event came from. Transforms cannot change it, fan-out copies it; acknowledging, sparing, versions and dead
/// letters need it.
///
/// Cloning is O(1).
#[derive(Debug, Clone)]
pub struct Origin {
    /// The transaction, shared by all its events.
    pub transaction: Arc<TransactionOrigin>,
    /// Which row message of its transaction it is, counted from 0 before any filter; for a snapshot the
    /// number of the row.
    pub index: u64,
    /// Where in the log it stands (PostgreSQL: the LSN of the change; MySQL: the position in the binlog file).
    pub log_position: u64,
    /// The table it belongs to; `None` for logical messages and transaction markers.
    pub table: Option<Arc<TableId>>,
    /// Whether it is a row of a snapshot, and which.
    pub snapshot: SnapshotMark,
    /// The change is one that a snapshot taken in this run already shows: a sink that got the snapshot's rows is
    /// spared it, a sink that was spared the rows gets it.
    pub shown_by_snapshot: bool,
    /// The number of the batch it came in, counted by the pipeline; 0 until it has.
    pub batch: u64,
    /// Its place in that batch, counted by the pipeline from 0 before any transform.
    pub place: u32,
}

impl Origin {
    /// The origin of what the pipeline makes itself, a heartbeat: it stands nowhere in the log. No offset covers it, and
    /// none is reached by it.
    pub fn of_pipeline() -> Self {
        Origin {
            transaction: Arc::new(TransactionOrigin {
                connector: "",
                database: "the pipeline".into(),
                id: None,
                commit_time_us: None,
                position: [u64::MAX; 2],
                previous_commit: None,
                replicated_from: None,
            }),
            index: 0,
            log_position: u64::MAX,
            table: None,
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        }
    }

    /// Whether the pipeline made it: see [`Origin::of_pipeline`].
    pub fn is_of_pipeline(&self) -> bool {
        self.transaction.position == [u64::MAX; 2]
    }
}

/// For messages: table, transaction and position, such as `public.orders, transaction 771, change 3 at 0/16B3748`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{table}")?,
            None => f.write_str(&self.transaction.database)?,
        }
        if self.snapshot.is_snapshot() {
            return write!(f, ", row {} of the snapshot", self.index);
        }
        if let Some(id) = &self.transaction.id {
            write!(f, ", transaction {id}")?;
        }
        write!(f, ", change {} at ", self.index)?;
        if self.transaction.connector == "postgresql" {
            write!(f, "{:X}/{:X}", self.log_position >> 32, self.log_position & 0xffff_ffff)
        } else {
            write!(f, "{}", self.log_position)
        }
    }
}

/// What the events of a transaction share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOrigin {
    /// The kind of source in Debezium's words: `postgresql`, `mysql`, `mariadb`.
    pub connector: &'static str,
    /// The database.
    pub database: Arc<str>,
    /// The transaction's id at its source.
    pub id: Option<TransactionId>,
    /// When it was committed, in microseconds since the Unix epoch; for a snapshot when it was read.
    pub commit_time_us: Option<i64>,
    /// Orders transactions; only the source that made it knows what it means (PostgreSQL: commit LSN, end LSN).
    pub position: [u64; 2],
    /// The position of the transaction committed before it, where the source knows one.
    pub previous_commit: Option<u64>,
    /// The replication origin, where the transaction was itself replicated.
    pub replicated_from: Option<ReplicationOrigin>,
}

/// A transaction's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TransactionId {
    /// PostgreSQL's 32 bit transaction id.
    Xid(u32),
    /// A MySQL or MariaDB GTID.
    Gtid(Arc<str>),
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionId::Xid(xid) => write!(f, "{xid}"),
            TransactionId::Gtid(gtid) => f.write_str(gtid),
        }
    }
}

/// Where a replicated transaction was first committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationOrigin {
    /// The name of the replication origin.
    pub name: Arc<str>,
    /// The commit LSN on the origin server.
    pub position: u64,
}

/// Whether an event is a row of a snapshot. The markers are those of Debezium's `source.snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SnapshotMark {
    /// A change from the log.
    #[default]
    No,
    /// The first row of the snapshot.
    First,
    /// The first row of its table.
    FirstInTable,
    /// A row like any other.
    Row,
    /// The last row of its table.
    LastInTable,
    /// The last row of the snapshot.
    Last,
    /// A row of a snapshot that runs beside the stream.
    Incremental,
}

impl SnapshotMark {
    /// Whether it is a row of a snapshot at all.
    pub fn is_snapshot(self) -> bool {
        self != SnapshotMark::No
    }
}
