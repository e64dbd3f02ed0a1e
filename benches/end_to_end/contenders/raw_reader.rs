//! What the server can give: frames are counted, nothing is decoded.
//!
//! `raw_reader` reads as the library does and asks for what the library asks for; `naive_reader` makes one blocking
//! read after another, which is what most clients do. Each also over TLS and over a Unix socket.

use std::time::Instant;

use cdc_pgconn::ConnectError;
use cdc_postgres::Lsn;
use cdc_postgres::wire::block::LogMessage;
use cdc_postgres::wire::command::source_options;
use cdc_postgres::wire::connection::ReplicationConnection;
use cdc_postgres::wire::copy_both::CopyBoth;

use crate::Outcome;
use crate::backlog::PUBLICATION;
use crate::child::{Measured, Task};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    read(task, true).await
}

pub(crate) async fn run_naive(task: &Task) -> Outcome<Measured> {
    read(task, false).await
}

async fn read(task: &Task, paced: bool) -> Outcome<Measured> {
    let start = Instant::now();
    read_through(&task.url, &task.slot, task.rows, paced).await?;
    Ok(Measured::since(start, task.rows))
}

/// Reads a slot's backlog once; nothing is confirmed, so it can be read again.
pub(super) async fn read_through(url: &str, slot: &str, rows: u64, paced: bool) -> Outcome<()> {
    let config = url.parse()?;
    let connection = match paced {
        true => ReplicationConnection::connect_on_thread(&config).await?,
        false => ReplicationConnection::connect(&config).await?,
    };
    let options = source_options(connection.server_version(), &[PUBLICATION], true);
    let stream = connection.start_replication(slot, Lsn::ZERO, &options).await?;
    if stream.spawn(move |stream| count(stream, rows)).await?? < rows {
        return Err("the server ended the stream".into());
    }
    Ok(())
}

async fn count(mut stream: CopyBoth, wanted: u64) -> Result<u64, ConnectError> {
    let mut rows = 0;
    while rows < wanted
        && let Some(block) = stream.read_block().await?
    {
        for message in block.messages() {
            // The first byte says what a message is; rows are inserts, updates and deletes.
            if let Ok(LogMessage::XLogData { data, .. }) = message
                && matches!(data.first(), Some(b'I' | b'U' | b'D'))
            {
                rows += 1;
            }
        }
    }
    Ok(rows)
}
