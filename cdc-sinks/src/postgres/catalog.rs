//! What the database has: tables, their columns and keys, and who the server is.

use cdc_core::SystemIdentity;
use cdc_pgconn::SqlClient;

use crate::sql::table::{ExistingColumn, ExistingTable};

const TABLE: &str = "SELECT c.oid FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

// A domain is written as its base type.
const COLUMNS: &str = "SELECT a.attname::text, \
    CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) \
         ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END, \
    a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

// What ON CONFLICT can rely on: neither partial, nor by expression, nor deferrable.
const KEYS: &str = "SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid \
     AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY i.indexrelid";

/// The table of this name; `None` when there is none.
pub(super) async fn existing_table(
    client: &SqlClient,
    schema: &str,
    table: &str,
) -> Result<Option<ExistingTable>, tokio_postgres::Error> {
    let Some(found) = client.query_opt(TABLE, &[&schema, &table]).await? else { return Ok(None) };
    let oid: u32 = found.try_get(0)?;
    let mut existing = ExistingTable::default();
    for row in client.query(COLUMNS, &[&oid]).await? {
        existing.columns.push(ExistingColumn {
            name: row.try_get(0)?,
            type_name: row.try_get(1)?,
            not_null: row.try_get(2)?,
            has_default: row.try_get(3)?,
            generated: row.try_get(4)?,
        });
    }
    for row in client.query(KEYS, &[&oid]).await? {
        existing.unique.push(row.try_get(0)?);
    }
    Ok(Some(existing))
}

/// Whether there is a schema of this name.
pub(super) async fn schema_exists(
    client: &SqlClient,
    schema: &str,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    Ok(client.query_opt(sql, &[&schema]).await?.is_some())
}

/// Whether the server knows XML, which it was built with or without.
pub(super) async fn has_xml(client: &SqlClient) -> bool {
    client.simple_query("SELECT '<a/>'::xml").await.is_ok()
}

/// Which database this is; `None` where the role may not know.
pub(super) async fn identity(client: &SqlClient) -> Option<SystemIdentity> {
    let sql = "SELECT system_identifier::text, current_database()::text FROM pg_catalog.pg_control_system()";
    let row = client.query_one(sql, &[]).await.ok()?;
    let (system, database): (String, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    Some(SystemIdentity { system: format!("postgresql:{system}"), database })
}
