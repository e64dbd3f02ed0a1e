//! Taking the fence, also from an instance that stands still in the middle of a transaction.

use cdc_pgconn::SqlClient;

use super::catalog::{existing_table, schema_exists};
use super::error::{is_lock_timeout, refused};
use crate::error::{SinkError, fenced};
use crate::sql::dialect::{Dialect, quote};
use crate::sql::naming::{DEFAULT_SCHEMA, TableName};
use crate::sql::offsets::{Claim, Fence, OffsetStatements};

/// How long a transaction of the instance before may take to end by itself.
const PATIENCE: &str = "SET lock_timeout = '2s'";
const NO_LIMIT: &str = "SET lock_timeout = 0";

/// Ends sessions of this role that hold the table of offsets and do nothing: a process that was stopped in the middle of a
/// transaction would hold its row for ever. Its transaction is rolled back, and should it wake up it is fenced.
const END_IDLE_HOLDERS: &str = "SELECT pg_catalog.pg_terminate_backend(a.pid) \
    FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid \
    WHERE l.locktype = 'relation' AND l.relation = $1::text::regclass \
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
     AND a.pid <> pg_catalog.pg_backend_pid() AND a.usename = current_user \
     AND a.state = 'idle in transaction' AND a.state_change < pg_catalog.clock_timestamp() - interval '1 s'";

/// Takes the fence of a pipeline and reads its offset as text.
pub(super) async fn take(
    client: &SqlClient,
    dialect: &impl Dialect,
    table: &TableName,
    statements: &OffsetStatements,
    claim: &mut Claim,
) -> Result<(Fence, Option<String>), SinkError> {
    let what = || format!("the offset cannot be loaded from {table}");
    make_table(client, table, statements).await?;
    client.batch_execute(PATIENCE).await.map_err(|error| refused(client, what(), error))?;
    let sql = statements.load(claim);
    let epoch = claim.ask();
    let pipeline = claim.pipeline.clone();
    let mut taken = client.query_opt(&sql, &[&pipeline, &epoch]).await;
    if taken.as_ref().is_err_and(is_lock_timeout) {
        let held = dialect.table(table);
        client
            .query(END_IDLE_HOLDERS, &[&held])
            .await
            .map_err(|error| refused(client, what(), error))?;
        taken = client.query_opt(&sql, &[&pipeline, &epoch]).await;
    }
    let row = taken.map_err(|error| {
        let held = is_lock_timeout(&error);
        let what =
            if held { format!("{}, which another instance is writing", what()) } else { what() };
        refused(client, what, error)
    })?;
    client.batch_execute(NO_LIMIT).await.map_err(|error| refused(client, what(), error))?;
    let Some(row) = row else { return Err(fenced(client.target(), &pipeline)) };
    claim.answered(epoch);
    let offset = row.try_get(0).map_err(|error| refused(client, what(), error))?;
    Ok((Fence { pipeline, epoch }, offset))
}

/// Reads the offset of a pipeline as text, and leaves the fence alone.
pub(super) async fn peek(
    client: &SqlClient,
    table: &TableName,
    statements: &OffsetStatements,
    pipeline: &str,
) -> Result<Option<String>, SinkError> {
    if !has_table(client, table).await? {
        return Ok(None);
    }
    let failed = |error| refused(client, format!("the offset cannot be read from {table}"), error);
    let row = client.query_opt(&statements.peek, &[&pipeline]).await.map_err(failed)?;
    row.map_or(Ok(None), |row| row.try_get(0).map_err(failed))
}

/// Makes the table of offsets and its schema, where they are missing.
async fn make_table(
    client: &SqlClient,
    table: &TableName,
    statements: &OffsetStatements,
) -> Result<(), SinkError> {
    let failed =
        |error| refused(client, format!("the table {table} of the offsets cannot be made"), error);
    if has_table(client, table).await? {
        return Ok(());
    }
    make_schema(client, table).await.map_err(failed)?;
    match client.batch_execute(&statements.create).await {
        Ok(()) => Ok(()),
        // Another pipeline was faster.
        Err(_) if has_table(client, table).await? => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Makes the schema of a table where it is missing.
pub(super) async fn make_schema(
    client: &SqlClient,
    table: &TableName,
) -> Result<(), tokio_postgres::Error> {
    let schema = table.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
    if !schema_exists(client, schema).await? {
        client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote(schema))).await?;
    }
    Ok(())
}

/// Whether the table of offsets is there.
pub(super) async fn has_table(client: &SqlClient, table: &TableName) -> Result<bool, SinkError> {
    let schema = table.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
    existing_table(client, schema, &table.table)
        .await
        .map(|found| found.is_some())
        .map_err(|error| refused(client, format!("the table {table} cannot be looked up"), error))
}
