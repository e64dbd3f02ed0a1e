//! PostgreSQL: the sink, and its UNNEST statements alone with parameters that are encoded already.

use std::sync::Arc;

use cdc_benches::items::{Hits, Items};
use cdc_benches::statements::Replay;
use cdc_core::{Batch, Sink};
use cdc_sinks::PostgresSink;
use cdc_testservers::{Options, private_postgres};
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use crate::meter::Meter;
use crate::{Batches, Result, filled};

const COLUMNS: [(&str, Type); 8] = [
    ("id", Type::INT8),
    ("customer", Type::INT4),
    ("amount", Type::NUMERIC),
    ("status", Type::TEXT),
    ("email", Type::TEXT),
    ("active", Type::BOOL),
    ("created_at", Type::TIMESTAMPTZ),
    ("note", Type::TEXT),
];

async fn replay(alone: &mut Replay, batch: &Batch, meter: &mut Meter) -> Result<()> {
    let ready = alone.prepare(batch)?;
    let running = Meter::start();
    alone.run(&ready).await?;
    meter.stop(&running, batch.events.len());
    Ok(())
}

pub(crate) async fn run(hits: Hits, changes: usize) -> Result<()> {
    let items = Items::new()?;
    let mut batches = Batches::new(&items, hits, changes);
    let before = batches.rows_before(hits)?;
    let options = Options::new().setting("max_wal_size", "4GB").setting("shared_buffers", "256MB");
    let server = private_postgres(options)?;
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), NoTls).await?;
    tokio::spawn(connection);
    let mut sinks = Vec::new();
    for name in ["by_sink", "alone"] {
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let sink = PostgresSink::builder(server.url(name)).build()?;
        sinks.push(filled(sink, &items, &before).await?);
    }
    drop(before);
    let mut alone = Replay::connect(&server.url("alone"), "items", &COLUMNS).await?;
    let mut written = sinks.remove(0);
    let mut meters = [Meter::new("postgres"), Meter::new("postgres_bare")];
    let mut sink_is_first = true;
    while let Some(batch) = batches.next()? {
        let batch = Arc::new(batch);
        for is_sink in [sink_is_first, !sink_is_first] {
            if is_sink {
                let running = Meter::start();
                let transactional = written.transactional().ok_or("transactional")?;
                transactional.commit(Arc::clone(&batch)).await?;
                meters[0].stop(&running, batch.events.len());
            } else {
                replay(&mut alone, &batch, &mut meters[1]).await?;
            }
        }
        sink_is_first = !sink_is_first;
    }
    for meter in &meters {
        meter.print(&meters[1]);
    }
    written.close().await?;
    let sum = "SELECT md5(string_agg(i::text, ',' ORDER BY id)) FROM items i";
    let mut sums: Vec<Option<String>> = Vec::new();
    for name in ["by_sink", "alone"] {
        let (client, connection) = tokio_postgres::connect(&server.url(name), NoTls).await?;
        tokio::spawn(connection);
        sums.push(client.query_one(sum, &[]).await?.get(0));
    }
    if sums[0] == sums[1] { Ok(()) } else { Err("the tables differ".into()) }
}
