//! Tables as the log describes them: the schema of an event is the one at its position.
//!
//! Names, types, modifiers and order come from the log's Relation message; what it does not carry (nullability, defaults,
//! enum labels, and the key with REPLICA IDENTITY FULL) from the catalog when a new version arrives.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::{Destination, Schema, TableId};

use crate::catalog::columns::{NamedType, TableColumns, schema_of};
use crate::catalog::types::TypeCatalog;
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{self, ReplicaIdentity};
use crate::types::ColumnType;

/// A column of a relation.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    /// It is of the replica identity: a key-only row before a change has it.
    pub(crate) is_identity: bool,
}

/// A table at a position of the log.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) table: Arc<TableId>,
    pub(crate) destination: Destination,
    pub(crate) schema: Arc<Schema>,
    pub(crate) columns: Vec<Column>,
    /// The table is one of those that are wanted.
    pub(crate) wanted: bool,
}

impl Relation {
    /// Puts together what the log and the catalog say.
    pub(crate) fn new(
        message: &pgoutput::Relation,
        catalog: &TableColumns,
        types: &TypeCatalog,
        wanted: bool,
        at: Lsn,
    ) -> Result<Self, PostgresError> {
        let namespace =
            if message.namespace.is_empty() { "pg_catalog" } else { message.namespace.as_str() };
        let table = TableId::new(namespace, message.name.as_str());
        let columns: Vec<NamedType> = message
            .columns
            .iter()
            .map(|column| NamedType {
                name: column.name.clone(),
                type_oid: column.type_id,
                modifier: column.type_modifier,
            })
            .collect();
        let key = key(message, catalog);
        let (schema, types) = schema_of(&table, &columns, &key, catalog, types)
            .map_err(|error| PostgresError::Log { position: at, reason: error.to_string() })?;
        let columns = message
            .columns
            .iter()
            .zip(types)
            .map(|(column, column_type)| Column {
                name: column.name.clone(),
                column_type,
                is_identity: column.is_key,
            })
            .collect();
        Ok(Relation {
            destination: Destination::of_table(&table),
            table: Arc::new(table),
            schema,
            columns,
            wanted,
        })
    }
}

/// The key's columns: those that identify a row, else those of a unique index where they are wanted.
fn key(message: &pgoutput::Relation, catalog: &TableColumns) -> Vec<String> {
    let identity = identity(message, &catalog.key);
    let has = |name: &String| message.columns.iter().any(|column| column.name == *name);
    match identity.is_empty() && catalog.unique.iter().all(has) {
        true => catalog.unique.clone(),
        false => identity,
    }
}

/// With FULL, where the log marks every column, they are the catalog's as far as the log has its columns; else the marked
/// ones, in the order of the catalog's index where it is the same set.
fn identity(message: &pgoutput::Relation, catalog: &[String]) -> Vec<String> {
    let has = |name: &String| message.columns.iter().any(|column| column.name == *name);
    match message.replica_identity {
        ReplicaIdentity::Nothing => Vec::new(),
        ReplicaIdentity::Full if catalog.iter().all(has) => catalog.to_vec(),
        ReplicaIdentity::Full => Vec::new(),
        ReplicaIdentity::Default | ReplicaIdentity::Index => {
            let marked: Vec<String> = message
                .columns
                .iter()
                .filter(|column| column.is_key)
                .map(|column| column.name.clone())
                .collect();
            let same =
                catalog.len() == marked.len() && catalog.iter().all(|name| marked.contains(name));
            if same { catalog.to_vec() } else { marked }
        }
    }
}

/// The relations that the log has described so far, and what was announced of them.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    by_oid: HashMap<u32, Arc<Relation>>,
    announced: HashMap<TableId, Arc<Schema>>,
    /// That of the last change, which was announced: the next change is mostly of the same.
    last: Option<(u32, Arc<Relation>)>,
}

