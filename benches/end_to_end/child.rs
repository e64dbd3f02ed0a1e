//! A contender as a process: what it is told and what it says.

use std::process::{Command, Stdio};
use std::time::Instant;

use cdc_benches::host::Host;
use serde_json::{Value as Json, json};

use crate::Outcome;
use crate::measure::{cpu_seconds, peak_rss_mb};

const MARK: &str = "--child";

/// What a child is to do. Slot, publication and table exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) slot: String,
    pub(crate) rows: u64,
    /// Where the last row of the backlog ends in the log.
    pub(crate) end: String,
    /// The programs of the server.
    pub(crate) bin: String,
    /// A database or a folder to write to.
    pub(crate) target: String,
}

/// What a child measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The server's, noted by the parent.
    pub(crate) server_cpu_seconds: f64,
    /// What the host took of the machine meanwhile, a part of 1; noted by the parent.
    pub(crate) taken: f64,
    pub(crate) peak_rss_mb: f64,
    /// Over every column of every row, where the contender reads them.
    pub(crate) checksum: Option<u64>,
    /// Milliseconds.
    pub(crate) p50_p99: Option<(f64, f64)>,
}

impl Task {
    /// The task in the command line; `None` for the parent.
    pub(crate) fn from_arguments() -> Option<Outcome<Self>> {
        let mut given = std::env::args().skip(1);
        (given.next()? == MARK).then(|| {
            let mut next = || given.next().ok_or("a child lacks an argument");
            Ok(Task {
                name: next()?,
                url: next()?,
                slot: next()?,
                rows: next()?.parse()?,
                end: next()?,
                bin: next()?,
                target: next()?,
            })
        })
    }

    /// Runs it in a process of its own.
    pub(crate) async fn run(&self) -> Outcome<Measured> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([MARK, &self.name, &self.url, &self.slot, &self.rows.to_string()])
            .args([&self.end, &self.bin, &self.target])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .stdout(Stdio::piped());
        let host = Host::now();
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let taken = Host::taken_since(host);
        if !output.status.success() {
            return Err(format!("{} ended with {}", self.name, output.status).into());
        }
        let measured = Measured::parse(&String::from_utf8(output.stdout)?)?;
        Ok(Measured { taken, ..measured })
    }
}

impl Measured {
    /// Of this process, which has read so many rows since then.
    pub(crate) fn since(start: Instant, rows: u64) -> Self {
        Measured {
            rows,
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(),
            server_cpu_seconds: 0.0,
            taken: 0.0,
            peak_rss_mb: peak_rss_mb("self"),
            checksum: None,
            p50_p99: None,
        }
    }

    /// Says it to the parent.
    pub(crate) fn print(&self) {
        let line = json!({
            "rows": self.rows,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_rss_mb": self.peak_rss_mb,
            "checksum": self.checksum,
            "p50_p99": self.p50_p99.map(|(p50, p99)| [p50, p99]),
        });
        println!("{line}");
    }

    fn parse(text: &str) -> Outcome<Self> {
        let line = text.lines().last().ok_or("a contender said nothing")?;
        let said: Json = serde_json::from_str(line)?;
        let number = |key: &str| said[key].as_f64().unwrap_or_default();
        let times = said["p50_p99"].as_array();
        Ok(Measured {
            rows: said["rows"].as_u64().unwrap_or_default(),
            seconds: number("seconds"),
            cpu_seconds: number("cpu_seconds"),
            server_cpu_seconds: 0.0,
            taken: 0.0,
            peak_rss_mb: number("peak_rss_mb"),
            checksum: said["checksum"].as_u64(),
            p50_p99: times.and_then(|times| Some((times[0].as_f64()?, times[1].as_f64()?))),
        })
    }
}
