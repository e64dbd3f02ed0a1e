//! Change data capture: the event model, the pipeline, and the traits of sources, transforms and sinks.
//!
//! Committed changes of a database become [`ChangeEvent`]s in [`Batch`]es; [`Transform`]s reshape and route them;
//! [`Sink`]s make them durable. This crate knows no database and no network: sources and sinks are crates of their own.

mod batch;
pub mod connect;
mod data_type;
mod error;
mod event;
mod offset;
pub mod offset_store;
mod origin;
mod row;
mod schema;
mod sink;
mod source;
pub mod status;
mod transform;
pub mod value;

pub use batch::{Audience, Batch, BatchLimits};
pub use data_type::{ConnectAttributes, DataType, NetworkType, ValueType};
pub use error::{Error, ErrorKind, Result};
pub use event::{
    Change, ChangeEvent, Destination, Header, Headers, LogicalMessage, Operation, Payload,
    TransactionMarker, TransactionPlace, TransactionStatus,
};
pub use offset::Offset;
pub use origin::{Origin, ReplicationOrigin, SnapshotMark, TransactionId, TransactionOrigin};
pub use row::Row;
pub use schema::{Field, NativeType, Schema, SchemaBuilder, TableId};
pub use sink::{Ack, Delivery, Outcome, Sink, TransactionalSink};
pub use source::{
    Acknowledge, Acknowledger, Coverage, Positions, Request, Source, SourceContext, SystemIdentity,
};
pub use transform::{TableMapping, Transform};
pub use value::{Value, ValueRef};
