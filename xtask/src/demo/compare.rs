//! The check at the end: every row of the shop is in the copy, and nothing else.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tokio_postgres::Client;

use super::schema::TABLES;
use crate::{Failure, Result};

type Rows = Vec<Vec<Option<String>>>;

/// Compares every table, value by value as text, and prints a line for each.
pub(super) async fn equal(source: &Client, file: &Path) -> Result<()> {
    let copy = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| Failure::new(format!("opening the copy: {error}")))?;
    let mut different = Vec::new();
    for table in TABLES {
        let columns = columns(source, table).await?;
        let there = source_rows(source, table, &columns).await?;
        let here = copied_rows(&copy, table, &columns)
            .map_err(|error| Failure::new(format!("reading {table} of the copy: {error}")))?;
        let same = there == here;
        let verdict = if same { "equal" } else { "DIFFERENT" };
        println!("  {table:<12} {:>7} rows  {verdict}", here.len());
        if !same {
            different.push(table);
        }
    }
    if different.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the copy differs from the source in {}", different.join(", "))))
}

/// Name and type of every column.
async fn columns(source: &Client, table: &str) -> Result<Vec<(String, String)>> {
    let rows = source
        .query(
            "select attname::text, atttypid::regtype::text from pg_attribute
             where attrelid = ('shop.' || $1)::regclass and attnum > 0 and not attisdropped order by attnum",
            &[&table],
        )
        .await
        .map_err(|error| Failure::new(format!("looking at {table}: {}", super::told(&error))))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn source_rows(source: &Client, table: &str, columns: &[(String, String)]) -> Result<Rows> {
    let list: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match kind.as_str() {
            // The copy has instants in UTC.
            "timestamp with time zone" => format!("({name} at time zone 'utc')::text || '+00:00'"),
            _ => format!("{name}::text"),
        })
        .collect();
    let rows = source
        .query(&format!("select {} from shop.{table}", list.join(", ")), &[])
        .await
        .map_err(|error| Failure::new(format!("reading {table}: {}", super::told(&error))))?;
    let mut rows: Rows =
        rows.iter().map(|row| (0..row.len()).map(|column| row.get(column)).collect()).collect();
    rows.sort();
    Ok(rows)
}

fn copied_rows(
    copy: &Connection,
    table: &str,
    columns: &[(String, String)],
) -> rusqlite::Result<Rows> {
    let list: Vec<String> =
        columns.iter().map(|(name, _)| format!("cast(\"{name}\" as text)")).collect();
    let mut statement =
        copy.prepare(&format!("select {} from \"shop_{table}\"", list.join(", ")))?;
    let mut rows = statement
        .query_map([], |row| (0..columns.len()).map(|column| row.get(column)).collect())?
        .collect::<rusqlite::Result<Rows>>()?;
    rows.sort();
    Ok(rows)
}
