//! PostgreSQL's own load generator.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cdc_testservers::PostgresServer;

use crate::Outcome;

const CONNECTIONS: &str = "4";

/// Writers that update rows by key, each in a transaction of its own.
pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    folder: tempfile::TempDir,
}

/// What the writers did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// Of a commit, in milliseconds; at a given rate from the time at which it was due.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Pgbench {
    pub(crate) fn new(
        server: &PostgresServer,
        database: &str,
        table: &str,
        rows: u64,
    ) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut script = std::fs::File::create(folder.path().join("update.sql"))?;
        writeln!(
            script,
            "\\set id random(1, {rows})\nUPDATE {table} SET v = v + 1 WHERE id = :id;"
        )?;
        let program = server.bin_dir().join("pgbench");
        let url = server.url(database);
        Ok(Pgbench { program, url, folder })
    }

    /// Writes for so long, at so many transactions a second at most.
    pub(crate) async fn run(&self, time: Duration, rate: Option<f64>) -> Outcome<Run> {
        let logs = tempfile::tempdir()?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--client", CONNECTIONS, "--log"])
            .args(["--time", &time.as_secs().max(1).to_string()])
            .arg("--file")
            .arg(self.folder.path().join("update.sql"))
            .arg("--log-prefix")
            .arg(logs.path().join("log"));
        if let Some(rate) = rate {
            command.args(["--rate", &format!("{rate:.0}")]);
        }
        let output = command
            .arg(&self.url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let per_second = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let mut micros = Vec::new();
        for file in std::fs::read_dir(logs.path())? {
            // Client, transaction, time, script, ...: microseconds are the third field.
            let text = std::fs::read_to_string(file?.path())?;
            micros.extend(
                text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()),
            );
        }
        micros.sort_unstable();
        let at = |part: usize| {
            micros.get(micros.len() * part / 100).map_or(0.0, |us| *us as f64 / 1000.0)
        };
        Ok(Run {
            per_second: per_second
                .ok_or_else(|| format!("pgbench did not say its rate: {said}"))?,
            p50_ms: at(50),
            p99_ms: at(99),
        })
    }
}
