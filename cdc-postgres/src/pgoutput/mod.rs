//! The messages of the output plugin `pgoutput`, decoded without I/O.
//!
//! PostgreSQL manual, "Logical Replication Message Formats", protocol versions 1 to 4.
//!
//! ```
//! use bytes::Bytes;
//! use cdc_postgres::pgoutput::{Message, TupleColumn, decode};
//!
//! let insert = Bytes::from_static(b"I\0\0\x40\x05N\0\x02t\0\0\0\x0242n");
//! let Message::Insert(insert) = decode(insert, false)? else { unreachable!() };
//! assert_eq!(insert.relation_id, 16389);
//! let columns: Vec<_> = insert.new.columns().collect();
//! assert_eq!(columns, [TupleColumn::Text(Bytes::from_static(b"42")), TupleColumn::Null]);
//! # Ok::<(), cdc_postgres::pgoutput::DecodeError>(())
//! ```

mod decode;
#[cfg(test)]
mod encode;
mod message;
mod reader;
mod row;
mod tuple;

#[cfg(test)]
pub(crate) use encode::encode;

pub use decode::{decode, decode_any};
pub use message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relation, RelationColumn, ReplicaIdentity, RollbackPrepared, StreamAbort,
    StreamCommit, StreamStart, Truncate, TypeInfo, Update, unix_micros,
};
pub use reader::{DecodeError, DecodeErrorReason};
pub use row::{RowImage, RowMessage, RowOperation};
pub use tuple::{ColumnSlice, Tuple, TupleColumn};
