//! SIGINT and SIGTERM: counted, so that whoever runs a program can stop it and clean up.

use std::{
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{Failure, Result};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// From now on these signals no longer end this process.
pub(crate) fn watch() -> Result<()> {
    static WATCH: Once = Once::new();
    let (ready, started) = std::sync::mpsc::channel();
    let mut first = false;
    WATCH.call_once(|| first = true);
    if !first {
        return Ok(());
    }
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return ready.send(Err(error)).unwrap_or_default(),
        };
        runtime.block_on(async {
            let signals = signal(SignalKind::interrupt())
                .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
            let (mut interrupt, mut terminate) = match signals {
                Ok(signals) => signals,
                Err(error) => return ready.send(Err(error)).unwrap_or_default(),
            };
            ready.send(Ok(())).unwrap_or_default();
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                COUNT.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    match started.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(format!("signals cannot be watched: {error}"))),
        Err(error) => Err(Failure::new(format!("signals cannot be watched: {error}"))),
    }
}

/// How many have come.
pub(crate) fn count() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

/// An error, after one has come, that ends us as the signal would have.
pub(crate) fn check() -> Result<()> {
    if count() == 0 { Ok(()) } else { Err(Failure::Code(130)) }
}
