//! The program `replicate` on real servers: copies, faults, kills, bad input.
//!
//! `cargo xtask test` supplies the servers. `CDC_KILLS=50 CDC_CHANGES=100000` makes `kills` a full run, `CDC_SNAPSHOT_ROWS=2000000
//! CDC_SNAPSHOT_KILLS=20` one of `snapshot_kills`, `CDC_LARGE_ROW=200000000` rows of 200 MB, `CDC_STALL_SECONDS=60` a long stall.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// The program's command line, whose tests stand beside it.
#[allow(dead_code)]
#[path = "../../replicate/arguments.rs"]
mod arguments;
mod bad_input;
mod copies;
mod database;
mod drain_and_signals;
mod idle_databases;
mod kills;
mod large_rows;
mod program;
mod role_settings;
mod snapshot_kills;
mod stalled_target;
mod two_instances;
mod workload;
