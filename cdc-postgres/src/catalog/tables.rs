//! The tables of the database and how their rows are identified.

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use super::{failed, get};
use crate::error::PostgresError;

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    pub(crate) id: TableId,
    pub(crate) kind: TableKind,
    /// The partitioned tables above it.
    pub(crate) ancestors: Vec<TableId>,
    /// Updates and deletes can be published: there is a key, an identity index, or REPLICA IDENTITY FULL.
    pub(crate) has_identity: bool,
    /// The role may publish it.
    pub(crate) owned: bool,
    pub(crate) owner: String,
    /// The role may read it.
    pub(crate) readable: bool,
}

/// What kind of table it is, as far as the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableKind {
    /// Its changes are in the log; also a leaf of a partitioned table.
    Ordinary,
    /// Only its leaves have rows.
    Partitioned,
    /// Its changes are not in the log.
    Unlogged,
    /// It is of one session and not in the log.
    Temporary,
    /// Its rows are elsewhere.
    Foreign,
    /// It has no columns, so that there is nothing to copy.
    Columnless,
    /// It is the offset table of a pipeline that writes into this database.
    Offsets,
}

impl TableKind {
    /// Why it cannot be read, if so.
    pub(crate) fn left_out(self) -> Option<&'static str> {
        match self {
            TableKind::Ordinary | TableKind::Partitioned => None,
            TableKind::Unlogged => Some("it is UNLOGGED: its changes are not in the log"),
            TableKind::Temporary => Some("it is temporary: its changes are not in the log"),
            TableKind::Foreign => {
                Some("it is a foreign table: its changes are in another server's log")
            }
            TableKind::Columnless => Some("it has no columns"),
            TableKind::Offsets => Some("it holds the offsets of a pipeline that writes here"),
        }
    }
}

/// All tables outside the system's schemas.
pub(crate) async fn tables(client: &SqlClient) -> Result<Vec<Table>, PostgresError> {
    let rows = client
        .query(
            "SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, \
                    c.relkind::text AS kind, c.relpersistence::text AS persistence, \
                    CASE c.relreplident \
                        WHEN 'f' THEN true \
                        WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid) \
                        WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) \
                        ELSE false END AS has_identity, \
                    pg_has_role(c.relowner, 'USAGE') AS owned, \
                    pg_get_userbyid(c.relowner)::text AS owner, \
                    NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columnless, \
                    c.relname = 'cdc_offsets' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'epoch') AS offsets, \
                    has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS readable, \
                    CASE WHEN c.relispartition THEN ARRAY(SELECT pn.nspname::text FROM pg_partition_ancestors(c.oid) a JOIN pg_class pc ON pc.oid = a.relid JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE pc.oid <> c.oid ORDER BY pc.oid) ELSE '{}' END AS ancestor_schemas, \
                    CASE WHEN c.relispartition THEN ARRAY(SELECT pc.relname::text FROM pg_partition_ancestors(c.oid) a JOIN pg_class pc ON pc.oid = a.relid WHERE pc.oid <> c.oid ORDER BY pc.oid) ELSE '{}' END AS ancestor_names \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'f') \
               AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' \
             ORDER BY n.nspname, c.relname",
            &[],
        )
        .await
        .map_err(failed(client, "reading the list of tables"))?;
    rows.iter()
        .map(|row| {
            let kind: String = get(client, row, "kind")?;
            let persistence: String = get(client, row, "persistence")?;
            let (schema, name): (String, String) =
                (get(client, row, "schema")?, get(client, row, "name")?);
            let schemas: Vec<String> = get(client, row, "ancestor_schemas")?;
            let names: Vec<String> = get(client, row, "ancestor_names")?;
            Ok(Table {
                ancestors: schemas
                    .into_iter()
                    .zip(names)
                    .map(|(schema, name)| TableId::new(schema, name))
                    .collect(),
                oid: get(client, row, "oid")?,
                id: TableId::new(schema, name),
                kind: match (kind.as_str(), persistence.as_str()) {
                    ("f", _) => TableKind::Foreign,
                    (_, "u") => TableKind::Unlogged,
                    (_, "t") => TableKind::Temporary,
                    _ if get(client, row, "columnless")? => TableKind::Columnless,
                    _ if get(client, row, "offsets")? => TableKind::Offsets,
                    ("p", _) => TableKind::Partitioned,
                    _ => TableKind::Ordinary,
                },
                has_identity: get(client, row, "has_identity")?,
                owned: get(client, row, "owned")?,
                owner: get(client, row, "owner")?,
                readable: get(client, row, "readable")?,
            })
        })
        .collect()
}
