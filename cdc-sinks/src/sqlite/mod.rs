//! The SQLite sink.

mod catalog;
mod dialect;
mod error;
mod sink;
mod value;
mod writer;

pub use sink::{SqliteSink, SqliteSinkBuilder};
