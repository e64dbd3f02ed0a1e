//! Reading rows that were there before: one transaction for all tables, COPY for each.
//!
//! The transaction sees the snapshot that was exported when the slot was made, or one of its own. With one of its own, the
//! set of transactions that it shows is known exactly, and their changes are left out of the stream.

mod copy;
mod rewritten;
pub(crate) mod visible;

use std::sync::Arc;

use cdc_core::{Schema, TableId};
use cdc_pgconn::SqlClient;

pub(crate) use copy::TableRows;
pub(crate) use visible::Visible;

use crate::catalog::columns::{self, NamedType, schema_of};
use crate::catalog::publications::PublishedTable;
use crate::catalog::types::TypeCatalog;
use crate::catalog::{self, failed, get};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::names::{quote, quote_table};
use crate::options::Options;
use crate::types::ColumnType;

/// Which snapshot is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// One that was exported under this name.
    Exported(&'a str),
    /// One of its own.
    Own,
}

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
    /// With a snapshot of its own: what it shows, and a position that no transaction it shows was committed behind.
    pub(crate) shows: Option<(Visible, Lsn)>,
    /// The first transaction id that was not given yet at the snapshot.
    pub(crate) next_xid: u32,
}

impl SnapshotReader {
    /// Opens the transaction, locks the tables, and looks at their columns.
    ///
    /// # Errors
    /// [`PostgresError::TableRewritten`] when a table was rewritten, truncated or altered since the snapshot, which therefore
    /// does not show it as it was.
    pub(crate) async fn open(
        options: &Options,
        kind: Kind<'_>,
        published: &[PublishedTable],
    ) -> Result<Self, PostgresError> {
        let client = catalog::connect(&options.sql).await?;
        let begin = match kind {
            Kind::Exported(name) => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                name.replace('\'', "''")
            ),
            Kind::Own => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
        };
        client.batch_execute(&begin).await.map_err(failed(&client, "opening the snapshot"))?;
        // A policy that hides rows is an error rather than a copy that lacks them.
        client
            .batch_execute("SET LOCAL row_security = off")
            .await
            .map_err(failed(&client, "opening the snapshot"))?;
        lock(&client, published, options).await?;
        let (visible, until) = visible_set(&client).await?;
        let next_xid = u32::try_from(visible.next() & u64::from(u32::MAX)).unwrap_or_default();
        let shows = match kind {
            Kind::Exported(_) => None,
            Kind::Own => Some((visible, until)),
        };
        rewritten::check(&client, published).await?;
        let tables = match kind {
            // The snapshot is no older than the locks, so that its catalog is the present one.
            Kind::Own => describe_all(&client, published, options).await?,
            Kind::Exported(_) => describe_beside(&client, options, published).await?,
        };
        Ok(SnapshotReader { client, tables, shows, next_xid })
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
            late if late.sqlstate() == Some("55P03") => {
                let timeout = timeout.unwrap_or_default();
                PostgresError::SnapshotLock { timeout, reason: late.to_string() }
            }
            other => other,
        })
}

/// The set of transactions that the snapshot shows, and the position behind the last of them.
async fn visible_set(client: &SqlClient) -> Result<(Visible, Lsn), PostgresError> {
    let row = client
        .query_one(
            &format!(
                "SELECT {}::text AS visible, pg_current_wal_insert_lsn()::text AS lsn",
                current_snapshot(client)
            ),
            &[],
        )
        .await
        .map_err(failed(client, "reading the snapshot"))?;
    let lsn: String = get(client, &row, "lsn")?;
    let lsn = catalog::server::parse_lsn(client, &lsn)?;
    Ok((parse_visible(client, &get::<String>(client, &row, "visible")?)?, lsn))
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
    let row = client
        .query_one(&format!("SELECT {}::text AS visible", current_snapshot(client)), &[])
        .await
        .map_err(failed(client, "reading which transactions are open"))?;
    parse_visible(client, &get::<String>(client, &row, "visible")?)
}

/// How long the catalog is asked beside the session that has the locks.
const BESIDE_LIMIT: &str = "1s";

/// Columns and types as they are now, which an older snapshot does not show: asked in a session of its own. Somebody's ALTER
/// TABLE may wait for our locks and make that session wait in its turn; nobody would see that deadlock, so it gives up soon,
/// and the copy begins with a snapshot of its own.
///
/// Where the columns have changed since that older snapshot, the copy begins with one of its own too.
async fn describe_beside(
    snapshot: &SqlClient,
    options: &Options,
    published: &[PublishedTable],
) -> Result<Vec<SnapshotTable>, PostgresError> {
    let client = catalog::connect(&options.sql).await?;
    client
        .batch_execute(&format!("SET lock_timeout = '{BESIDE_LIMIT}'"))
        .await
        .map_err(failed(&client, "opening the snapshot"))?;
    let described = describe_all(&client, published, options).await;
    rewritten::check_columns(snapshot, &client, published).await?;
    match (described, published.first()) {
        (Err(error), Some(table)) if error.sqlstate() == Some("55P03") => {
            Err(PostgresError::TableRewritten { table: table.id.clone() })
        }
        (described, _) => described,
    }
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

/// Columns and types as they are now; the lock keeps them so.
async fn describe(
    client: &SqlClient,
    types: &mut TypeCatalog,
    table: &PublishedTable,
    options: &Options,
) -> Result<SnapshotTable, PostgresError> {
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
    let described = |columns: &[NamedType]| {
        schema_of(&table.id, columns, &key, &catalog, types)
            .map_err(|error| PostgresError::Log { position: Lsn::ZERO, reason: error.to_string() })
    };
    let (whole, mut column_types) = described(&columns)?;
    let mut schema = Arc::clone(&whole);
    let mut read = columns;
    // What nobody sees is not read.
    let all = read.len();
    read.retain(|column| options.shape.reads(&table.id, &whole, &column.name));
    if read.len() < all {
        (schema, column_types) = described(&read)?;
    }
    Ok(SnapshotTable {
        id: Arc::new(table.id.clone()),
        schema,
        whole,
        types: column_types,
        statement: copy_statement(table, &read),
    })
}

fn copy_statement(table: &PublishedTable, columns: &[NamedType]) -> String {
    let list: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let list = list.join(", ");
    let only = if table.partitioned { "" } else { "ONLY " };
    let filter = match &table.filter {
        Some(filter) => format!(" WHERE {filter}"),
        None => String::new(),
    };
    // A query can be read from a partitioned table, has a filter, and reads generated columns.
    format!("COPY (SELECT {list} FROM {only}{}{filter}) TO STDOUT", quote_table(&table.id))
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
            copy_statement(&table, &columns),
            "COPY (SELECT \"id\", \"a \"\"b\"\"\" FROM ONLY \"public\".\"Odd\") TO STDOUT"
        );
        table.partitioned = true;
        table.filter = Some("(id > 5)".into());
        assert_eq!(
            copy_statement(&table, &columns[..1]),
            "COPY (SELECT \"id\" FROM \"public\".\"Odd\" WHERE (id > 5)) TO STDOUT"
        );
    }
}
