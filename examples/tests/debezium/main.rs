//! The program `debezium_json` on real servers: its records are Debezium's, and a Debezium's slot is gone on with.
//!
//! `cargo xtask test` supplies the servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// The program's command line, whose tests stand beside it.
#[allow(dead_code)]
#[path = "../../debezium_json/arguments.rs"]
mod arguments;
mod comparer;
mod completed;
mod connector;
mod contract;
#[allow(dead_code)]
#[path = "../replicate/database.rs"]
mod database;
mod exceptions;
mod golden;
mod json;
mod takeover;
mod transactions;
