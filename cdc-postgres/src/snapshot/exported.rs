//! The snapshot that is exported when a slot is made, kept for as long as its rows are read.

use std::sync::Arc;

use cdc_core::Schema;
use cdc_pgconn::SqlClient;

use super::{published_columns, visible_set};
use crate::catalog::publications::PublishedTable;
use crate::catalog::types::TypeCatalog;
use crate::catalog::{self, failed, get};
use crate::error::{LOCK_NOT_AVAILABLE, PostgresError};
use crate::options::Options;

/// How long the catalog is asked: somebody's ALTER TABLE may hold a table.
const CATALOG_LIMIT: &str = "1s";

/// A session that keeps the snapshot; it holds no lock on any table.
#[derive(Debug)]
pub(crate) struct ExportedSnapshot {
    /// Its transaction ends with it.
    _keeper: SqlClient,
    /// Others import it under this name.
    pub(crate) name: Arc<str>,
    /// The first transaction id that was not given yet.
    pub(crate) next_xid: u32,
}

impl ExportedSnapshot {
    /// Keeps a snapshot that another session exports now, under a name of its own.
    pub(crate) async fn keep(options: &Options, exported: &str) -> Result<Self, PostgresError> {
        const WHAT: &str = "keeping the slot's snapshot";
        let keeper = catalog::connect(&options.sql).await?;
        keeper.batch_execute(&begin(exported)).await.map_err(failed(&keeper, WHAT))?;
        let row = keeper
            .query_one("SELECT pg_export_snapshot() AS name", &[])
            .await
            .map_err(failed(&keeper, WHAT))?;
        let name: String = get(&keeper, &row, "name")?;
        let (visible, _) = visible_set(&keeper).await?;
        let next_xid = u32::try_from(visible.next() & u64::from(u32::MAX)).unwrap_or_default();
        Ok(ExportedSnapshot { _keeper: keeper, name: name.into(), next_xid })
    }

    /// The columns of tables as the snapshot has them, which is how the log begins; nothing for a table that it does not have,
    /// or that is being altered.
    pub(crate) async fn schemas(
        &self,
        options: &Options,
        tables: &[PublishedTable],
    ) -> Result<Vec<Option<Arc<Schema>>>, PostgresError> {
        const WHAT: &str = "reading the columns of the slot's snapshot";
        let client = catalog::connect(&options.sql).await?;
        let mut types = TypeCatalog::default();
        let mut schemas = Vec::with_capacity(tables.len());
        let begin = format!("{}; SET LOCAL lock_timeout = '{CATALOG_LIMIT}'", begin(&self.name));
        for table in tables {
            client.batch_execute(&begin).await.map_err(failed(&client, WHAT))?;
            schemas.push(match published_columns(&client, &mut types, table, options).await {
                Ok(columns) => Some(columns.schema),
                Err(PostgresError::TableRewritten { .. }) => None,
                Err(error) if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => None,
                Err(error) => return Err(error),
            });
            client.batch_execute("ROLLBACK").await.map_err(failed(&client, WHAT))?;
        }
        Ok(schemas)
    }
}

fn begin(snapshot: &str) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
        snapshot.replace('\'', "''")
    )
}
