//! The columns of tables, with what the log does not carry: nullability, defaults, comments, the order of the key.

use cdc_core::{Field, NativeType, Schema, TableId, ValueType};
use cdc_pgconn::SqlClient;

use super::types::TypeCatalog;
use super::{both, failed, get};
use crate::error::PostgresError;
use crate::types::{ColumnType, constant_default, length_and_scale, resolve};

/// A column as the catalog has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogColumn {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
    pub(crate) native: String,
    pub(crate) not_null: bool,
    /// The expression of its default; a generated column has none.
    pub(crate) default: Option<String>,
    pub(crate) generated: bool,
    pub(crate) comment: Option<String>,
}

/// A table's columns and key as the catalog has them now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableColumns {
    pub(crate) columns: Vec<CatalogColumn>,
    /// The columns that identify a row, in the order of their index: the primary key, or the identity index where one was
    /// chosen; with REPLICA IDENTITY NOTHING none.
    pub(crate) key: Vec<String>,
    /// The columns of the primary key, whatever the identity, else of the unique index whose name comes first (not a partial
    /// one, nor one of expressions): what Debezium takes as the key of records where there is no primary key.
    pub(crate) unique: Vec<String>,
    pub(crate) comment: Option<String>,
}

impl TableColumns {
    /// Without [`TableColumns::unique`], where it is not wanted.
    pub(crate) fn with_unique(mut self, wanted: bool) -> Self {
        if !wanted {
            self.unique.clear();
        }
        self
    }

    /// The column with a name.
    pub(crate) fn column(&self, name: &str) -> Option<&CatalogColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A table with its comment, its key, and the columns of the index that can stand for one.
const TABLE: &str = "SELECT obj_description(c.oid, 'pg_class') AS comment, \
            ARRAY(SELECT a.attname::text \
                  FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place), pg_attribute a \
                  WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate \
                    AND k.place <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum \
                    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false ELSE i.indisprimary END \
                  ORDER BY k.place) AS key, \
            ARRAY(SELECT a.attname::text \
                  FROM (SELECT i.indkey, i.indnkeyatts FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
                        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
                        ORDER BY i.indisprimary DESC, x.relname LIMIT 1) AS i, \
                       unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place), pg_attribute a \
                  WHERE k.place <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum ORDER BY k.place) AS unique_key \
     FROM pg_class c WHERE c.oid = $1";

/// The columns of a table.
const COLUMNS: &str = "SELECT a.attname::text AS name, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod) AS native, \
            a.attnotnull, a.attgenerated::text <> '' AS generated, \
            pg_get_expr(d.adbin, d.adrelid) AS expression, col_description(a.attrelid, a.attnum) AS comment \
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Reads the columns of a table. `None` when there is no such table any more.
pub(crate) async fn columns(
    client: &SqlClient,
    table: u32,
) -> Result<Option<TableColumns>, PostgresError> {
    const WHAT: &str = "reading the columns of a table";
    let ask = async |sql| {
        let statement = client.prepare_once(sql).await.map_err(failed(client, WHAT))?;
        client.query(&statement, &[&table]).await.map_err(failed(client, WHAT))
    };
    // Together, for each chunk of a snapshot waits for them.
    let (found, rows) = tokio::join!(ask(TABLE), ask(COLUMNS));
    let (found, rows) = both(found, rows)?;
    let Some(found) = found.first() else { return Ok(None) };
    let columns = rows
        .iter()
        .map(|row| {
            let generated: bool = get(client, row, "generated")?;
            let expression: Option<String> = get(client, row, "expression")?;
            Ok(CatalogColumn {
                name: get(client, row, "name")?,
                type_oid: get(client, row, "atttypid")?,
                modifier: get(client, row, "atttypmod")?,
                native: get(client, row, "native")?,
                not_null: get(client, row, "attnotnull")?,
                default: expression.filter(|_| !generated),
                generated,
                comment: get(client, row, "comment")?,
            })
        })
        .collect::<Result<Vec<_>, PostgresError>>()?;
    Ok(Some(TableColumns {
        columns,
        key: get(client, found, "key")?,
        unique: get(client, found, "unique_key")?,
        comment: get(client, found, "comment")?,
    }))
}

/// What the log, or the catalog itself, says of a column before the rest is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedType {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
}

