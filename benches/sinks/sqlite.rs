//! SQLite: the sink, and its statements alone.

use std::path::Path;
use std::sync::Arc;

use cdc_benches::items::{Hits, Items};
use cdc_benches::statements::deletes_and_puts;
use cdc_core::fold::Folder;
use cdc_core::{Batch, Operation, Row, Sink, ValueRef};
use cdc_sinks::SqliteSink;
use rusqlite::Connection;

use crate::meter::Meter;
use crate::{Batches, Result, filled};

const UPSERT: &str = "INSERT INTO \"items\" (\"id\", \"customer\", \"amount\", \"status\", \"email\", \"active\", \"created_at\", \"note\") \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (\"id\") DO UPDATE SET \"customer\" = excluded.\"customer\", \
     \"amount\" = excluded.\"amount\", \"status\" = excluded.\"status\", \"email\" = excluded.\"email\", \
     \"active\" = excluded.\"active\", \"created_at\" = excluded.\"created_at\", \"note\" = excluded.\"note\"";
const DELETE: &str = "DELETE FROM \"items\" AS x WHERE x.\"id\" = ?1";

/// A row with the texts that SQLite keeps.
struct Ready<'r> {
    row: &'r Row,
    amount: String,
    created_at: String,
}

impl<'r> Ready<'r> {
    fn new(row: &'r Row) -> Self {
        let text = |index| match row.get(index) {
            Some(ValueRef::Decimal(value)) => value.to_string(),
            Some(ValueRef::Timestamp(value)) => value.to_string().replace('T', " ") + "+00:00",
            _ => String::new(),
        };
        Ready { row, amount: text(2), created_at: text(6) }
    }

    fn put(&self, upsert: &mut rusqlite::Statement<'_>) -> Result<()> {
        for index in 0..self.row.len() {
            let place = index + 1;
            match self.row.get(index) {
                Some(ValueRef::Int64(v)) => upsert.raw_bind_parameter(place, v)?,
                Some(ValueRef::Int32(v)) => upsert.raw_bind_parameter(place, v)?,
                Some(ValueRef::Bool(v)) => upsert.raw_bind_parameter(place, v)?,
                Some(ValueRef::Text(v)) => upsert.raw_bind_parameter(place, v)?,
                Some(ValueRef::Decimal(_)) => upsert.raw_bind_parameter(place, &*self.amount)?,
                Some(ValueRef::Timestamp(_)) => {
                    upsert.raw_bind_parameter(place, &*self.created_at)?
                }
                _ => upsert.raw_bind_parameter(place, rusqlite::types::Null)?,
            }
        }
        upsert.raw_execute()?;
        Ok(())
    }
}

fn id(row: &Row) -> i64 {
    match row.get(0) {
        Some(ValueRef::Int64(id)) => id,
        _ => 0,
    }
}

/// Statements alone, on a file that the sink has made.
struct Alone {
    connection: Connection,
    folder: Folder,
}

impl Alone {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // As the sink has them.
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 8_192, |_| Ok(()))?;
        Ok(Alone { connection, folder: Folder::default() })
    }

    /// The statements that the sink runs: deletes and upserts of the folded batch.
    fn folded(&mut self, batch: &Batch, meter: &mut Meter) -> Result<()> {
        let tables = self.folder.fold(&batch.events)?;
        let (deletes, puts) = deletes_and_puts(&tables);
        let puts: Vec<_> = puts.into_iter().map(Ready::new).collect();
        let running = Meter::start();
        transaction(&self.connection, batch, |connection| {
            let mut delete = connection.prepare_cached(DELETE)?;
            for id in &deletes {
                delete.raw_bind_parameter(1, id)?;
                delete.raw_execute()?;
            }
            let mut upsert = connection.prepare_cached(UPSERT)?;
            puts.iter().try_for_each(|row| row.put(&mut upsert))
        })?;
        meter.stop(&running, batch.events.len());
        Ok(())
    }

    /// A statement a change, in the order of the changes.
    fn one_by_one(&self, batch: &Batch, meter: &mut Meter) -> Result<()> {
        let changes: Vec<_> = batch
            .events
            .iter()
            .filter_map(|event| event.value.as_change())
            .filter_map(|change| Some((change.operation, Ready::new(change.row()?))))
            .collect();
        let running = Meter::start();
        transaction(&self.connection, batch, |connection| {
            let mut delete = connection.prepare_cached(DELETE)?;
            let mut upsert = connection.prepare_cached(UPSERT)?;
            for (operation, row) in &changes {
                if *operation == Operation::Delete {
                    delete.raw_bind_parameter(1, id(row.row))?;
                    delete.raw_execute()?;
                } else {
                    row.put(&mut upsert)?;
                }
            }
            Ok(())
        })?;
        meter.stop(&running, batch.events.len());
        Ok(())
    }
}

fn transaction(
    connection: &Connection,
    batch: &Batch,
    work: impl FnOnce(&Connection) -> Result<()>,
) -> Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection
        .prepare_cached("UPDATE cdc_offsets SET \"offset\" = ?1 WHERE pipeline = 'bench'")?
        .execute([batch.offset.to_string()])?;
    work(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

pub(crate) async fn run(hits: Hits, changes: usize) -> Result<()> {
    let items = Items::new()?;
    let mut batches = Batches::new(&items, hits, changes);
    let before = batches.rows_before(hits)?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut sinks = Vec::new();
    for name in ["sink.db", "folded.db", "one.db"] {
        sinks.push(filled(SqliteSink::open(path(name))?, &items, &before).await?);
    }
    drop(before);
    let mut written = sinks.remove(0);
    for mut sink in sinks {
        sink.close().await?;
    }
    let mut folded = Alone::open(&path("folded.db"))?;
    let one_by_one = Alone::open(&path("one.db"))?;
    let mut meters =
        [Meter::new("sqlite"), Meter::new("sqlite_bare"), Meter::new("sqlite_bare_unfolded")];
    let mut turn = 0;
    while let Some(batch) = batches.next()? {
        let batch = Arc::new(batch);
        for place in 0..3 {
            let contender = (turn + place) % 3;
            let meter = &mut meters[contender];
            match contender {
                0 => {
                    let running = Meter::start();
                    let transactional = written.transactional().ok_or("transactional")?;
                    transactional.commit(Arc::clone(&batch)).await?;
                    meter.stop(&running, batch.events.len());
                }
                1 => folded.folded(&batch, meter)?,
                _ => one_by_one.one_by_one(&batch, meter)?,
            }
        }
        turn += 1;
    }
    for meter in &meters {
        meter.print(&meters[1]);
    }
    written.close().await?;
    check_equal(&path("sink.db"), &path("folded.db"))?;
    check_equal(&path("sink.db"), &path("one.db"))
}

/// What was measured counts only if all of them wrote the same.
fn check_equal(a: &Path, b: &Path) -> Result<()> {
    let connection = Connection::open(a)?;
    connection.execute("ATTACH ?1 AS other", [b.to_string_lossy()])?;
    let different: i64 = connection.query_row(
        "SELECT (SELECT count(*) FROM (SELECT * FROM main.items EXCEPT SELECT * FROM other.items)) \
              + (SELECT count(*) FROM (SELECT * FROM other.items EXCEPT SELECT * FROM main.items))",
        [],
        |row| row.get(0),
    )?;
    if different > 0 { Err(format!("{different} rows differ").into()) } else { Ok(()) }
}
