//! Reading rows with nothing to follow: one transaction for all tables, COPY for each.
//!
//! Where the log is followed rows are read in chunks instead ([`incremental`](crate::incremental)), those of the first copy by the
//! snapshot that is exported when the slot is made ([`exported`]).

mod copy;
mod exported;
pub(crate) mod rewritten;
pub(crate) mod visible;

use std::sync::Arc;

use cdc_core::{Schema, TableId};
use cdc_pgconn::SqlClient;
use cdc_pgconn::tokio_postgres::SimpleQueryMessage;

pub(crate) use copy::{TableRows, row_of_line};
pub(crate) use exported::ExportedSnapshot;
pub(crate) use visible::Visible;

use crate::catalog::columns::{self, NamedType, schema_of};
use crate::catalog::publications::PublishedTable;
use crate::catalog::types::TypeCatalog;
use crate::catalog::{self, failed, get};
use crate::error::{LOCK_NOT_AVAILABLE, PostgresError};
use crate::lsn::Lsn;
use crate::names::{quote, quote_table};
use crate::options::Options;
use crate::types::ColumnType;

/// A table that is about to be read.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotTable {
    pub(crate) id: Arc<TableId>,
    /// The columns that are read.
    pub(crate) schema: Arc<Schema>,
    /// All columns, as the log will have them.
    pub(crate) whole: Arc<Schema>,
    pub(crate) types: Vec<ColumnType>,
    /// The COPY statement.
    statement: String,
}

/// A transaction that reads tables. All are locked against being rewritten until it ends.
#[derive(Debug)]
pub(crate) struct SnapshotReader {
    client: SqlClient,
    pub(crate) tables: Vec<SnapshotTable>,
    /// The first transaction id that was not given yet at the snapshot.
    pub(crate) next_xid: u32,
}

impl SnapshotReader {
    /// Opens the transaction, locks the tables, and looks at their columns.
    ///
    /// # Errors
    /// [`PostgresError::TableRewritten`] when a table was dropped, or truncated before it was locked.
    pub(crate) async fn open(
        options: &Options,
        published: &[PublishedTable],
    ) -> Result<Self, PostgresError> {
        let client = catalog::connect(&options.sql).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(begin).await.map_err(failed(&client, "opening the snapshot"))?;
        // A policy that hides rows is an error rather than a copy that lacks them.
        client
            .batch_execute("SET LOCAL row_security = off")
            .await
            .map_err(failed(&client, "opening the snapshot"))?;
        lock(&client, published, options).await?;
        let (visible, _) = visible_set(&client).await?;
        let next_xid = u32::try_from(visible.next() & u64::from(u32::MAX)).unwrap_or_default();
        rewritten::check_files(&client, published).await?;
        // The snapshot is no older than the locks, so that its catalog is the present one.
        let tables = describe_all(&client, published, options).await?;
        Ok(SnapshotReader { client, tables, next_xid })
    }

    /// The rows of a table.
    pub(crate) async fn rows(&self, table: &SnapshotTable) -> Result<TableRows, PostgresError> {
        TableRows::open(&self.client, &table.statement, Arc::clone(&table.id)).await
    }

    /// Ends the transaction.
    pub(crate) async fn close(self) -> Result<(), PostgresError> {
        self.client
            .batch_execute("COMMIT")
            .await
            .map_err(failed(&self.client, "closing the snapshot"))
    }
}

/// `LOCK TABLE` takes no snapshot, so that with a snapshot of its own no table can be rewritten after it.
async fn lock(
    client: &SqlClient,
    tables: &[PublishedTable],
    options: &Options,
) -> Result<(), PostgresError> {
    const WHAT: &str = "locking the tables against being rewritten";
    if tables.is_empty() {
        return Ok(());
    }
    // However long the statement may wait is said apart, and rows are read for as long as it takes.
    let timeout = options.settings.snapshot_lock_timeout;
    client
        .batch_execute(&format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {}",
            timeout.map_or(0, catalog::millis)
        ))
        .await
        .map_err(failed(client, WHAT))?;
    let list: Vec<String> = tables
        .iter()
        .map(|table| {
            let only = if table.partitioned { "" } else { "ONLY " };
            format!("{only}{}", quote_table(&table.id))
        })
        .collect();
    client
        .batch_execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", list.join(", ")))
        .await
        .map_err(|error| match failed(client, WHAT)(error) {
            late if late.sqlstate() == Some(LOCK_NOT_AVAILABLE) => {
                let timeout = timeout.unwrap_or_default();
                PostgresError::SnapshotLock { timeout, reason: late.to_string() }
            }
            other => other,
        })
}

