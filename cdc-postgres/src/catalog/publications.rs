//! Publications: which there are, and what they publish.

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use super::tables::{Table, TableKind};
use super::{failed, get};
use crate::error::PostgresError;

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) name: String,
    pub(crate) oid: u32,
    pub(crate) all_tables: bool,
    pub(crate) owned: bool,
    pub(crate) owner: String,
    pub(crate) inserts: bool,
    pub(crate) updates: bool,
    pub(crate) deletes: bool,
    pub(crate) truncates: bool,
}

/// A table as it is published: a leaf of a partitioned table, or its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedTable {
    pub(crate) oid: u32,
    pub(crate) id: TableId,
    pub(crate) partitioned: bool,
    /// The published columns; `None` for all that are not generated, as always where the server has no column lists
    /// (before 15).
    pub(crate) columns: Option<Vec<String>>,
    /// The row filter.
    pub(crate) filter: Option<String>,
}

impl PublishedTable {
    /// A table whose rows are read whether or not it is published.
    pub(crate) fn whole(table: &Table) -> Self {
        PublishedTable {
            oid: table.oid,
            id: table.id.clone(),
            partitioned: table.kind == TableKind::Partitioned,
            columns: None,
            filter: None,
        }
    }
}

/// The publications with these names.
pub(crate) async fn find(
    client: &SqlClient,
    names: &[String],
) -> Result<Vec<Publication>, PostgresError> {
    let rows = client
        .query(
            "SELECT pubname::text AS name, oid, puballtables, \
                    pg_has_role(pubowner, 'USAGE') AS owned, pg_get_userbyid(pubowner)::text AS owner, \
                    pubinsert, pubupdate, pubdelete, pubtruncate \
             FROM pg_publication WHERE pubname::text = ANY ($1) ORDER BY pubname",
            &[&names],
        )
        .await
        .map_err(failed(client, "reading the publications"))?;
    rows.iter()
        .map(|row| {
            Ok(Publication {
                name: get(client, row, "name")?,
                oid: get(client, row, "oid")?,
                all_tables: get(client, row, "puballtables")?,
                owned: get(client, row, "owned")?,
                owner: get(client, row, "owner")?,
                inserts: get(client, row, "pubinsert")?,
                updates: get(client, row, "pubupdate")?,
                deletes: get(client, row, "pubdelete")?,
                truncates: get(client, row, "pubtruncate")?,
            })
        })
        .collect()
}

/// The OIDs of the publications with these names: what a running source checks.
pub(crate) async fn oids(
    client: &SqlClient,
    names: &[String],
) -> Result<Vec<(String, u32)>, PostgresError> {
    let rows = client
        .query(
            "SELECT pubname::text AS name, oid FROM pg_publication WHERE pubname::text = ANY ($1) ORDER BY pubname",
            &[&names],
        )
        .await
        .map_err(failed(client, "looking for the publications"))?;
    rows.iter().map(|row| Ok((get(client, row, "name")?, get(client, row, "oid")?))).collect()
}

/// The tables that are entered in a publication by name, as `(schema, table)`.
pub(crate) async fn members(client: &SqlClient, name: &str) -> Result<Vec<TableId>, PostgresError> {
    let rows = client
        .query(
            "SELECT n.nspname::text AS schema, c.relname::text AS name \
             FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid \
             JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE p.pubname::text = $1 ORDER BY 1, 2",
            &[&name],
        )
        .await
        .map_err(failed(client, "reading the tables of a publication"))?;
    rows.iter()
        .map(|row| {
            let (schema, name): (String, String) =
                (get(client, row, "schema")?, get(client, row, "name")?);
            Ok(TableId::new(schema, name))
        })
        .collect()
}

/// What the publications publish, with column lists and row filters. A table in several of them comes once a publication.
pub(crate) async fn published(
    client: &SqlClient,
    names: &[String],
) -> Result<Vec<PublishedTable>, PostgresError> {
    // Column lists and row filters are shown from PostgreSQL 15 on, where they exist. The view shows a list for every table: one
    // that nobody gave must not hide a column that is added before the table is locked.
    let given = "EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid \
         WHERE p.pubname = t.pubname AND r.prattrs IS NOT NULL \
           AND r.prrelid IN (SELECT c.oid UNION SELECT relid::oid FROM pg_partition_ancestors(c.oid)))";
    let generated = "EXISTS (SELECT FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND a.attname = ANY (t.attnames))";
    let (columns, filter) = match client.server_version() {
        180_000.. => {
            (format!("CASE WHEN {given} OR {generated} THEN t.attnames::text[] END"), "t.rowfilter")
        }
        150_000.. => (format!("CASE WHEN {given} THEN t.attnames::text[] END"), "t.rowfilter"),
        _ => ("NULL::text[]".to_owned(), "NULL::text"),
    };
    let rows = client
        .query(
            &format!(
                "SELECT c.oid, t.schemaname::text AS schema, t.tablename::text AS name, \
                        c.relkind = 'p' AS partitioned, {columns} AS columns, {filter} AS filter \
                 FROM pg_publication_tables t \
                 JOIN pg_namespace n ON n.nspname = t.schemaname \
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
                 WHERE t.pubname::text = ANY ($1) ORDER BY 2, 3"
            ),
            &[&names],
        )
        .await
        .map_err(failed(client, "reading what the publications publish"))?;
    rows.iter()
        .map(|row| {
            let (schema, name): (String, String) =
                (get(client, row, "schema")?, get(client, row, "name")?);
            Ok(PublishedTable {
                oid: get(client, row, "oid")?,
                id: TableId::new(schema, name),
                partitioned: get(client, row, "partitioned")?,
                columns: get(client, row, "columns")?,
                filter: get(client, row, "filter")?,
            })
        })
        .collect()
}
