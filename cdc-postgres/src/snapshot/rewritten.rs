//! Tables that were rewritten, truncated or altered between the snapshot and its read.
//!
//! TRUNCATE and rewrites (ALTER TABLE, CLUSTER, VACUUM FULL) are not safe under MVCC: a snapshot from before then reads no
//! rows, without an error. The snapshot's own view of the catalog has the old file, the lock that is held shows the
//! present one.
//!
//! Columns that came since would be announced too early: a target that has a column already could not give its default to
//! rows that the log brings from before the column was added.

use std::collections::HashMap;

use cdc_pgconn::SqlClient;

use crate::catalog::publications::PublishedTable;
use crate::catalog::{both, failed, get};
use crate::error::PostgresError;

/// Fails when a table is not the one that an exported snapshot sees: another file, or other columns than another session sees
/// now. It must be locked.
///
/// # Errors
/// [`PostgresError::TableRewritten`].
pub(crate) async fn check(
    snapshot: &SqlClient,
    now: &SqlClient,
    table: &PublishedTable,
) -> Result<(), PostgresError> {
    let tables = std::slice::from_ref(table);
    let (files, columns) =
        tokio::join!(check_files(snapshot, tables), check_columns(snapshot, now, tables));
    both(files, columns).map(drop)
}

/// A table that the snapshot does not know yet is not in its pg_class at all.
const OTHER_FILES: &str = "SELECT t.oid \
     FROM unnest($1::oid[]) AS t(oid) \
     LEFT JOIN LATERAL (SELECT t.oid AS leaf UNION SELECT p.relid::oid FROM pg_partition_tree(t.oid::regclass) p) l ON true \
     LEFT JOIN pg_class c ON c.oid = l.leaf \
     WHERE c.oid IS NULL \
        OR c.relkind <> 'p' AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid::regclass)";

/// Names and types of the columns of each table, as text.
const COLUMNS: &str = "SELECT attrelid, array_agg((attnum, attname, atttypid, atttypmod) ORDER BY attnum)::text AS columns \
     FROM pg_attribute WHERE attrelid = ANY($1) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid";

/// Fails when a table is not the one that the snapshot saw. The tables must be locked.
pub(super) async fn check_files(
    client: &SqlClient,
    tables: &[PublishedTable],
) -> Result<(), PostgresError> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    const WHAT: &str = "looking for rewritten tables";
    let statement = client.prepare_once(OTHER_FILES).await.map_err(failed(client, WHAT))?;
    let rows = client.query(&statement, &[&oids]).await.map_err(failed(client, WHAT))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let oid: u32 = get(client, row, "oid")?;
    match tables.iter().find(|table| table.oid == oid) {
        Some(table) => Err(PostgresError::TableRewritten { table: table.id.clone() }),
        None => Ok(()),
    }
}

/// Fails when the columns that the snapshot sees are not those that another session sees now. The tables must be locked.
async fn check_columns(
    snapshot: &SqlClient,
    now: &SqlClient,
    tables: &[PublishedTable],
) -> Result<(), PostgresError> {
    let (then, now) = tokio::join!(columns(snapshot, tables), columns(now, tables));
    let (then, now) = both(then, now)?;
    let altered = tables.iter().find(|table| then.get(&table.oid) != now.get(&table.oid));
    match altered {
        Some(table) => Err(PostgresError::TableRewritten { table: table.id.clone() }),
        None => Ok(()),
    }
}

async fn columns(
    client: &SqlClient,
    tables: &[PublishedTable],
) -> Result<HashMap<u32, String>, PostgresError> {
    const WHAT: &str = "looking for altered tables";
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let statement = client.prepare_once(COLUMNS).await.map_err(failed(client, WHAT))?;
    let rows = client.query(&statement, &[&oids]).await.map_err(failed(client, WHAT))?;
    rows.iter()
        .map(|row| Ok((get(client, row, "attrelid")?, get(client, row, "columns")?)))
        .collect()
}
