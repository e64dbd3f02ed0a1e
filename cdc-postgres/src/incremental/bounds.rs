//! Ranges of keys that hold about the same number of rows, found in a sample of a table's pages.

use std::sync::Arc;

use cdc_core::snapshot::{Key, KeyRange};
use cdc_core::{RowsBuilder, Schema};
use cdc_pgconn::SqlClient;

use super::plan::TableReadPlan;
use super::select::{named, table};
use crate::catalog::{failed, get};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::names::quote;
use crate::snapshot::{PublishedColumns, TableRows, row_of_line};
use crate::types::ColumnType;

/// How large a table is, all its leaves together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    pages: u64,
    /// How many rows the planner thinks it has; `None` where it was never analysed.
    pub(super) rows: Option<u64>,
    /// A sample can be taken of all its leaves.
    has_pages: bool,
}

/// Asks for the size of a table, without reading rows.
pub(super) async fn size(client: &SqlClient, table: u32) -> Result<Size, PostgresError> {
    let row = client
        .query_one(
            "SELECT coalesce(sum(s.pages), 0)::int8 AS pages, \
                    coalesce(bool_and(s.relkind = 'r'), false) AS has_pages, \
                    CASE WHEN bool_and(s.relpages > 0 OR s.pages = 0) \
                         THEN sum(CASE WHEN s.relpages > 0 THEN s.reltuples::float8 * s.pages / s.relpages ELSE 0 END)::int8 END AS rows \
             FROM (SELECT c.relkind, c.relpages, c.reltuples, pg_relation_size(c.oid) / current_setting('block_size')::int8 AS pages \
                   FROM pg_class c \
                   WHERE c.relkind <> 'p' AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass)))) s",
            &[&table],
        )
        .await
        .map_err(failed(client, "reading the size of a table"))?;
    let pages: i64 = get(client, &row, "pages")?;
    let rows: Option<i64> = get(client, &row, "rows")?;
    Ok(Size {
        pages: u64::try_from(pages).unwrap_or_default(),
        rows: rows.and_then(|rows| u64::try_from(rows).ok()),
        has_pages: get(client, &row, "has_pages")?,
    })
}

/// So many pages are looked at.
const SAMPLE: u64 = 256;
/// A range has so many pages at least: half a default chunk.
const LEAST_PAGES: u64 = 512;
/// So many ranges a reader, because ranges are never of one size.
const RANGES_A_READER: u64 = 4;

/// Ranges that together hold every key; one alone where the table is small, has no key, or has one reader.
pub(super) async fn ranges(
    client: &SqlClient,
    plan: &TableReadPlan,
    columns: &PublishedColumns,
    size: Size,
    readers: usize,
) -> Result<Vec<KeyRange>, PostgresError> {
    let readers = u64::try_from(readers).unwrap_or(1);
    let wanted = (size.pages / LEAST_PAGES).min(readers.saturating_mul(RANGES_A_READER));
    // Rows with NULL in the key may be many that are equal.
    if readers < 2 || wanted < 2 || plan.key.is_empty() || plan.is_nullable() || !size.has_pages {
        return Ok(vec![KeyRange::all()]);
    }
    Ok(KeyRange::between(sample(client, plan, columns, size, wanted).await?))
}

/// Keys that part the table.
async fn sample(
    client: &SqlClient,
    plan: &TableReadPlan,
    columns: &PublishedColumns,
    size: Size,
    parts: u64,
) -> Result<Vec<Key>, PostgresError> {
    let names: Vec<&str> = plan.key.iter().map(|column| column.name.as_str()).collect();
    let (quoted, keys): (Vec<String>, Vec<String>) =
        names.iter().map(|name| (quote(name), named(name))).unzip();
    let (list, order) = (quoted.join(", "), keys.join(", "));
    let filter = match &plan.published.filter {
        Some(filter) => format!(" WHERE {filter}"),
        None => String::new(),
    };
    // In millionths of a percent, rounded up.
    const ALL: u64 = 100_000_000;
    let percent = SAMPLE.saturating_mul(ALL).div_ceil(size.pages.max(1)).min(ALL);
    let (percent, rest) = (percent / 1_000_000, percent % 1_000_000);
    // Every key behind which another part begins, by its place among all.
    let statement = format!(
        "COPY (SELECT {list} FROM ( \
             SELECT {order}, row_number() OVER (ORDER BY {order}) AS cdc_place, count(*) OVER () AS cdc_count \
             FROM {} AS cdc_rows TABLESAMPLE SYSTEM ({percent}.{rest:06}){filter}) AS sampled \
         WHERE cdc_place * {parts} / cdc_count <> (cdc_place - 1) * {parts} / cdc_count AND cdc_place < cdc_count \
         ORDER BY cdc_place) TO STDOUT",
        table(plan)
    );
    let (schema, types) = key_of(plan, columns)?;
    let id = Arc::new(plan.published.id.clone());
    let mut lines = TableRows::open(client, &statement, Arc::clone(&id)).await?;
    let mut values = RowsBuilder::new();
    let mut rows = Vec::new();
    while lines.read().await? {
        while let Some(line) = lines.next_line() {
            let row = row_of_line(line, &schema, &types, &mut values);
            rows.push(row.map_err(|refused| refused.of(&id, &schema, Lsn::ZERO))?);
        }
    }
    values.seal();
    rows.iter().map(Key::of).collect::<Result<_, _>>().map_err(as_log_error)
}

fn as_log_error(error: cdc_core::Error) -> PostgresError {
    PostgresError::Log { position: Lsn::ZERO, reason: error.to_string() }
}

/// The columns of the key alone, as those of a table.
fn key_of(
    plan: &TableReadPlan,
    columns: &PublishedColumns,
) -> Result<(Arc<Schema>, Vec<ColumnType>), PostgresError> {
    let indices = columns.schema.key();
    let fields = indices.iter().filter_map(|&at| columns.schema.field(at)).cloned();
    let types = indices.iter().filter_map(|&at| columns.types.get(at)).cloned().collect();
    let names = plan.key.iter().map(|column| column.name.as_str());
    let schema = Schema::builder().table(plan.published.id.clone()).fields(fields).key(names);
    Ok((schema.build().map_err(as_log_error)?, types))
}