impl Relations {
    pub(crate) fn insert(&mut self, oid: u32, mut relation: Relation) {
        // The log describes a table again without a change of it; what was compiled from its schema stays of use.
        if let Some(known) = self.announced.get(&*relation.table)
            && *known == relation.schema
        {
            relation.schema = Arc::clone(known);
        }
        self.last = None;
        self.by_oid.insert(oid, Arc::new(relation));
    }

    pub(crate) fn get(&self, oid: u32, at: Lsn) -> Result<Arc<Relation>, PostgresError> {
        if let Some((last, relation)) = &self.last
            && *last == oid
        {
            return Ok(Arc::clone(relation));
        }
        self.by_oid.get(&oid).cloned().ok_or_else(|| PostgresError::Log {
            position: at,
            reason: format!("a change of table {oid}, which it has not described"),
        })
    }

    /// Notes that a schema was announced.
    pub(crate) fn announce(&mut self, table: &TableId, schema: &Arc<Schema>) {
        self.announced.insert(table.clone(), Arc::clone(schema));
    }

    /// Whether the schema of a table with this OID has yet to be announced; notes that it was.
    pub(crate) fn begins(&mut self, oid: u32, relation: &Arc<Relation>) -> bool {
        if self.last.as_ref().is_some_and(|(last, _)| *last == oid) {
            return false;
        }
        self.last = Some((oid, Arc::clone(relation)));
        self.is_news(relation)
    }

    /// Whether the table's schema has yet to be announced; notes that it was.
    fn is_news(&mut self, relation: &Relation) -> bool {
        if self.announced.get(&*relation.table).is_some_and(|known| *known == relation.schema) {
            return false;
        }
        self.announce(&relation.table, &relation.schema);
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pgoutput::RelationColumn;

    pub(crate) fn message(
        identity: ReplicaIdentity,
        columns: &[(&str, u32, bool)],
    ) -> pgoutput::Relation {
        pgoutput::Relation {
            xid: None,
            id: 16_400,
            namespace: "public".into(),
            name: "t".into(),
            replica_identity: identity,
            columns: columns
                .iter()
                .map(|(name, type_id, is_key)| RelationColumn {
                    is_key: *is_key,
                    name: (*name).into(),
                    type_id: *type_id,
                    type_modifier: -1,
                })
                .collect(),
        }
    }

    fn key_of(message: &pgoutput::Relation, catalog: &[&str]) -> Vec<String> {
        let key = catalog.iter().map(|name| (*name).to_owned()).collect();
        super::key(message, &TableColumns { key, ..TableColumns::default() })
    }

    #[test]
    fn the_key_has_the_order_of_its_index() {
        let message = message(
            ReplicaIdentity::Default,
            &[("a", 23, true), ("b", 23, true), ("c", 25, false)],
        );
        assert_eq!(key_of(&message, &["b", "a"]), ["b", "a"]);
    }

    #[test]
    fn a_key_that_changed_since_is_the_logs() {
        let message = message(ReplicaIdentity::Default, &[("a", 23, true), ("b", 23, false)]);
        assert_eq!(key_of(&message, &["b"]), ["a"]);
    }

    #[test]
    fn with_full_identity_the_key_is_the_catalogs() {
        let message = message(ReplicaIdentity::Full, &[("a", 23, true), ("b", 23, true)]);
        assert_eq!(key_of(&message, &["b"]), ["b"]);
        assert_eq!(key_of(&message, &["gone"]), [""; 0]);
        assert_eq!(key_of(&message, &[]), [""; 0]);
    }

    #[test]
    fn a_schema_is_announced_once() {
        let message = message(ReplicaIdentity::Default, &[("a", 23, true)]);
        let relation = || {
            Relation::new(&message, &TableColumns::default(), &TypeCatalog::default(), true, Lsn(1))
                .unwrap()
        };
        let mut relations = Relations::default();
        assert!(relations.is_news(&relation()));
        assert!(!relations.is_news(&relation()));
    }
}