/// The set of transactions that the snapshot shows, and the position behind the last of them.
pub(crate) async fn visible_set(client: &SqlClient) -> Result<(Visible, Lsn), PostgresError> {
    begin_with(client, "", "reading the snapshot").await
}

/// Runs statements that take no snapshot, and then asks for that set, all at once.
pub(crate) async fn begin_with(
    client: &SqlClient,
    statements: &str,
    what: &str,
) -> Result<(Visible, Lsn), PostgresError> {
    let question = format!(
        "{statements}SELECT {}::text AS visible, pg_current_wal_insert_lsn()::text AS lsn",
        current_snapshot(client)
    );
    let answers = client.simple_query(&question).await.map_err(failed(client, what))?;
    let row = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some((row.get("visible")?, row.get("lsn")?)),
        _ => None,
    });
    let Some((visible, lsn)) = row else {
        let reason = "no row of the snapshot";
        return Err(cdc_pgconn::ConnectError::protocol(client.target(), reason).into());
    };
    Ok((parse_visible(client, visible)?, catalog::server::parse_lsn(client, lsn)?))
}

/// The function that tells which transactions the snapshot of a statement shows.
pub(crate) fn current_snapshot(client: &SqlClient) -> &'static str {
    if client.server_version() >= 130_000 {
        "pg_current_snapshot()"
    } else {
        "txid_current_snapshot()"
    }
}

/// Reads what it tells.
pub(crate) fn parse_visible(client: &SqlClient, text: &str) -> Result<Visible, PostgresError> {
    text.parse().map_err(|error: visible::ParseVisibleError| {
        cdc_pgconn::ConnectError::protocol(client.target(), error.to_string()).into()
    })
}

/// The transactions that have ended by now.
pub(crate) async fn current(client: &SqlClient) -> Result<Visible, PostgresError> {
    const WHAT: &str = "reading which transactions are open";
    let question = format!("SELECT {}::text AS visible", current_snapshot(client));
    let statement = client.prepare_once(&question).await.map_err(failed(client, WHAT))?;
    let row = client.query_one(&statement, &[]).await.map_err(failed(client, WHAT))?;
    parse_visible(client, &get::<String>(client, &row, "visible")?)
}

async fn describe_all(
    client: &SqlClient,
    published: &[PublishedTable],
    options: &Options,
) -> Result<Vec<SnapshotTable>, PostgresError> {
    let mut tables = Vec::with_capacity(published.len());
    let mut types = TypeCatalog::default();
    for table in published {
        tables.push(describe(client, &mut types, table, options).await?);
    }
    Ok(tables)
}

/// The published columns of a table as they are now.
#[derive(Debug, Clone)]
pub(crate) struct PublishedColumns {
    pub(crate) columns: Vec<NamedType>,
    /// With all of them, as the log will have them.
    pub(crate) schema: Arc<Schema>,
    pub(crate) types: Vec<ColumnType>,
    key: Vec<String>,
    catalog: columns::TableColumns,
}

