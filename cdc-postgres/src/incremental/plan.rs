//! How tables can be read in chunks: by which key, in which ranges, under which conditions.

use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::TablePlan;
use cdc_core::{Schema, TableId};
use cdc_pgconn::SqlClient;

use super::bounds;
use crate::catalog::columns::NamedType;
use crate::catalog::publications::PublishedTable;
use crate::catalog::types::TypeCatalog;
use crate::catalog::{failed, get, millis};
use crate::error::{LOCK_NOT_AVAILABLE, PostgresError};
use crate::names::quote_table;
use crate::options::Options;
use crate::snapshot::{PublishedColumns, published_columns};
use crate::types::Kind;

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    /// The type that its values are written as in a statement: that below a domain, without a modifier, so that nothing is
    /// rounded, cut or checked.
    pub(crate) cast: String,
    pub(crate) nullable: bool,
}

/// What a read has to know of its table beside the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableReadPlan {
    /// The table as it is published: its leaves or its root, with which columns and rows.
    pub(crate) published: PublishedTable,
    /// Its key; none for a table that is read as a whole.
    pub(crate) key: Vec<KeyColumn>,
    /// What is read in place of the table: a query that gives its columns by their names.
    pub(crate) select: Option<String>,
    /// An SQL condition that rows must meet beside the publication's filter.
    pub(crate) condition: Option<String>,
    /// Its columns when the plan was made.
    pub(crate) schema: Arc<Schema>,
}

impl TableReadPlan {
    /// Reads rows alone that meet an SQL condition, or those of a query that begins with `SELECT`.
    pub(crate) fn choose(&mut self, rows: &str) {
        let rows = rows.trim().trim_end_matches(';').trim_end();
        match is_query(rows) {
            true => self.select = Some(rows.to_owned()),
            false => self.condition = Some(rows.to_owned()),
        }
    }

    /// Whether rows are chosen beside those that are published.
    pub(crate) fn is_of_some_rows(&self) -> bool {
        self.select.is_some() || self.condition.is_some()
    }

