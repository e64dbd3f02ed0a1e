//! The messages as types.
//!
//! `xid` in a message of a change is the (sub)transaction it belongs to; it is there only inside a stream block
//! (between Stream Start and Stream Stop). Times are microseconds since 2000-01-01 UTC ([`unix_micros`]).

use bytes::Bytes;

use super::tuple::Tuple;
use crate::lsn::Lsn;

/// Seconds between 1970 and 2000, in microseconds.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A time of the protocol in microseconds since 1970-01-01 UTC; `None` where that exceeds 64 bits.
///
/// ```
/// assert_eq!(cdc_postgres::pgoutput::unix_micros(0), Some(946_684_800_000_000));
/// ```
pub fn unix_micros(time: i64) -> Option<i64> {
    time.checked_add(POSTGRES_EPOCH_MICROS)
}

/// A message of `pgoutput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A transaction begins.
    Begin(Begin),
    /// It is committed.
    Commit(Commit),
    /// It came from another server.
    Origin(Origin),
    /// A table's columns, before its first change and after each change of it.
    Relation(Relation),
    /// The name of a type that is not built in.
    Type(TypeInfo),
    /// A row was inserted.
    Insert(Insert),
    /// A row was updated.
    Update(Update),
    /// A row was deleted.
    Delete(Delete),
    /// Tables were truncated.
    Truncate(Truncate),
    /// `pg_logical_emit_message` was called.
    Message(LogicalMessage),
    /// A block of a transaction in progress begins (protocol 2).
    StreamStart(StreamStart),
    /// The block ends (protocol 2).
    StreamStop,
    /// A streamed transaction is committed (protocol 2).
    StreamCommit(StreamCommit),
    /// A streamed transaction or subtransaction is rolled back (protocol 2).
    StreamAbort(StreamAbort),
    /// A prepared transaction begins (protocol 3).
    BeginPrepare(BeginPrepare),
    /// It is prepared (protocol 3).
    Prepare(Prepare),
    /// A prepared transaction is committed (protocol 3).
    CommitPrepared(CommitPrepared),
    /// A prepared transaction is rolled back (protocol 3).
    RollbackPrepared(RollbackPrepared),
    /// A streamed transaction is prepared (protocol 3).
    StreamPrepare(Prepare),
}

/// The start of a transaction; transactions come in the order of their commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// The LSN of the commit record, the same as [`Commit::commit_lsn`].
    pub final_lsn: Lsn,
    /// When it was committed.
    pub commit_time: i64,
    /// The transaction.
    pub xid: u32,
}

impl Begin {
    /// Reads the message; `None` where it is another one, or malformed.
    ///
    /// ```
    /// use cdc_postgres::pgoutput::Begin;
    ///
    /// assert_eq!(Begin::read(b"C"), None);
    /// ```
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"B")?;
        let (final_lsn, rest) = rest.split_first_chunk()?;
        let (commit_time, xid) = rest.split_first_chunk()?;
        Some(Begin {
            final_lsn: Lsn(u64::from_be_bytes(*final_lsn)),
            commit_time: i64::from_be_bytes(*commit_time),
            xid: u32::from_be_bytes(xid.try_into().ok()?),
        })
    }
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Just behind it: what is confirmed when the transaction is durable.
    pub end_lsn: Lsn,
    /// When it was committed.
    pub commit_time: i64,
}

impl Commit {
    /// Reads the message; `None` where it is another one, or malformed.
    ///
    /// ```
    /// use cdc_postgres::pgoutput::Commit;
    ///
    /// assert_eq!(Commit::read(b"B"), None);
    /// ```
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"C\0")?;
        let (commit_lsn, rest) = rest.split_first_chunk()?;
        let (end_lsn, commit_time) = rest.split_first_chunk()?;
        Some(Commit {
            commit_lsn: Lsn(u64::from_be_bytes(*commit_lsn)),
            end_lsn: Lsn(u64::from_be_bytes(*end_lsn)),
            commit_time: i64::from_be_bytes(commit_time.try_into().ok()?),
        })
    }
}

