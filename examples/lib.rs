//! Runnable programs, one a use; what a new user copies. They are the examples of this package:
//!
//! - `shop_copy`: the ten lines, PostgreSQL into SQLite;
//! - `typed_stream`: events as a `Stream`, rows as the user's own struct;
//! - `replicate`: keeps copies of a database in one or several targets, with everything an operator needs;
//! - `debezium_json`: the records of a Debezium connector's configuration as JSON lines, with a sink of one's own.

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
