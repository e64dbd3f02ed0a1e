//! Signals: the first stops gracefully, the second at once.

use cdc_core::Handle;

/// The status that shells give for "ended by SIGINT".
const INTERRUPTED: i32 = 130;

/// Stops the pipeline at the first SIGINT or SIGTERM, and the process at the second.
pub async fn stop_on_signal(handle: Handle) {
    if next_signal().await.is_err() {
        return;
    }
    eprintln!("stopping: what was read is being written (a second signal stops at once)");
    handle.stop();
    if next_signal().await.is_ok() {
        std::process::exit(INTERRUPTED);
    }
}

#[cfg(unix)]
async fn next_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn next_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
