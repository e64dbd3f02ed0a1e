//! Change data capture source for PostgreSQL.
//!
//! [`PostgresSource`] copies the rows of a database's tables and then follows its write-ahead log by logical replication
//! with the built-in output plugin `pgoutput`: each committed change becomes a [`cdc_core::ChangeEvent`].
//!
//! ```no_run
//! use cdc_postgres::PostgresSource;
//!
//! let source = PostgresSource::builder("postgres://app@db/shop").tables(["public.orders"]).build()?;
//! # Ok::<(), cdc_core::Error>(())
//! ```

mod acquire;
mod batch;
mod builder;
mod catalog;
pub mod copy_text;
mod decode;
mod error;
mod feedback;
mod identity;
mod incremental;
pub mod lsn;
mod name_pattern;
mod names;
mod options;
pub mod pgoutput;
mod position;
mod positions;
mod prerequisites;
mod properties;
mod publication;
mod relations;
mod reselect;
mod shape;
mod single_publication;
mod slot;
mod snapshot;
mod source;
mod stream;
mod streamed;
mod survey;
mod table_filter;
mod timeline;
mod toast;
mod types;
pub mod wire;
mod worker;

pub use builder::{Address, PostgresSourceBuilder};
pub use error::PostgresError;
pub use identity::ReplicaIdentity;
pub use lsn::Lsn;
pub use options::{OriginFilter, PublicationMode, SnapshotMode};
pub use prerequisites::Prerequisite;
pub use reselect::{ReselectColumns, ReselectColumnsBuilder, ReselectFailure};
pub use shape::HashAlgorithm;
pub use source::PostgresSource;
pub use types::parse_any as parse_any_value;
