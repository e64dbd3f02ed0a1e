//! `cargo xtask demo`: a shop that is in business, and a copy of it that follows.

mod compare;
/// The sink of the example `debezium_json`.
#[path = "../../examples/debezium_json/lines.rs"]
mod lines;
mod records;
mod replicate;
mod report;
mod schema;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cdc_pgconn::{ConnectConfig, Session, SqlClient, connect_sql};
use cdc_testservers::{Options, PostgresInstall, PostgresServer, cache};
use tokio::{sync::watch, task::JoinHandle};
use tokio_postgres::Client;

use crate::{Failure, Result, arguments::Arguments, interrupt};
use report::Progress;

pub(crate) const HELP: &str = "
usage: cargo xtask demo [--source-url URL] [--seconds N] [--keep | --json]

Makes a small shop in a PostgreSQL, keeps inserting, updating, deleting and changing keys in it, and
replicates it into a SQLite file all the while: first its rows, then its changes. Ends by itself.

  --source-url URL  a PostgreSQL of yours (wal_level=logical); the schema `shop` is made in it and
                    dropped at the end. Without it one that is installed, or one that is unpacked
                    into the cache folder, is started for the demo
  --seconds N       how long the shop is in business (20)
  --keep            keep the server with the shop in it, until Ctrl-C
  --json            no copy: show the shop's rows and changes as the records that Debezium would write,
                    one JSON object a line on standard output; what else there is to say goes to standard error

  CDC_CACHE_DIR     where all of this lies (~/.cache/cdc-rs; root: /var/cache/cdc-rs)
";

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let given: Option<String> = arguments.value("--source-url")?;
    let seconds: u64 = arguments.value("--seconds")?.unwrap_or(20);
    let keep = arguments.flag("--keep");
    let json = arguments.flag("--json");
    if keep && json {
        return Err(arguments.wrong("--keep and --json exclude each other"));
    }
    arguments.end()?;
    interrupt::watch()?;

    let (url, server) = match given {
        Some(url) => (url, None),
        None => {
            let install = PostgresInstall::find_or_fetch(None)?;
            interrupt::check()?;
            let server = PostgresServer::start(&install, Options::new())?;
            eprintln!("started PostgreSQL {} on port {}", server.version(), server.port());
            (server.url("postgres"), Some(server))
        }
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime: {error}")))?
        .block_on(business(&url, Duration::from_secs(seconds), keep, json));
    if let Some(server) = server {
        server.delete()?;
    }
    outcome
}

/// Opens the shop, keeps it in business for a while, and closes it.
async fn business(url: &str, time: Duration, keep: bool, json: bool) -> Result<()> {
    let client = connect(url).await?;
    schema::create(&client).await?;
    let outcome = match json {
        true => shown(url, &client, time).await,
        false => copied(url, &client, time, keep).await,
    };
    let dropped = schema::remove(&client).await;
    outcome.and(dropped)
}

async fn copied(url: &str, client: &Client, time: Duration, keep: bool) -> Result<()> {
    let rows = schema::fill(client).await?;
    println!("made the schema `shop` with {} tables and {rows} rows", schema::TABLES.len());

    let target = target_file()?;
    let progress = Arc::new(Progress::default());
    let (stop, stopped) = watch::channel(false);
    let writer = tokio::spawn(writer::run(
        connect(url).await?,
        fastrand::u64(..),
        Arc::clone(&progress),
        stopped.clone(),
    ));
    let copied = business_hours(url, &target, &progress, &writer, time, stopped).await;
    stop.send_replace(true);
    let written = writer.await.map_err(ended)?;
    copied?;
    written?;
    println!("the shop is closed; the copy starts again where it stopped, and catches up");
    replicate::catch_up(url, &target).await?;
    compare::equal(client, &target).await?;
    replicate::remove(url).await?;
    println!(
        "source and copy are equal. The copy: {}\n\
         Look into it:  sqlite3 {0} 'select * from shop_orders limit 5'\n\
         Read on:       README.md, then examples/shop_copy.rs, then ARCHITECTURE.md",
        target.display()
    );
    if keep {
        println!("the shop stays open at {url} until Ctrl-C");
        let before = interrupt::count();
        while interrupt::count() == before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Shows the shop's records while it is in business, and ends when all of them are written.
async fn shown(url: &str, client: &Client, time: Duration) -> Result<()> {
    let rows = schema::fill(client).await?;
    eprintln!("made the schema `shop` with {} tables and {rows} rows", schema::TABLES.len());
    let reached = records::Reached::default();
    let progress = Arc::new(Progress::default());
    let (stop, stopped) = watch::channel(false);
    let mut writer = tokio::spawn(writer::run(
        connect(url).await?,
        fastrand::u64(..),
        Arc::clone(&progress),
        stopped.clone(),
    ));
    let end = async {
        let end = Instant::now() + time;
        while Instant::now() < end && interrupt::count() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stop.send_replace(true);
        (&mut writer).await.map_err(ended)?
    };
    let outcome = async {
        tokio::try_join!(records::follow(url, &reached, stopped), end)?;
        records::catch_up(url, &reached).await
    }
    .await;
    stop.send_replace(true);
    writer.abort();
    eprintln!("{}", progress.summary());
    let removed = replicate::remove(url).await;
    outcome.and(removed)
}

/// Copies and follows while the writer works, until the time is over; shows how far both are.
async fn business_hours(
    url: &str,
    target: &Path,
    progress: &Progress,
    writer: &JoinHandle<Result<()>>,
    time: Duration,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let (stop_copy, copy_stopped) = watch::channel(false);
    let copy = replicate::follow(url, target, progress, copy_stopped);
    tokio::pin!(copy);
    let end = Instant::now() + time;
    let mut printer = report::Printer::new();
    while Instant::now() < end
        && interrupt::count() == 0
        && !writer.is_finished()
        && !*stopped.borrow()
    {
        tokio::select! {
            ended = &mut copy => return ended,
            () = tokio::time::sleep(Duration::from_millis(250)) => printer.show(progress),
        }
    }
    stop_copy.send_replace(true);
    let ended = copy.await;
    printer.finish();
    println!("{}", progress.summary());
    ended
}

fn ended(error: tokio::task::JoinError) -> Failure {
    Failure::new(format!("a task of the demo ended: {error}"))
}

/// A new file for the copy, in a folder that is there for whoever calls.
fn target_file() -> Result<PathBuf> {
    let folder = cache::folder()?.join("demo");
    let failure = |error| Failure::new(format!("making {}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(failure)?;
    // Copies of earlier demos: the last one alone is of interest.
    for entry in std::fs::read_dir(&folder).map_err(failure)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("shop-").and_then(|rest| rest.split_once(".db"));
        if process.is_some_and(|(process, _)| !Path::new("/proc").join(process).exists()) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
    let file = folder.join(format!("shop-{}.db", std::process::id()));
    forget(&file);
    Ok(file)
}

/// Removes an older copy of the same name, with SQLite's files beside it.
fn forget(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        std::fs::remove_file(name).ok();
    }
}

async fn connect(url: &str) -> Result<SqlClient> {
    let failure = |error: cdc_pgconn::ConnectError| Failure::new(error.to_string());
    let config = ConnectConfig::from_url(url).map_err(failure)?;
    connect_sql(&config, &Session::default()).await.map_err(failure)
}

/// What a PostgreSQL error says, with the server's own words.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
