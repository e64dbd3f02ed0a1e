//! SQL as SQLite speaks it.
//!
//! Columns are declared `INTEGER`, `REAL`, `BLOB` or `TEXT`, and tables are not STRICT: SQLite has no NaN, so that a float column must be
//! able to keep it as text.

use cdc_core::{DataType, Field, Schema};

use super::value::literal_of;
use crate::error::SinkError;
use crate::sql::dialect::{Dialect, Fit, quote};
use crate::sql::naming::TableName;
use crate::sql::table::Column;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sqlite;

/// The affinities of columns, by which SQLite converts what is stored
/// (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

fn affinity_of(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |word: &str| declared.contains(word);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || declared.is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

fn affinity(data_type: &DataType) -> Affinity {
    match data_type {
        DataType::Bool
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => Affinity::Integer,
        DataType::Float32 | DataType::Float64 => Affinity::Real,
        DataType::Bytes { .. } => Affinity::Blob,
        _ => Affinity::Text,
    }
}

impl Dialect for Sqlite {
    type Bind = ();

    const INSERT_CLAUSE: &'static str = "";
    const TIME_TYPE: &'static str = "text";
    const NOW: &'static str = "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')";

    fn same_name(&self, a: &str, b: &str) -> bool {
        a.eq_ignore_ascii_case(b)
    }

    fn check_name(&self, target: &str, what: &str, name: &str) -> Result<(), SinkError> {
        let reserved = what == "table"
            && name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"));
        if name.is_empty() || reserved {
            return Err(SinkError::Name {
                target: target.to_owned(),
                reason: format!("SQLite allows no {what} of the name {name:?}"),
                remedy: "give it another one with .table_names(..), or leave it out".into(),
            });
        }
        Ok(())
    }

    fn table(&self, name: &TableName) -> String {
        quote(&name.table)
    }

    fn column_type(&self, field: &Field) -> String {
        match affinity(field.data_type()) {
            Affinity::Integer => "INTEGER",
            Affinity::Real => "REAL",
            Affinity::Blob => "BLOB",
            Affinity::Text | Affinity::Numeric => "TEXT",
        }
        .to_owned()
    }

    /// A column without a type converts nothing and so holds all; a NUMERIC one holds integers.
    fn fit(&self, existing: &str, field: &Field) -> Fit {
        let (there, wanted) = (affinity_of(existing), affinity(field.data_type()));
        let holds = there == wanted
            || there == Affinity::Blob && existing.is_empty()
            || there == Affinity::Numeric && wanted == Affinity::Integer;
        if holds { Fit::Holds } else { Fit::Conflict }
    }

    fn bind(&self, _: &str, _: &Field) {}

    /// SQLite cannot drop a default again, and a row that is replaced after the source dropped the column must not get it:
    /// so the rows that are there are updated.
    fn add_column(
        &self,
        table: &str,
        column: &str,
        column_type: &str,
        field: &Field,
    ) -> Vec<String> {
        let mut statements = vec![format!("ALTER TABLE {table} ADD COLUMN {column} {column_type}")];
        if let Some(default) = field.value_type.default.as_ref().filter(|value| !value.is_null()) {
            let instant = matches!(field.data_type(), DataType::TimestampTz { .. });
            let value = literal_of(&default.as_ref(), instant);
            statements.push(format!("UPDATE {table} SET {column} = {value}"));
        }
        statements
    }

    fn alter_type(&self, _: &str, _: &str, _: &str) -> Option<String> {
        None
    }

    fn drop_not_null(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn comments(&self, _: &str, _: &Schema) -> Vec<String> {
        Vec::new()
    }

    fn add_key(&self, table: &str, key: &[String]) -> String {
        format!("CREATE UNIQUE INDEX {} ON {table} ({})", quote("cdc_key"), key.join(", "))
    }

    fn rows(&self, _: &[&Column<()>]) -> Option<String> {
        None
    }

    fn parameter(&self, place: usize, _: &Column<()>) -> String {
        format!("?{place}")
    }

    fn same_value(&self, column: &str, parameter: &str, (): ()) -> String {
        format!("{column} IS {parameter}")
    }

    fn delete_one(&self, table: &str, _: Option<&str>, condition: &str) -> String {
        format!(
            "DELETE FROM {table} WHERE _rowid_ = (SELECT x._rowid_ FROM {table} AS x WHERE {condition} LIMIT 1)"
        )
    }

    fn update_one(
        &self,
        table: &str,
        _: Option<&str>,
        assignments: &str,
        condition: &str,
    ) -> String {
        format!(
            "UPDATE {table} SET {assignments} \
             WHERE _rowid_ = (SELECT x._rowid_ FROM {table} AS x WHERE {condition} LIMIT 1)"
        )
    }

    fn truncate(&self, table: &str) -> String {
        format!("DELETE FROM {table}")
    }
}