    /// The same of all rows that are published.
    pub(crate) fn of_all_rows(&self) -> Self {
        TableReadPlan { select: None, condition: None, ..self.clone() }
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = &String> {
        self.published.filter.iter().chain(&self.condition)
    }

    pub(super) fn is_nullable(&self) -> bool {
        self.key.iter().any(|column| column.nullable)
    }

    /// Whether the table's key is the one that the plan was made for.
    pub(super) fn fits(&self, columns: &PublishedColumns) -> bool {
        key_indices(columns)
            .map(|(column, _)| (&column.name, column.type_oid))
            .eq(self.key.iter().map(|column| (&column.name, column.type_oid)))
    }
}

/// Whether it is a query rather than a condition, which cannot begin so.
fn is_query(rows: &str) -> bool {
    let mut words = rows.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

/// A statement that fails where rows cannot be chosen so.
pub(crate) fn question(table: &TableId, rows: &str) -> String {
    let rows = rows.trim().trim_end_matches(';');
    match is_query(rows) {
        true => format!("EXPLAIN SELECT 1 FROM ({rows}) AS cdc_rows"),
        false => format!("EXPLAIN SELECT 1 FROM {} AS cdc_rows WHERE ({rows})", quote_table(table)),
    }
}

/// How long an alteration of a table is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Plans for tables as they are published now, in the same order. So many `readers` can read at once.
///
/// It looks at some pages of large tables, to find ranges of about the same size.
///
/// # Errors
/// [`PostgresError::TableRewritten`] for a table that is gone, [`PostgresError::SnapshotLock`] for one that is being altered
/// for more than a second.
pub(crate) async fn plan(
    client: &SqlClient,
    options: &Options,
    published: &[PublishedTable],
    readers: usize,
) -> Result<Vec<(TablePlan, TableReadPlan)>, PostgresError> {
    const WHAT: &str = "planning the reading of tables";
    client
        .batch_execute(&format!("SET lock_timeout = {}", millis(LOCK_TIMEOUT)))
        .await
        .map_err(failed(client, WHAT))?;
    let plans = plan_all(client, options, published, readers).await;
    client.batch_execute("SET lock_timeout = 0").await.map_err(failed(client, WHAT))?;
    plans.map_err(|error| match error.sqlstate() {
        Some(LOCK_NOT_AVAILABLE) => {
            PostgresError::SnapshotLock { timeout: LOCK_TIMEOUT, reason: error.to_string() }
        }
        _ => error,
    })
}

async fn plan_all(
    client: &SqlClient,
    options: &Options,
    published: &[PublishedTable],
    readers: usize,
) -> Result<Vec<(TablePlan, TableReadPlan)>, PostgresError> {
    let mut types = TypeCatalog::default();
    let mut plans = Vec::with_capacity(published.len());
    for table in published {
        let columns = published_columns(client, &mut types, table, options).await?;
        let names: Vec<String> =
            key_indices(&columns).map(|(column, _)| column.name.clone()).collect();
        let mut text_in_byte_order = true;
        let mut key = Vec::with_capacity(names.len());
        for (column, in_byte_order) in key_columns(client, table.oid, &names).await? {
            let kept_as_text = key_indices(&columns)
                .any(|(named, kind)| named.name == column.name && *kind == Kind::Text);
            // Types without a collation whose values are kept as text (enums, jsonb) have an order of their own.
            text_in_byte_order &= in_byte_order.unwrap_or(!kept_as_text);
            key.push(column);
        }
        let select = options.select_for(&table.id).map(str::to_owned);
        let schema = Arc::clone(&columns.schema);
        let read = TableReadPlan { published: table.clone(), key, select, condition: None, schema };
        let size = bounds::size(client, table.oid).await?;
        let mut plan = TablePlan::new(table.id.clone(), names);
        plan.ranges = bounds::ranges(client, &read, &columns, size, readers).await?;
        plan.text_in_byte_order = text_in_byte_order;
        plan.estimated_rows = size.rows;
        plans.push((plan, read));
    }
    Ok(plans)
}

/// The columns of a key, in its order, and how their values are kept.
fn key_indices(columns: &PublishedColumns) -> impl Iterator<Item = (&NamedType, &Kind)> {
    let key = columns.schema.key().iter();
    key.filter_map(|&at| Some((columns.columns.get(at)?, &columns.types.get(at)?.kind)))
}

/// The columns of a key, and of those with a collation whether it compares byte by byte.
async fn key_columns(
    client: &SqlClient,
    table: u32,
    names: &[String],
) -> Result<Vec<(KeyColumn, Option<bool>)>, PostgresError> {
    // Since PostgreSQL 15 a database's own collation can be other than libc's.
    let default_is_c = match client.server_version() {
        170_000.. => {
            "d.datlocprovider = 'c' AND d.datcollate IN ('C', 'POSIX') OR d.datlocprovider = 'b' AND d.datlocale IN ('C', 'C.UTF-8')"
        }
        150_000.. => "d.datlocprovider = 'c' AND d.datcollate IN ('C', 'POSIX')",
        _ => "d.datcollate IN ('C', 'POSIX')",
    };
    let locale = if client.server_version() >= 170_000 { "colllocale" } else { "NULL" };
    let rows = client
        .query(
            &format!(
                "WITH RECURSIVE base(attnum, oid, depth) AS ( \
                     SELECT attnum, atttypid, 0 FROM pg_attribute WHERE attrelid = $1 AND attname = ANY ($2) \
                     UNION ALL \
                     SELECT b.attnum, t.typbasetype, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd' \
                 ) \
                 SELECT a.attname::text AS name, a.atttypid, NOT a.attnotnull AS nullable, \
                        format_type(b.oid, -1) AS written_as, \
                        CASE WHEN a.attcollation = 0 THEN NULL \
                             WHEN b.oid NOT IN ('text'::regtype, 'varchar'::regtype, 'name'::regtype) THEN false \
                             WHEN c.collprovider = 'd' THEN ({default_is_c}) AND pg_encoding_to_char(d.encoding) = 'UTF8' \
                             WHEN c.collprovider = 'c' THEN c.collcollate IN ('C', 'POSIX') \
                             ELSE c.collprovider = 'b' AND {locale} IN ('C', 'C.UTF-8') END AS in_bytes \
                 FROM unnest($2) WITH ORDINALITY AS k(name, place) \
                 JOIN pg_attribute a ON a.attrelid = $1 AND a.attname::text = k.name AND NOT a.attisdropped \
                 JOIN LATERAL (SELECT oid FROM base WHERE base.attnum = a.attnum ORDER BY depth DESC LIMIT 1) b ON true \
                 LEFT JOIN pg_collation c ON c.oid = a.attcollation \
                 JOIN pg_database d ON d.datname = current_database() \
                 ORDER BY k.place"
            ),
            &[&table, &names],
        )
        .await
        .map_err(failed(client, "reading the columns of a key"))?;
    rows.iter()
        .map(|row| {
            let column = KeyColumn {
                name: get(client, row, "name")?,
                type_oid: get(client, row, "atttypid")?,
                cast: get(client, row, "written_as")?,
                nullable: get(client, row, "nullable")?,
            };
            Ok((column, get(client, row, "in_bytes")?))
        })
        .collect()
}
