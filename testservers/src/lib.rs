//! Real PostgreSQL servers for the tests: found or fetched, started throwaway, crashed, removed.
//!
//! An integration test asks for one of two things:
//!
//! * [`shared_postgres_url`]: a server that all tests share, in which a test makes databases of
//!   its own. `cargo xtask test` and `cargo xtask services up` start it, and
//!   `CDC_TEST_POSTGRES_URL` replaces it.
//! * [`private_postgres`]: a server of the test's own, with settings of its own, which it may
//!   [crash](PostgresServer::crash) and [restart](PostgresServer::restart).
//!
//! ```no_run
//! use cdc_testservers::{Crash, Options, private_postgres};
//!
//! let options = Options::new().setting("max_replication_slots", "1");
//! let mut server = private_postgres(options)?;
//! println!("{}", server.url("postgres"));
//! server.crash(Crash::Kill)?;
//! server.restart(&[("wal_sender_timeout", "2s")])?;
//! # Ok::<(), cdc_testservers::Error>(())
//! ```
//!
//! There is no SQL client here, and nothing is asynchronous: the crate finds programs, runs them
//! and keeps their folders. Everything it makes lies in one [cache folder](cache::folder).

#[cfg(not(unix))]
compile_error!("the test servers need a Unix system");

pub mod cache;
pub mod services;

mod account;
mod certificate;
mod debian;
mod error;
mod install;
mod npm;
mod options;
mod port;
mod process;
mod program;
mod server;

pub use error::{Error, Result};
pub use install::{MATRIX, PostgresInstall};
pub use options::Options;
pub use process::{Crash, sweep};
pub use server::PostgresServer;

/// The URL of the server that the tests share, as a superuser, database `postgres`.
///
/// In this order: `CDC_TEST_POSTGRES_URL`; the server that `cargo xtask services up` keeps for
/// this checkout.
///
/// # Errors
/// [`Error::Setting`] where there is neither; it names both remedies.
pub fn shared_postgres_url() -> Result<String> {
    if let Some(url) = error::setting("CDC_TEST_POSTGRES_URL")? {
        return Ok(url);
    }
    match services::running()?.first() {
        Some(service) => Ok(service.server.url("postgres")),
        None => Err(Error::Setting(
            "no PostgreSQL for the tests: run them by `cargo xtask test`, or start one with \
             `cargo xtask services up`, or give a URL with CDC_TEST_POSTGRES_URL"
                .to_owned(),
        )),
    }
}

/// The certificate authority (PEM file) that signed the shared server's certificate, where known.
///
/// In this order: `CDC_TEST_POSTGRES_CA`; with `CDC_TEST_POSTGRES_URL` none; that of the server
/// which `cargo xtask services up` keeps.
///
/// # Errors
/// [`Error::Io`] where the state of the services cannot be read.
pub fn shared_postgres_ca() -> Result<Option<std::path::PathBuf>> {
    if let Some(file) = error::setting("CDC_TEST_POSTGRES_CA")? {
        return Ok(Some(file.into()));
    }
    if error::setting("CDC_TEST_POSTGRES_URL")?.is_some() {
        return Ok(None);
    }
    Ok(services::running()?.first().map(|service| service.server.ca_cert()))
}

/// Starts a server for one test, of the version that the test run is about.
///
/// The version is that of `CDC_TEST_POSTGRES_BIN` (`cargo xtask test` sets it), else what
/// [`PostgresInstall::find_or_fetch`] finds. The server ends when the value is dropped, or, where
/// its owner died without that, at the next start of any server.
///
/// # Errors
/// Whatever keeps a server from being found or from starting, with a remedy.
pub fn private_postgres(options: Options) -> Result<PostgresServer> {
    PostgresServer::start(&PostgresInstall::find_or_fetch(None)?, options)
}
