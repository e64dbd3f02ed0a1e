//! Change data capture sinks: databases that take rows as they are, exactly once.
//!
//! A SQL sink makes the tables that the source announces (empty ones too), follows added columns, and writes every batch
//! in one transaction that also holds the pipeline's offset: after any crash it goes on where its data ends.
//!
//! | feature | sink | target |
//! |---|---|---|
//! | `sqlite` | [`SqliteSink`] | a SQLite file; SQLite itself is compiled in |
//! | `postgres` | [`PostgresSink`] | a PostgreSQL database, 12 or newer |
//!
//! No feature is on by default: `cargo add cdc-sinks --features sqlite`.
//!
//! # What a SQL target looks like
//!
//! A table has the name of its source table: `schema.table` where the target has schemas (made when missing), else `table`
//! for the schema `public` and `schema_table` for every other. [`TableNames`] changes that. The primary
//! key is that of the source, in its order. All other columns allow NULL: constraints belong to the source, and a column that the
//! source drops stays in the target without getting in the way. What a user adds to the target (columns, indexes,
//! triggers, foreign keys) is left alone.
//!
//! One more table, `cdc_offsets`, holds the offset of each pipeline and the epoch of the instance that may write: an
//! instance that was replaced finds a newer epoch and writes nothing more.
//!
//! Columns added at the source are added to the target, and rows that are there get the column's constant default.
//! Types are widened where no value changes; any other difference is an error that names both types. A
//! renamed column arrives as one that is dropped and one that is added.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod error;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use error::{SinkError, TypeConflict};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresSink, PostgresSinkBuilder};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use sql::naming::{TableName, TableNames};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteSink, SqliteSinkBuilder};
