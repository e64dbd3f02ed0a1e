//! PostgreSQL's own client, writing to `/dev/null`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::backlog::PUBLICATION;
use crate::child::{Measured, Task};
use crate::measure::{cpu_seconds_of_children, peak_rss_mb};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let beside = Path::new(&task.bin).join("pg_recvlogical");
    let program = if beside.is_file() { beside } else { "pg_recvlogical".into() };
    let start = Instant::now();
    let mut child = Command::new(program)
        .arg(format!("--dbname={}", task.url))
        .args(["--start", "--no-loop", "--file=/dev/null"])
        .arg(format!("--slot={}", task.slot))
        .arg(format!("--endpos={}", task.end))
        .args(["--option=proto_version=1", &format!("--option=publication_names={PUBLICATION}")])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("pg_recvlogical is not to be had here: {error}"))?;
    let process = child.id().to_string();
    let mut memory: f64 = 0.0;
    let status = loop {
        memory = memory.max(peak_rss_mb(&process));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    if !status.success() {
        return Err(format!("pg_recvlogical ended with {status}").into());
    }
    let mut measured = Measured::since(start, task.rows);
    measured.cpu_seconds = cpu_seconds_of_children("self");
    measured.peak_rss_mb = memory;
    Ok(measured)
}
