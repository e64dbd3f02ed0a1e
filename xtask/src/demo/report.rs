//! How far writer and copy are, shown as they go.

use std::{
    io::{IsTerminal, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Counters that writer and copy keep while they work.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Rows inserted, rows updated in place, rows whose key changed, rows deleted; as committed.
    pub(super) inserted: AtomicU64,
    pub(super) updated: AtomicU64,
    pub(super) moved: AtomicU64,
    pub(super) deleted: AtomicU64,
    /// Transactions committed, and rolled back.
    pub(super) committed: AtomicU64,
    pub(super) rolled_back: AtomicU64,
    /// Rows of the snapshot, and events of the stream, that are in the copy.
    pub(super) snapshotted: AtomicU64,
    pub(super) streamed: AtomicU64,
    /// Bytes of log between the server's end of it and the copy.
    pub(super) lag_bytes: AtomicU64,
}

impl Progress {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn changes(&self) -> u64 {
        [&self.inserted, &self.updated, &self.moved, &self.deleted].map(get).iter().sum()
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Prints a line of progress: over the one before on a terminal, else every two seconds.
pub(super) struct Printer {
    terminal: bool,
    shown: Instant,
    streamed: u64,
    written: u64,
}

impl Printer {
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, shown: Instant::now(), streamed: 0, written: 0 }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let every = Duration::from_millis(if self.terminal { 500 } else { 2_000 });
        let elapsed = self.shown.elapsed();
        if elapsed < every {
            return;
        }
        let (streamed, written) = (get(&progress.streamed), progress.changes());
        let line = format!(
            "source {}/s   snapshot {} rows   stream {} events, {}/s   lag {}",
            rate(written - self.written, elapsed),
            get(&progress.snapshotted),
            streamed,
            rate(streamed - self.streamed, elapsed),
            size(get(&progress.lag_bytes)),
        );
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let mut error = std::io::stderr().lock();
        // Nobody reads it any more: no reason to end.
        write!(error, "{before}{line}{after}").and_then(|()| error.flush()).ok();
        (self.shown, self.streamed, self.written) = (Instant::now(), streamed, written);
    }

    pub(super) fn finish(&mut self) {
        if self.terminal {
            eprintln!();
        }
    }
}

impl Progress {
    /// What was written into the shop.
    pub(super) fn summary(&self) -> String {
        let progress = self;
        format!(
            "the shop made {} transactions ({} rolled back): {} rows inserted, {} updated, {} \
             given another key, {} deleted",
            get(&progress.committed) + get(&progress.rolled_back),
            get(&progress.rolled_back),
            get(&progress.inserted),
            get(&progress.updated),
            get(&progress.moved),
            get(&progress.deleted),
        )
    }
}

fn rate(count: u64, time: Duration) -> u128 {
    u128::from(count) * 1_000 / time.as_millis().max(1)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KB", bytes / 1_024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_are_whole_numbers_with_a_unit() {
        assert_eq!(rate(600, Duration::from_millis(2_000)), 300);
        assert_eq!(rate(1, Duration::ZERO), 1_000);
        assert_eq!(size(512), "512 B");
        assert_eq!(size(20_480), "20 KB");
        assert_eq!(size(20 << 20), "20 MB");
    }
}