/// Where the transaction came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The LSN of the commit on the origin.
    pub commit_lsn: Lsn,
    /// The origin's name.
    pub name: String,
}

/// A table and its columns at this position in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// The OID by which changes name it.
    pub id: u32,
    /// The schema; empty for `pg_catalog`.
    pub namespace: String,
    /// The table.
    pub name: String,
    /// What old rows contain.
    pub replica_identity: ReplicaIdentity,
    /// The published columns.
    pub columns: Vec<RelationColumn>,
}

/// What the old row of an update or delete contains (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key's columns, if there is one.
    Default,
    /// Nothing.
    Nothing,
    /// All columns.
    Full,
    /// The columns of a unique index.
    Index,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// It is of the replica identity; with FULL every column is.
    pub is_key: bool,
    /// Its name.
    pub name: String,
    /// The OID of its type.
    pub type_id: u32,
    /// `atttypmod`: length, precision and the like; -1 for none.
    pub type_modifier: i32,
}

/// A type that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// Its OID.
    pub id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation_id: u32,
    /// The row.
    pub new: Tuple,
}

/// What is known of a row before its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// The identity's columns; the others stand there as NULL.
    Key(Tuple),
    /// The whole row (REPLICA IDENTITY FULL).
    Full(Tuple),
}

/// A changed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation_id: u32,
    /// The row before; not sent where the identity's columns neither changed nor are external TOAST values.
    pub old: Option<OldTuple>,
    /// The row after; TOAST values that did not change are left out.
    pub new: Tuple,
}

/// A deleted row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation_id: u32,
    /// The row before.
    pub old: OldTuple,
}

/// Truncated tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// With CASCADE.
    pub cascade: bool,
    /// With RESTART IDENTITY.
    pub restart_identity: bool,
    /// The tables' OIDs.
    pub relation_ids: Vec<u32>,
}

/// What `pg_logical_emit_message` wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// The (sub)transaction, inside a stream block.
    pub xid: Option<u32>,
    /// It belongs to a transaction; else it stands alone, outside of Begin and Commit.
    pub transactional: bool,
    /// Just behind its record in the log: what `pg_logical_emit_message` returned.
    pub lsn: Lsn,
    /// Its prefix.
    pub prefix: String,
    /// Its content.
    pub content: Bytes,
}

/// The start of a block of a transaction in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: u32,
    /// It is the transaction's first block.
    pub first: bool,
}

/// The commit of a streamed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The transaction.
    pub xid: u32,
    /// The LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Just behind it.
    pub end_lsn: Lsn,
    /// When it was committed.
    pub commit_time: i64,
}

/// The rollback of a streamed transaction or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: u32,
    /// The subtransaction; the same number for the whole transaction.
    pub subxid: u32,
    /// LSN and time of the rollback, with `streaming = parallel` (protocol 4).
    pub at: Option<(Lsn, i64)>,
}

/// The start of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginPrepare {
    /// The LSN of the prepare record.
    pub prepare_lsn: Lsn,
    /// Just behind it.
    pub end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given in PREPARE TRANSACTION.
    pub gid: String,
}

/// The preparation of a transaction, streamed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// The LSN of the prepare record.
    pub prepare_lsn: Lsn,
    /// Just behind it.
    pub end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given in PREPARE TRANSACTION.
    pub gid: String,
}

/// The commit of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPrepared {
    /// The LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Just behind it.
    pub end_lsn: Lsn,
    /// When it was committed.
    pub commit_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given in PREPARE TRANSACTION.
    pub gid: String,
}

/// The rollback of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPrepared {
    /// Just behind the prepare record.
    pub prepare_end_lsn: Lsn,
    /// Just behind the rollback record.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: i64,
    /// When it was rolled back.
    pub rollback_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given in PREPARE TRANSACTION.
    pub gid: String,
}
