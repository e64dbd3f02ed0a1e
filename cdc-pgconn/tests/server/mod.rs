//! The server that the tests run on.

// Each test program that has this file uses a part of it.
#![allow(dead_code)]

pub(crate) mod database;

use std::path::PathBuf;

use cdc_pgconn::{ConnectConfig, Session, SqlClient, connect_sql};

/// A session of the superuser.
pub(crate) async fn admin(config: &ConnectConfig) -> SqlClient {
    connect_sql(config, &Session::default()).await.unwrap()
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