/// The schema of a table whose columns are these, with the rest from the catalog, matched by name; and how each column's
/// text is read.
///
/// A column that the catalog has no more is optional and has no default. Columns of a unique index may be NULL.
pub(crate) fn schema_of(
    table: &TableId,
    columns: &[NamedType],
    key: &[String],
    catalog: &TableColumns,
    types: &TypeCatalog,
) -> cdc_core::Result<(std::sync::Arc<Schema>, Vec<ColumnType>)> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut resolved = Vec::with_capacity(columns.len());
    for column in columns {
        let column_type = resolve(column.type_oid, column.modifier, &|oid| types.get(oid));
        let now = catalog.column(&column.name);
        let not_null = column_type.not_null
            || now.is_some_and(|now| now.not_null)
            || key.contains(&column.name) && catalog.key.contains(&column.name)
            || key.contains(&column.name) && now.is_none();
        let mut value_type =
            ValueType { optional: !not_null, ..ValueType::required(column_type.data_type.clone()) };
        // Where the type has changed since, a default that is a constant of both was the same before: ALTER TYPE keeps it.
        value_type.default = now
            .and_then(|now| now.default.as_deref())
            .and_then(|expression| constant_default(expression, &column_type.kind));
        let constant = value_type.default.is_some();
        let same_type = now.filter(|now| now.type_oid == column.type_oid);
        let expression = same_type.and_then(|now| now.default.as_deref());
        let mut field = Field::new(column.name.as_str(), value_type);
        let (length, scale) = length_and_scale(&column_type.data_type);
        field.native = Some(NativeType {
            name: match same_type.filter(|now| now.modifier == column.modifier) {
                Some(now) => now.native.as_str().into(),
                None => types
                    .get(column.type_oid)
                    .map_or_else(|| column_type.data_type.to_string().into(), |found| found.name),
            },
            length,
            scale,
        });
        field.default_expression = expression.filter(|_| !constant).map(Into::into);
        field.comment = now.and_then(|now| now.comment.as_deref()).map(Into::into);
        fields.push(field);
        resolved.push(column_type);
    }
    let mut schema =
        Schema::builder().table(table.clone()).fields(fields).key(key.iter().map(String::as_str));
    if let Some(comment) = &catalog.comment {
        schema = schema.comment(comment.as_str());
    }
    Ok((schema.build()?, resolved))
}

#[cfg(test)]
mod tests {
    use cdc_core::{DataType, Value};

    use super::*;

    fn column(name: &str, type_oid: u32) -> CatalogColumn {
        CatalogColumn {
            name: name.into(),
            type_oid,
            modifier: -1,
            native: "integer".into(),
            not_null: true,
            default: Some("7".into()),
            generated: false,
            comment: None,
        }
    }

    fn named(name: &str, type_oid: u32) -> NamedType {
        NamedType { name: name.into(), type_oid, modifier: -1 }
    }

    #[test]
    fn what_the_log_lacks_comes_from_the_catalog_by_name() {
        let catalog = TableColumns {
            columns: vec![column("b", 23), column("a", 23)],
            ..TableColumns::default()
        };
        let (schema, _) = schema_of(
            &TableId::new("public", "t"),
            &[named("a", 23), named("gone", 25)],
            &["a".into()],
            &catalog,
            &TypeCatalog::default(),
        )
        .unwrap();
        let a = schema.field(0).unwrap();
        assert_eq!(a.value_type.default, Some(Value::Int32(7)));
        assert!(!a.value_type.optional);
        let gone = schema.field(1).unwrap();
        assert!(gone.value_type.optional && gone.value_type.default.is_none());
        assert_eq!(gone.data_type(), &DataType::TEXT);
    }

    #[test]
    fn a_default_of_a_later_type_is_taken_where_it_is_a_constant_of_both() {
        let default_of = |text: &str, type_oid: u32| {
            let mut now = column("a", 20);
            now.default = Some(text.into());
            let catalog = TableColumns { columns: vec![now], ..TableColumns::default() };
            let columns = [named("a", type_oid)];
            let id = TableId::new("public", "t");
            let types = TypeCatalog::default();
            let (schema, _) = schema_of(&id, &columns, &[], &catalog, &types).unwrap();
            let field = schema.field(0).unwrap();
            (field.value_type.default.clone(), field.default_expression.clone())
        };
        assert_eq!(default_of("'5'::bigint", 23), (Some(Value::Int32(5)), None));
        assert_eq!(default_of("'5000000000'::bigint", 23), (None, None));
        assert_eq!(default_of("random()", 23), (None, None));
        assert!(default_of("random()", 20).1.is_some());
    }
}
