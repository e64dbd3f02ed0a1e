//! Medians as a table and as JSON.

use cdc_benches::host::quiet_of;
use serde_json::{Value as Json, json};

use crate::child::Measured;

/// The runs of one contender on one backlog.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    tx_rows: u64,
    runs: Vec<Measured>,
}

/// All that was measured, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Report {
    entries: Vec<Entry>,
    left_out: Vec<String>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

impl Entry {
    /// The runs that count.
    fn quiet(&self) -> Vec<&Measured> {
        quiet_of(&self.runs, |run| run.taken)
    }

    fn of(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        median(self.quiet().into_iter().map(value).collect())
    }

    fn rows_per_s(&self) -> f64 {
        self.of(|run| run.rows as f64 / run.seconds)
    }

    fn cpu_s_per_million(&self) -> f64 {
        self.of(|run| run.cpu_seconds * 1e6 / run.rows as f64)
    }

    fn rows(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.rows)
    }

    fn times(&self) -> Option<(f64, f64)> {
        self.runs.first()?.p50_p99?;
        let at = |pick: fn((f64, f64)) -> f64| self.of(|run| run.p50_p99.map_or(0.0, pick));
        Some((at(|times| times.0), at(|times| times.1)))
    }

    fn json(&self) -> Json {
        if let Some((p50, p99)) = self.times() {
            return json!({ "name": self.name, "p50_ms": p50, "p99_ms": p99 });
        }
        json!({
            "name": self.name,
            "rows": self.rows(),
            "tx_rows": self.tx_rows,
            "rows_per_s": self.rows_per_s().round(),
            "cpu_s_per_million": self.cpu_s_per_million(),
            "peak_rss_mb": self.of(|run| run.peak_rss_mb),
        })
    }
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, tx_rows: u64, run: Measured) {
        let entry = self.entries.iter_mut().find(|e| e.name == name && e.tx_rows == tx_rows);
        match entry {
            Some(entry) => entry.runs.push(run),
            None => self.entries.push(Entry { name, tx_rows, runs: vec![run] }),
        }
    }

    pub(crate) fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            eprintln!("left out: {what}");
            self.left_out.push(what);
        }
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:<16} {:>8} {:>10} {:>10} {:>8} {:>9} {:>8} {:>6} {:>7}  spread",
            "contender",
            "tx rows",
            "rows",
            "rows/s",
            "CPU us",
            "server us",
            "RSS MB",
            "taken",
            "rounds"
        );
        for entry in &self.entries {
            if let Some((p50, p99)) = entry.times() {
                println!("{:<16} p50 {p50:.2} ms, p99 {p99:.2} ms", entry.name);
                continue;
            }
            let rate = |run: &Measured| run.rows as f64 / run.seconds;
            let quiet = entry.quiet();
            let least = quiet.iter().copied().map(rate).fold(f64::INFINITY, f64::min);
            let most = quiet.iter().copied().map(rate).fold(0.0, f64::max);
            println!(
                "{:<16} {:>8} {:>10} {:>10.0} {:>8.3} {:>9.3} {:>8.1} {:>5.1}% {:>7}  {least:.0}-{most:.0}",
                entry.name,
                entry.tx_rows,
                entry.rows(),
                entry.rows_per_s(),
                entry.cpu_s_per_million(),
                entry.of(|run| run.server_cpu_seconds * 1e6 / run.rows as f64),
                entry.of(|run| run.peak_rss_mb),
                entry.of(|run| run.taken) * 100.0,
                format!("{}/{}", quiet.len(), entry.runs.len()),
            );
        }
        for what in &self.left_out {
            println!("left out: {what}");
        }
    }

    pub(crate) fn json(&self) -> String {
        Json::Array(self.entries.iter().map(Entry::json).collect()).to_string()
    }
}
