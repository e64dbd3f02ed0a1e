//! Signals: the first stops gracefully, the second at once.

use cdc_core::Handle;

/// The status that shells give for "ended by SIGINT".
const INTERRUPTED: i32 = 130;

/// Stops the pipeline at the first SIGINT or SIGTERM, and the process at the second.
pub async fn stop_on_signal(handle: Handle) -> std::io::Result<()> {
    let mut signals = Signals::listen()?;
    signals.next().await?;
    eprintln!("stopping: what was read is being written (a second signal stops at once)");
    handle.stop();
    signals.next().await?;
    std::process::exit(INTERRUPTED);
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => Ok(()),
            _ = self.terminate.recv() => Ok(()),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
