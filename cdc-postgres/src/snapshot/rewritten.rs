//! Tables that were rewritten or truncated between the snapshot and its read.
//!
//! TRUNCATE and rewrites (ALTER TABLE, CLUSTER, VACUUM FULL) are not safe under MVCC: a snapshot from before then reads no
//! rows, without an error. The snapshot's own view of the catalog has the old file, the lock that is held shows the
//! present one.

use cdc_pgconn::SqlClient;

use crate::catalog::publications::PublishedTable;
use crate::catalog::{failed, get};
use crate::error::PostgresError;

/// Fails when a table is not the one that the snapshot saw. The tables must be locked.
pub(super) async fn check(
    client: &SqlClient,
    tables: &[PublishedTable],
) -> Result<(), PostgresError> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    // A table that the snapshot does not know yet is not in its pg_class at all.
    let rows = client
        .query(
            "SELECT t.oid \
             FROM unnest($1::oid[]) AS t(oid) \
             LEFT JOIN LATERAL (SELECT t.oid AS leaf UNION SELECT p.relid::oid FROM pg_partition_tree(t.oid::regclass) p) l ON true \
             LEFT JOIN pg_class c ON c.oid = l.leaf \
             WHERE c.oid IS NULL \
                OR c.relkind <> 'p' AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid::regclass)",
            &[&oids],
        )
        .await
        .map_err(failed(client, "looking for rewritten tables"))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let oid: u32 = get(client, row, "oid")?;
    match tables.iter().find(|table| table.oid == oid) {
        Some(table) => Err(PostgresError::TableRewritten { table: table.id.clone() }),
        None => Ok(()),
    }
}
