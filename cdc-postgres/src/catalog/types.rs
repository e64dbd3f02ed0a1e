//! Types that are not built in: enums, domains, arrays, and the names of all others.

use std::collections::HashMap;

use cdc_core::value::Text;
use cdc_pgconn::SqlClient;

use super::{failed, get};
use crate::error::PostgresError;
use crate::types::{CatalogType, Shape, needs_catalog};

/// The types that were asked for, by OID. Labels can be added to an enum, so it is asked again for each new version of
/// a table.
#[derive(Debug, Default, Clone)]
pub(crate) struct TypeCatalog(HashMap<u32, CatalogType>);

impl TypeCatalog {
    /// What is known of a type.
    pub(crate) fn get(&self, oid: u32) -> Option<CatalogType> {
        self.0.get(&oid).cloned()
    }

    /// Keeps a name that the log gave, for a type that the catalog has no more.
    pub(crate) fn name(&mut self, oid: u32, name: String) {
        self.0.entry(oid).or_insert_with(|| CatalogType { name: name.into(), shape: Shape::Plain });
    }

    /// Reads types, and those below them.
    pub(crate) async fn load(
        &mut self,
        client: &SqlClient,
        wanted: impl IntoIterator<Item = u32>,
    ) -> Result<(), PostgresError> {
        let mut wanted: Vec<u32> = wanted.into_iter().filter(|oid| needs_catalog(*oid)).collect();
        // Arrays of domains of arrays: each turn goes one level down.
        for _ in 0..32 {
            wanted.sort_unstable();
            wanted.dedup();
            if wanted.is_empty() {
                break;
            }
            let mut below = Vec::new();
            for (oid, found) in read(client, &wanted).await? {
                match found.shape {
                    Shape::Domain { base, .. } => below.push(base),
                    Shape::Array { element, .. } => below.push(element),
                    Shape::Plain | Shape::Enum(_) => {}
                }
                self.0.insert(oid, found);
            }
            wanted = below.into_iter().filter(|oid| needs_catalog(*oid)).collect();
        }
        Ok(())
    }
}

/// Types, what they are made of, and their labels.
const TYPES: &str = "SELECT t.oid, format_type(t.oid, NULL) AS name, t.typtype::text AS kind, \
            t.typbasetype AS base, t.typtypmod AS modifier, t.typnotnull AS not_null, \
            t.typelem AS element, t.typoutput = 'pg_catalog.array_out'::regproc AS is_array, \
            (SELECT e.typdelim::text FROM pg_type e WHERE e.oid = t.typelem) AS delimiter, \
            ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) AS labels \
            FROM pg_type t WHERE t.oid = ANY ($1)";

async fn read(client: &SqlClient, oids: &[u32]) -> Result<Vec<(u32, CatalogType)>, PostgresError> {
    const WHAT: &str = "reading types";
    let statement = client.prepare_once(TYPES).await.map_err(failed(client, WHAT))?;
    let rows = client.query(&statement, &[&oids]).await.map_err(failed(client, WHAT))?;
    rows.iter()
        .map(|row| {
            let kind: String = get(client, row, "kind")?;
            let is_array: bool = get(client, row, "is_array")?;
            let name: String = get(client, row, "name")?;
            let shape = match kind.as_str() {
                "e" => {
                    let labels: Vec<String> = get(client, row, "labels")?;
                    Shape::Enum(labels.into_iter().map(Text::from).collect())
                }
                "d" => Shape::Domain {
                    base: get(client, row, "base")?,
                    modifier: get(client, row, "modifier")?,
                    not_null: get(client, row, "not_null")?,
                },
                _ if is_array => Shape::Array {
                    element: get(client, row, "element")?,
                    delimiter: get::<Option<String>>(client, row, "delimiter")?
                        .and_then(|text| text.bytes().next())
                        .unwrap_or(b','),
                },
                _ => Shape::Plain,
            };
            Ok((get(client, row, "oid")?, CatalogType { name: name.into(), shape }))
        })
        .collect()
}
