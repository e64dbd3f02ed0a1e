//! The statements that the PostgreSQL sink runs, replayed alone with parameters that are encoded already.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use cdc_core::fold::{Folder, Step, TableFold, Write};
use cdc_core::{Batch, Row, ValueRef};
use futures_util::future::try_join_all;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

/// What can go wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As the sink cuts them.
const ROWS_A_STATEMENT: usize = 2_048;

const SAVE: &str = "UPDATE cdc_offsets SET \"offset\" = $1 WHERE pipeline = 'bench'";

/// A session that replays.
#[derive(Debug)]
pub struct Replay {
    client: Client,
    folder: Folder,
    upsert: Statement,
    delete: Statement,
    save: Statement,
    elements: Vec<Type>,
}

/// A transaction that is ready to be sent: deletes, then upserts, then the offset.
#[derive(Debug)]
pub struct Ready {
    deletes: Vec<Array>,
    upserts: Vec<Vec<Array>>,
    offset: String,
}

impl Replay {
    /// Connects, for a table whose first column is its key, a `bigint`. It and `cdc_offsets` exist.
    ///
    /// # Errors
    /// What the server says.
    pub async fn connect(
        url: &str,
        table: &str,
        columns: &[(&str, Type)],
    ) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let (upsert, delete) = (upsert(table, columns)?, delete(table, columns));
        Ok(Replay {
            upsert: client.prepare(&upsert).await?,
            delete: client.prepare(&delete).await?,
            save: client.prepare(SAVE).await?,
            folder: Folder::default(),
            elements: columns.iter().map(|(_, element)| element.clone()).collect(),
            client,
        })
    }

    /// What a batch does, as the sink would.
    ///
    /// # Errors
    /// Events that cannot be folded, and columns of other types than `bigint`, `integer`, `numeric` with two digits,
    /// `text`, `boolean` and `timestamptz`.
    pub fn prepare(&mut self, batch: &Batch) -> Result<Ready, Failure> {
        let tables = self.folder.fold(&batch.events)?;
        let (deletes, puts) = deletes_and_puts(&tables);
        let deletes = deletes
            .chunks(ROWS_A_STATEMENT)
            .map(|ids| Array::new(&Type::INT8, ids.iter().map(|id| Some(ValueRef::Int64(*id)))));
        let upserts = puts.chunks(ROWS_A_STATEMENT).map(|rows| {
            let columns = self.elements.iter().enumerate();
            let arrays = columns
                .map(|(index, element)| Array::new(element, rows.iter().map(|row| row.get(index))));
            arrays.collect::<Result<Vec<_>, _>>()
        });
        Ok(Ready {
            deletes: deletes.collect::<Result<_, _>>()?,
            upserts: upserts.collect::<Result<_, _>>()?,
            offset: batch.offset.to_string(),
        })
    }

    /// Runs one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn run(&self, ready: &Ready) -> Result<(), Failure> {
        type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;
        let begin = self.client.batch_execute("BEGIN");
        let offset: [&(dyn ToSql + Sync); 1] = [&ready.offset];
        let save = self.client.execute(&self.save, &offset);
        let deletes = ready.deletes.iter().map(|ids| (&self.delete, vec![ids as _]));
        let upserts = ready.upserts.iter().map(|arrays| {
            (&self.upsert, arrays.iter().map(|array| array as _).collect::<Parameters<'_>>())
        });
        let rows: Vec<(&Statement, Parameters<'_>)> = deletes.chain(upserts).collect();
        let rows =
            rows.iter().map(|(statement, parameters)| self.client.execute(*statement, parameters));
        let all = async { tokio::try_join!(begin, save, try_join_all(rows)) };
        all.await?;
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}

/// The ids that a folded batch deletes, and the rows that it puts.
pub fn deletes_and_puts<'t>(tables: &'t [TableFold<'_>]) -> (Vec<i64>, Vec<&'t Row>) {
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
    (deletes, puts)
}

fn upsert(table: &str, columns: &[(&str, Type)]) -> Result<String, Failure> {
    let join = |make: &dyn Fn(usize, &str, &Type) -> String| {
        let parts = columns.iter().enumerate();
        let parts = parts.map(|(index, (name, element))| make(index + 1, name, element));
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut sql = format!("INSERT INTO \"public\".\"{table}\" (");
    write!(sql, "{}) OVERRIDING SYSTEM VALUE SELECT ", join(&|_, name, _| format!("\"{name}\"")))?;
    write!(sql, "{} FROM unnest(", join(&|at, _, _| format!("u.p{at}")))?;
    write!(sql, "{}) AS u(", join(&|at, _, element| format!("${at}::{}[]", element.name())))?;
    write!(
        sql,
        "{}) ON CONFLICT (\"{}\") DO UPDATE SET ",
        join(&|at, _, _| format!("p{at}")),
        columns[0].0
    )?;
    let set = |at: usize, name: &str, _: &Type| match at {
        1 => String::new(),
        _ => format!("\"{name}\" = excluded.\"{name}\""),
    };
    sql += join(&set).trim_start_matches(", ");
    Ok(sql)
}

fn delete(table: &str, columns: &[(&str, Type)]) -> String {
    let key = columns[0].0;
    format!(
        "DELETE FROM \"public\".\"{table}\" AS x USING unnest($1::int8[]) AS u(p1) WHERE x.\"{key}\" = u.p1"
    )
}

/// An array in the binary format.
#[derive(Debug)]
struct Array(BytesMut);

impl Array {
    fn new<'r>(
        element: &Type,
        values: impl ExactSizeIterator<Item = Option<ValueRef<'r>>>,
    ) -> Result<Self, Failure> {
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
        Ok(Array(out))
    }
}

impl ToSql for Array {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}
