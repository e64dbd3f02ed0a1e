//! The parent's side: servers, backlogs, rounds.

use std::time::Duration;

use cdc_testservers::{Options, PostgresInstall, PostgresServer};

use crate::Outcome;
use crate::arguments::Arguments;
use crate::backlog::{self, Kind, connect, drop_slot};
use crate::child::Task;
use crate::contenders::{NAMES, backlog_of, latency};
use crate::measure::cpu_seconds_of_children;
use crate::report::Report;
use crate::rows::Checksum;

const DATABASE: &str = "postgres";

fn server(arguments: &Arguments, source: bool) -> Outcome<PostgresServer> {
    let install = PostgresInstall::find_or_fetch(arguments.version)?;
    let mut options = Options::new()
        .setting("shared_buffers", "256MB")
        .setting("max_wal_size", "16GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off");
    if source && install.major() >= 13 {
        options = options.setting("logical_decoding_work_mem", &arguments.work_mem);
    }
    Ok(PostgresServer::start(&install, options)?)
}

/// Runs all contenders that are wanted, in turn, as often as there are rounds.
pub(crate) async fn compare(arguments: &Arguments) -> Outcome<Report> {
    let mut report = Report::default();
    let source = server(arguments, true)?;
    println!("PostgreSQL {}", source.version());
    let client = connect(&source.url(DATABASE)).await?;
    let postmaster = std::fs::read_to_string(source.data_dir().join("postmaster.pid"))?;
    let postmaster = postmaster.lines().next().unwrap_or_default().to_owned();
    let wanted: Vec<&'static str> =
        NAMES.iter().copied().filter(|name| arguments.wants(name)).collect();
    let task = |name: &str| Task {
        name: name.to_owned(),
        url: match name {
            "tls_reader" | "naive_tls_reader" => {
                format!("{}?sslmode=require", source.url(DATABASE))
            }
            "socket_reader" | "naive_socket_reader" => source.socket_url(DATABASE),
            _ => format!("{}?sslmode=disable", source.url(DATABASE)),
        },
        bin: source.bin_dir().to_string_lossy().into_owned(),
        ..Task::default()
    };
    for &tx_rows in &arguments.tx {
        for kind in [Kind::Inserts, Kind::Mix] {
            let names: Vec<&'static str> =
                wanted.iter().copied().filter(|name| backlog_of(name) == Some(kind)).collect();
            if names.is_empty() {
                continue;
            }
            let slot = |name: &str, round: usize| format!("bench_{name}_{round}");
            let slots: Vec<String> = (0..arguments.rounds)
                .flat_map(|round| names.iter().map(move |name| slot(name, round)))
                .collect();
            let backlog = backlog::load(&client, kind, arguments.rows, tx_rows, &slots).await?;
            let expected = Checksum::expected(backlog.rows);
            for round in 0..arguments.rounds {
                for name in &names {
                    let mut task = task(name);
                    task.slot = slot(name, round);
                    task.rows = backlog.rows;
                    task.end.clone_from(&backlog.end);
                    // A target of its own, new for every run.
                    let target = match *name {
                        "postgres" | "postgres_bare" => Some(server(arguments, false)?),
                        _ => None,
                    };
                    let folder = tempfile::tempdir()?;
                    task.target = match &target {
                        Some(target) => format!("{}?sslmode=disable", target.url(DATABASE)),
                        None => folder.path().to_string_lossy().into_owned(),
                    };
                    // The server's processes count for their parent when they have ended.
                    let before = cpu_seconds_of_children(&postmaster);
                    let outcome = task.run().await;
                    drop_slot(&client, &task.slot).await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    match outcome {
                        Ok(mut run) => {
                            run.server_cpu_seconds = cpu_seconds_of_children(&postmaster) - before;
                            if run.checksum.is_some_and(|sum| sum != expected) {
                                return Err(
                                    format!("{name} read other rows than were written").into()
                                );
                            }
                            eprintln!(
                                "{name} {tx_rows}: {:.0} rows/s, {:.3} us CPU, server {:.3}, {:.1} MB, {:.1} % taken by the host",
                                run.rows as f64 / run.seconds,
                                run.cpu_seconds * 1e6 / run.rows as f64,
                                run.server_cpu_seconds * 1e6 / run.rows as f64,
                                run.peak_rss_mb,
                                run.taken * 100.0
                            );
                            report.add(name, backlog.tx_rows, run);
                        }
                        Err(error) => report.leave_out(format!("{name}: {error}")),
                    }
                }
            }
        }
    }
    let of_rows: Vec<_> = ["copy", "snapshot", "snapshot_4"]
        .into_iter()
        .filter(|name| wanted.contains(name))
        .collect();
    if !of_rows.is_empty() {
        let rows = backlog::load(&client, Kind::Inserts, arguments.rows, 100_000, &[]).await?.rows;
        for _ in 0..arguments.rounds {
            for name in of_rows.iter().copied() {
                let task = Task { rows, ..task(name) };
                match task.run().await {
                    Ok(run) => report.add(name, 0, run),
                    Err(error) => report.leave_out(format!("{name}: {error}")),
                }
            }
        }
    }
    if wanted.contains(&"latency") {
        match latency::measure(&client, task("latency")).await {
            Ok(run) => report.add("latency", 1, run),
            Err(error) => report.leave_out(format!("latency: {error}")),
        }
    }
    Ok(report)
}
