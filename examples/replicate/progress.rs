//! Progress on standard error: a line a second, and only when there is news.

use std::time::{Duration, Instant};

use cdc_core::snapshot::{TablePhase, TableProgress};
use cdc_core::status::{Phase, Status};

/// Writes a line whenever something has changed.
#[derive(Debug, Default)]
pub(crate) struct ProgressLines {
    last_line: String,
    last: Option<(Instant, u64)>,
}

impl ProgressLines {
    /// How often to look.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

    /// Writes a line if there is news.
    pub(crate) fn show(&mut self, status: &Status) {
        let rate = self.last.map_or(0.0, |(since, events)| {
            status.events.saturating_sub(events) as f64 / since.elapsed().as_secs_f64().max(0.001)
        });
        self.last = Some((Instant::now(), status.events));
        let line = line(status, rate);
        if line != self.last_line {
            eprintln!("{line}");
            self.last_line = line;
        }
    }

    /// Writes the last line.
    pub(crate) fn summary(status: &Status) {
        eprintln!(
            "ended: {} rows by snapshot, {} events in all, {} retries",
            status.snapshot_rows, status.events, status.retries
        );
    }
}

fn line(status: &Status, rate: f64) -> String {
    let mut line = match &status.phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Standby { holder } => format!("standby: {holder}"),
        Phase::Waiting { reason } => format!("waiting: {reason}"),
        Phase::Snapshot => format!(
            "snapshot: {} of {} tables, {} rows, {rate:.0} events/s",
            status.snapshot_tables_done, status.snapshot_tables_total, status.snapshot_rows
        ),
        Phase::Streaming => {
            format!(
                "streaming: {} events, {rate:.0} events/s, {} bytes behind",
                status.events, status.lag_bytes
            )
        }
        Phase::Paused => "paused".to_owned(),
        Phase::Stopped => "stopped".to_owned(),
        other => format!("{other:?}"),
    };
    if !status.snapshots.is_empty() {
        line.push_str(&snapshots(status));
    }
    if status.phase == Phase::Stopped {
        return line;
    }
    if let Some(error) = &status.last_error {
        line.push_str(&format!("; retrying after: {error}"));
    }
    for sink in &status.sinks {
        if let Some(error) = &sink.error {
            line.push_str(&format!("; {} retrying after: {error}", sink.name));
        }
    }
    line
}

/// How far the snapshots are that run by chunks, beside the stream or before it.
fn snapshots(status: &Status) -> String {
    let sum = |of: fn(&TableProgress) -> u64| status.snapshots.iter().map(of).sum::<u64>();
    let first = &status.snapshots[0];
    let doing = match first.phase {
        TablePhase::Waiting => "waits until older transactions are visible",
        TablePhase::Reading => "reading",
        TablePhase::Paused => "paused",
    };
    let mut text = format!(
        "; {} tables to read ({}: {doing}), {} rows, {} bytes and {} chunks of them done",
        status.snapshots.len(),
        first.table,
        sum(|table| table.rows),
        sum(|table| table.bytes),
        sum(|table| table.chunks),
    );
    if let Some(remaining) = status.snapshot_remaining {
        text.push_str(&format!(", about {} s left", remaining.as_secs()));
    }
    text
}