/// Looks at the columns of a table; a lock on the table keeps them so.
pub(crate) async fn published_columns(
    client: &SqlClient,
    types: &mut TypeCatalog,
    table: &PublishedTable,
    options: &Options,
) -> Result<PublishedColumns, PostgresError> {
    let Some(catalog) = columns::columns(client, table.oid).await? else {
        return Err(PostgresError::TableRewritten { table: table.id.clone() });
    };
    let catalog = catalog.with_unique(options.settings.unique_keys);
    // Before PostgreSQL 18 no generated column is published, though the catalog lists it among the columns.
    let generated = client.server_version() >= 180_000 && table.columns.is_some();
    let is_published = |column: &&columns::CatalogColumn| {
        (generated || !column.generated)
            && table.columns.as_ref().is_none_or(|listed| listed.contains(&column.name))
    };
    let columns: Vec<NamedType> = catalog
        .columns
        .iter()
        .filter(is_published)
        .map(|column| NamedType {
            name: column.name.clone(),
            type_oid: column.type_oid,
            modifier: column.modifier,
        })
        .collect();
    types.load(client, columns.iter().map(|column| column.type_oid)).await?;
    let has = |name: &String| columns.iter().any(|column| column.name == *name);
    let keys = [&catalog.key, &catalog.unique];
    let key = keys.into_iter().find(|key| !key.is_empty() && key.iter().all(has));
    let key = key.cloned().unwrap_or_default();
    let (schema, column_types) = described(&table.id, &columns, &key, &catalog, types)?;
    Ok(PublishedColumns { columns, schema, types: column_types, key, catalog })
}

fn described(
    table: &TableId,
    columns: &[NamedType],
    key: &[String],
    catalog: &columns::TableColumns,
    types: &TypeCatalog,
) -> Result<(Arc<Schema>, Vec<ColumnType>), PostgresError> {
    schema_of(table, columns, key, catalog, types)
        .map_err(|error| PostgresError::Log { position: Lsn::ZERO, reason: error.to_string() })
}

/// The columns of a table that are read.
async fn describe(
    client: &SqlClient,
    types: &mut TypeCatalog,
    table: &PublishedTable,
    options: &Options,
) -> Result<SnapshotTable, PostgresError> {
    let published = published_columns(client, types, table, options).await?;
    let whole = published.schema;
    let (mut schema, mut column_types) = (Arc::clone(&whole), published.types);
    let mut read = published.columns;
    // What nobody sees is not read.
    let all = read.len();
    read.retain(|column| options.shape.reads(&table.id, &whole, &column.name));
    if read.len() < all {
        (schema, column_types) =
            described(&table.id, &read, &published.key, &published.catalog, types)?;
    }
    Ok(SnapshotTable {
        id: Arc::new(table.id.clone()),
        schema,
        whole,
        types: column_types,
        statement: copy_statement(table, options.select_for(&table.id), &read),
    })
}

fn copy_statement(table: &PublishedTable, select: Option<&str>, columns: &[NamedType]) -> String {
    let list: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let list = list.join(", ");
    let from = match select {
        Some(select) => format!("({select}) AS cdc_rows"),
        None => {
            let only = if table.partitioned { "" } else { "ONLY " };
            format!("{only}{}", quote_table(&table.id))
        }
    };
    let filter = match &table.filter {
        Some(filter) => format!(" WHERE {filter}"),
        None => String::new(),
    };
    // A query can be read from a partitioned table, has a filter, and reads generated columns.
    format!("COPY (SELECT {list} FROM {from}{filter}) TO STDOUT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_is_published() {
        let columns = [
            NamedType { name: "id".into(), type_oid: 23, modifier: -1 },
            NamedType { name: "a \"b\"".into(), type_oid: 25, modifier: -1 },
        ];
        let mut table = PublishedTable {
            oid: 1,
            id: TableId::new("public", "Odd"),
            partitioned: false,
            columns: None,
            filter: None,
        };
        assert_eq!(
            copy_statement(&table, None, &columns),
            "COPY (SELECT \"id\", \"a \"\"b\"\"\" FROM ONLY \"public\".\"Odd\") TO STDOUT"
        );
        table.partitioned = true;
        table.filter = Some("(id > 5)".into());
        assert_eq!(
            copy_statement(&table, None, &columns[..1]),
            "COPY (SELECT \"id\" FROM \"public\".\"Odd\" WHERE (id > 5)) TO STDOUT"
        );
        assert_eq!(
            copy_statement(&table, Some("SELECT 1 AS id"), &columns[..1]),
            "COPY (SELECT \"id\" FROM (SELECT 1 AS id) AS cdc_rows WHERE (id > 5)) TO STDOUT"
        );
    }
}
