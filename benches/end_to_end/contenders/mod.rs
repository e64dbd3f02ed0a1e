//! The contenders, one a file.

mod copy;
mod discard;
mod json;
pub(crate) mod latency;
mod pg_recvlogical;
mod pipeline;
mod postgres;
mod postgres_bare;
mod raw_reader;
mod snapshot;
mod sqlite;

use std::num::NonZeroUsize;

use crate::Outcome;
use crate::backlog::Kind;
use crate::child::Task;

/// All of them, in the order in which they run.
pub(crate) const NAMES: [&str; 16] = [
    "raw_reader",
    "naive_reader",
    "tls_reader",
    "naive_tls_reader",
    "socket_reader",
    "naive_socket_reader",
    "pg_recvlogical",
    "discard",
    "json",
    "sqlite",
    "postgres",
    "postgres_bare",
    "copy",
    "snapshot",
    "snapshot_4",
    "latency",
];

/// Those that run only where they are asked for.
pub(crate) const ON_REQUEST: [&str; 5] =
    ["naive_reader", "tls_reader", "naive_tls_reader", "socket_reader", "naive_socket_reader"];

/// What a contender reads; `None` for those that read no backlog.
pub(crate) fn backlog_of(name: &str) -> Option<Kind> {
    match name {
        "sqlite" | "postgres" | "postgres_bare" => Some(Kind::Mix),
        "copy" | "snapshot" | "snapshot_4" | "latency" => None,
        _ => Some(Kind::Inserts),
    }
}

/// The child's side.
pub(crate) fn run(task: Task) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        match task.name.as_str() {
            name if name.starts_with("naive") => raw_reader::run_naive(&task).await,
            name if name.ends_with("_reader") => raw_reader::run(&task).await,
            "pg_recvlogical" => pg_recvlogical::run(&task).await,
            "discard" => discard::run(&task).await,
            "json" => json::run(&task).await,
            "sqlite" => sqlite::run(&task).await,
            "postgres" => postgres::run(&task).await,
            "postgres_bare" => postgres_bare::run(&task).await,
            "copy" => copy::run(&task).await,
            "snapshot" => snapshot::run(&task, NonZeroUsize::MIN).await,
            // Over four connections.
            "snapshot_4" => snapshot::run(&task, NonZeroUsize::MIN.saturating_add(3)).await,
            "latency" => latency::run(&task).await,
            other => Err(format!("no contender is called {other}").into()),
        }
    })?;
    measured.print();
    Ok(())
}
