//! PostgreSQL: the sink, and its UNNEST statements alone with parameters that are encoded already.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use cdc_benches::items::{Hits, Items};
use cdc_core::fold::{Folder, Step, Write};
use cdc_core::{Batch, Row, Sink, ValueRef};
use cdc_sinks::PostgresSink;
use cdc_testservers::{Options, private_postgres};
use futures_util::future::try_join_all;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

use crate::meter::Meter;
use crate::{Batches, Result, filled};

const UPSERT: &str = "INSERT INTO \"public\".\"items\" (\"id\", \"customer\", \"amount\", \"status\", \"email\", \"active\", \"created_at\", \"note\") \
     OVERRIDING SYSTEM VALUE SELECT u.p1, u.p2, u.p3, u.p4, u.p5, u.p6, u.p7, u.p8 \
     FROM unnest($1::int8[], $2::int4[], $3::numeric[], $4::text[], $5::text[], $6::bool[], $7::timestamptz[], $8::text[]) \
     AS u(p1, p2, p3, p4, p5, p6, p7, p8) ON CONFLICT (\"id\") DO UPDATE SET \"customer\" = excluded.\"customer\", \
     \"amount\" = excluded.\"amount\", \"status\" = excluded.\"status\", \"email\" = excluded.\"email\", \
     \"active\" = excluded.\"active\", \"created_at\" = excluded.\"created_at\", \"note\" = excluded.\"note\"";
const DELETE: &str =
    "DELETE FROM \"public\".\"items\" AS x USING unnest($1::int8[]) AS u(p1) WHERE x.\"id\" = u.p1";
const SAVE: &str = "UPDATE cdc_offsets SET \"offset\" = $1 WHERE pipeline = 'bench'";
const COLUMNS: [Type; 8] = [
    Type::INT8,
    Type::INT4,
    Type::NUMERIC,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::TIMESTAMPTZ,
    Type::TEXT,
];
/// As the sink cuts them.
const ROWS_A_STATEMENT: usize = 2_048;

/// An array in the binary format.
#[derive(Debug)]
struct Ready(BytesMut);

impl Ready {
    fn new<'r>(
        element: &Type,
        values: impl ExactSizeIterator<Item = Option<ValueRef<'r>>>,
    ) -> Result<Self> {
        let mut out = BytesMut::new();
        out.put_i32(1);
        out.put_i32(1);
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(values.len())?);
        out.put_i32(1);
        for value in values {
            let start = out.len();
            out.put_i32(-1);
            match value {
                Some(ValueRef::Int64(v)) => out.put_i64(v),
                Some(ValueRef::Int32(v)) => out.put_i32(v),
                Some(ValueRef::Bool(v)) => out.put_u8(u8::from(v)),
                Some(ValueRef::Text(v)) => out.put_slice(v.as_bytes()),
                // Two digits behind the point: the whole part and the fraction are ten thousands of their own.
                Some(ValueRef::Decimal(v)) => {
                    let unscaled = v.to_small().map_or(0, |(unscaled, _)| unscaled);
                    let (whole, cents) = (unscaled / 100, unscaled % 100 * 100);
                    out.put_i16(3);
                    out.put_i16(1);
                    out.put_u16(0);
                    out.put_u16(2);
                    for digit in [whole / 10_000, whole % 10_000, cents] {
                        out.put_i16(i16::try_from(digit)?);
                    }
                }
                Some(ValueRef::Timestamp(v)) => {
                    let micros = v.to_unit(cdc_core::value::TimeUnit::Micro).unwrap_or(0);
                    out.put_i64(micros - 946_684_800_000_000);
                }
                _ => continue,
            }
            let length = i32::try_from(out.len() - start - 4)?;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(Ready(out))
    }
}

impl ToSql for Ready {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Statements alone.
struct Alone {
    client: Client,
    folder: Folder,
    upsert: Statement,
    delete: Statement,
    save: Statement,
}

impl Alone {
    async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        Ok(Alone {
            upsert: client.prepare(UPSERT).await?,
            delete: client.prepare(DELETE).await?,
            save: client.prepare(SAVE).await?,
            folder: Folder::default(),
            client,
        })
    }

    async fn replay(&mut self, batch: &Batch, meter: &mut Meter) -> Result<()> {
        let tables = self.folder.fold(&batch.events)?;
        let (mut deletes, mut puts): (Vec<i64>, Vec<&Row>) = (Vec::new(), Vec::new());
        for step in tables.iter().flat_map(|table| &table.steps) {
            let Step::Rows(set) = step else { continue };
            for key in &set.keys {
                if key.delete
                    && let Some(ValueRef::Int64(id)) = key.key.get(0)
                {
                    deletes.push(id);
                }
                if let Write::Put(row) = &key.write {
                    puts.push(row);
                }
            }
        }
        let mut statements: Vec<(&Statement, Vec<Ready>)> = Vec::new();
        for ids in deletes.chunks(ROWS_A_STATEMENT) {
            let values = ids.iter().map(|id| Some(ValueRef::Int64(*id)));
            statements.push((&self.delete, vec![Ready::new(&Type::INT8, values)?]));
        }
        for rows in puts.chunks(ROWS_A_STATEMENT) {
            let arrays = COLUMNS
                .iter()
                .enumerate()
                .map(|(index, element)| Ready::new(element, rows.iter().map(|row| row.get(index))));
            statements.push((&self.upsert, arrays.collect::<Result<_>>()?));
        }
        let offset = batch.offset.to_string();
        let running = Meter::start();
        let parameters: Vec<Vec<&(dyn ToSql + Sync)>> = statements
            .iter()
            .map(|(_, arrays)| arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect())
            .collect();
        let begin = self.client.batch_execute("BEGIN");
        let offset: [&(dyn ToSql + Sync); 1] = [&offset];
        let save = self.client.execute(&self.save, &offset);
        let rows = statements
            .iter()
            .zip(&parameters)
            .map(|((statement, _), parameters)| self.client.execute(*statement, parameters));
        let all = async { tokio::try_join!(begin, save, try_join_all(rows)) };
        all.await?;
        self.client.batch_execute("COMMIT").await?;
        meter.stop(&running, batch.events.len());
        Ok(())
    }
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
    let mut alone = Alone::connect(&server.url("alone")).await?;
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
                alone.replay(&batch, &mut meters[1]).await?;
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
