//! Change data capture: the event model, the pipeline, and the traits of sources, transforms and sinks.
//!
//! Committed changes of a database become [`ChangeEvent`]s in [`Batch`]es; [`Transform`]s reshape and route them;
//! [`Sink`]s make them durable. This crate knows no database and no network: sources and sinks are crates of their own
//! (`cdc-postgres`, `cdc-sinks`).
//!
//! # A pipeline
//!
//! A source, a sink, and a name by which its state is found again after a restart:
//!
//! ```
//! use cdc_core::Pipeline;
//!
//! # use cdc_core::testkit::{MemoryLog, MemoryTarget, shop};
//! # async fn example() -> cdc_core::Result<()> {
//! # let log = MemoryLog::new([shop::orders()]);
//! # let target = MemoryTarget::new();
//! let source = /* PostgresSource::builder("postgres://app@db/shop").tables(["public.orders"]).build()? */
//! # log.source();
//! let sink = /* SqliteSink::open("shop.db")? */
//! # target.transactional("target");
//! # let stop_signal = async {};
//! Pipeline::builder("shop-copy", source)
//!     .sink(sink)
//!     .build()?
//!     .run_until(stop_signal) // tokio::signal::ctrl_c(), say
//!     .await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! At its first start the source reads what is there, then it follows the log; at any later start it goes on where the
//! sink is. [`Pipeline::spawn`] gives a [`Handle`] with status, pause, resume and stop.
//!
//! A sink that cannot keep an offset with its data needs an [offset store](offset_store), such as
//! [`FileOffsetStore`](offset_store::FileOffsetStore). Several sinks share one reader, each with
//! [a chain of transforms of its own](PipelineBuilder::sink_with) where wanted.
//!
//! # A stream
//!
//! A consumer that wants events rather than a sink takes a [`Stream`](PipelineBuilder::stream) and acknowledges what it
//! is done with; rows become the consumer's own types by [`ChangeEvent::after_as`] and [`Row::deserialize`].
//!
//! # Contracts
//!
//! What sources, sinks and stores promise each other, and what may never happen. What one source, sink or store promises has a
//! test in `testkit::conformance` (feature `testkit`) that an adapter from elsewhere can run too.
//!
//! 1. *Acknowledge after save.* A source's log is released only up to offsets that are saved in every sink: in its own
//!    transaction or in the store.
//! 2. *Order.* Batches of a run are written in order. A new run starts at the latest offset that is not after any
//!    sink's, and each sink is spared what its own offset covers.
//! 3. *Retry.* After a failed write nothing newer is sent; writes in flight settle; everything from the first batch that
//!    is not durable is written again, in order. After a commit in doubt the offset is looked up first.
//! 4. *Whose offset.* A transactional sink's own offset is the truth; the store serves the others. A sink without an
//!    offset does not join a pipeline that is past its first event.
//! 5. *Several sinks.* One reader; a sink that stands still holds it, and never makes another lose data. Every queue is
//!    bounded in bytes.
//! 6. *Kinds of error.* What happens depends on the [`ErrorKind`] alone: transient errors are retried with full jitter for
//!    as long as it takes, data and configuration errors end the pipeline after what was read is written, a fenced
//!    instance writes nothing more. With a place for [dead letters](dead_letter) an event that fails for what it holds is
//!    kept there, before the offset behind it is saved, and the others go on.
//! 7. *Handle.* A request is answered when an offset that holds it is saved; a stop reads no more, writes what was read,
//!    saves and closes. A stream is acknowledged cumulatively.
//!
//! # Features
//!
//! `testkit`: an in-memory source, sinks that can be told to fail, and the conformance suite.

mod batch;
pub mod connect;
pub mod connector;
mod data_type;
pub mod dead_letter;
mod error;
mod event;
mod file_lock;
pub mod fold;
pub mod java_pattern;
mod offset;
pub mod offset_store;
mod origin;
pub mod pipeline;
mod properties;
mod request;
mod row;
mod schema;
pub mod signal;
mod sink;
pub mod snapshot;
mod source;
mod stage;
pub mod status;
#[cfg(feature = "testkit")]
pub mod testkit;
mod transform;
mod typed;
pub mod value;

pub use batch::{Audience, Batch, BatchLimits};
pub use data_type::{ConnectAttributes, DataType, NetworkType, ValueType};
pub use error::{Error, ErrorKind, Result};
pub use event::{
    Change, ChangeEvent, Destination, Header, Headers, LogicalMessage, Operation, Payload,
    RecordKeys, TransactionMarker, TransactionPlace, TransactionStatus,
};
pub use offset::Offset;
pub use origin::{Origin, ReplicationOrigin, SnapshotMark, TransactionId, TransactionOrigin};
pub use pipeline::{EventStream, Handle, Pipeline, PipelineBuilder, RetryPolicy};
pub use properties::{Password, Properties};
pub use request::{Answer, Request, SnapshotOf};
pub use row::{Row, RowsBuilder};
pub use schema::{Field, NativeType, Schema, SchemaBuilder, TableId};
pub use sink::{Ack, Delivery, Outcome, Sink, TransactionalSink};
pub use source::{
    Acknowledge, Acknowledger, Coverage, Positions, Source, SourceContext, SystemIdentity,
};
pub use stage::Stage;
pub use transform::{TableMapping, Transform};
pub use value::{Value, ValueRef};
