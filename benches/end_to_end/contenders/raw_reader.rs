//! What the server can give: frames are counted, nothing is decoded.
//!
//! `raw_reader` reads as the library does and asks for what the library asks for; `naive_reader` makes one blocking
//! read after another, which is what most clients do. Each also over TLS and over a Unix socket.

use std::time::Instant;

use cdc_postgres::Lsn;
use cdc_postgres::wire::block::LogMessage;
use cdc_postgres::wire::command::source_options;
use cdc_postgres::wire::connection::ReplicationConnection;

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
    let connection = ReplicationConnection::connect(&task.url.parse()?).await?;
    let options = source_options(connection.server_version(), &[PUBLICATION], true);
    let mut stream = connection.start_replication(&task.slot, Lsn::ZERO, &options).await?;
    if !paced {
        stream.read_at_once()?;
    }
    let mut rows = 0;
    while let Some(block) = stream.read_block().await? {
        for message in block.messages() {
            // The first byte says what a message is; rows are inserts, updates and deletes.
            if let LogMessage::XLogData { data, .. } = message?
                && matches!(data.first(), Some(b'I' | b'U' | b'D'))
            {
                rows += 1;
            }
        }
        if rows >= task.rows {
            return Ok(Measured::since(start, task.rows));
        }
    }
    Err("the server ended the stream".into())
}
