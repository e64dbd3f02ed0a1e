//! The library at work: the shop is copied into SQLite.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use cdc_core::{Handle, Pipeline, status::Phase};
use cdc_postgres::{PostgresSource, PostgresSourceBuilder};
use cdc_sinks::SqliteSink;
use tokio::sync::watch;

use super::report::Progress;
use crate::{Failure, Result};

pub(super) const PIPELINE: &str = "demo";

pub(super) fn source(url: &str) -> cdc_core::Result<PostgresSourceBuilder> {
    Ok(PostgresSource::builder(url).tables(["shop.*"]))
}

fn built(url: &str) -> Result<PostgresSource> {
    source(url).and_then(PostgresSourceBuilder::build).map_err(failed)
}

pub(super) fn failed(error: cdc_core::Error) -> Failure {
    Failure::new(error.to_string())
}

/// Copies schema `shop` into the SQLite file, then follows its changes until `stopped` turns true.
pub(super) async fn follow(
    url: &str,
    file: &Path,
    progress: &Progress,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let pipeline = Pipeline::builder(PIPELINE, built(url)?)
        .sink(SqliteSink::open(file).map_err(failed)?)
        .build()
        .map_err(failed)?;
    let mut handle = pipeline.spawn();
    loop {
        tokio::select! {
            outcome = handle.wait() => return outcome.map_err(failed),
            // The sender lives as long as the demo; that it is gone means stop, too.
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => show(&handle, progress),
        }
    }
    handle.stop();
    let outcome = handle.wait().await;
    show(&handle, progress);
    outcome.map_err(failed)
}

fn show(handle: &Handle, progress: &Progress) {
    let status = handle.status();
    let streamed = match status.phase {
        Phase::Snapshot | Phase::Starting => 0,
        _ => status.events.saturating_sub(status.snapshot_rows),
    };
    progress.snapshotted.store(status.snapshot_rows, Ordering::Relaxed);
    progress.streamed.store(streamed, Ordering::Relaxed);
    progress.lag_bytes.store(status.lag_bytes, Ordering::Relaxed);
}

/// Starts again where the copy stopped, and ends when everything that was committed is in it.
pub(super) async fn catch_up(url: &str, file: &Path) -> Result<()> {
    Pipeline::builder(PIPELINE, built(url)?)
        .sink(SqliteSink::open(file).map_err(failed)?)
        .until_caught_up()
        .build()
        .map_err(failed)?
        .run()
        .await
        .map_err(failed)
}

/// Removes the slot and the publications.
pub(super) async fn remove(url: &str) -> Result<()> {
    built(url)?.remove(PIPELINE).await.map_err(failed)
}
