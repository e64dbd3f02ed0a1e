//! SQL as PostgreSQL speaks it: every statement takes the rows of a batch at once, as one array a column (`unnest`).

use cdc_core::{Field, Schema};

use super::parameter::Bind;
use super::text::write_text;
use super::types::{ColumnType, column_type, fit};
use crate::error::SinkError;
use crate::sql::dialect::{Dialect, Fit, literal, quote};
use crate::sql::naming::{DEFAULT_SCHEMA, TableName};
use crate::sql::table::Column;

/// The longest name in bytes (`NAMEDATALEN` - 1); longer ones would be cut, and two could become one.
const LONGEST_NAME: usize = 63;

#[derive(Debug, Clone, Copy)]
pub(super) struct Postgres {
    /// Whether the server was built with libxml.
    pub(super) xml: bool,
}

impl Dialect for Postgres {
    type Bind = Bind;

    const INSERT_CLAUSE: &'static str = " OVERRIDING SYSTEM VALUE";
    const TIME_TYPE: &'static str = "timestamptz";
    const NOW: &'static str = "now()";

    fn same_name(&self, a: &str, b: &str) -> bool {
        a == b
    }

    fn check_name(&self, target: &str, what: &str, name: &str) -> Result<(), SinkError> {
        let reason = match name.len() {
            0 => format!("PostgreSQL allows no {what} without a name"),
            1..=LONGEST_NAME => return Ok(()),
            length => format!(
                "the name of the {what} {name:?} has {length} bytes, and PostgreSQL allows {LONGEST_NAME}"
            ),
        };
        Err(SinkError::Name {
            target: target.to_owned(),
            reason,
            remedy: "give it another one (a table with .table_names(..)), or leave it out".into(),
        })
    }

    fn table(&self, name: &TableName) -> String {
        let schema = name.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
        format!("{}.{}", quote(schema), quote(&name.table))
    }

    fn column_type(&self, field: &Field) -> String {
        column_type(field, self.xml)
    }

    fn fit(&self, existing: &str, field: &Field) -> Fit {
        fit(existing, field, self.xml)
    }

    fn bind(&self, column_type: &str, field: &Field) -> Bind {
        let parsed = ColumnType::parse(column_type);
        Bind::of(&parsed.base, parsed.array, field.data_type())
    }

    /// With a default the rows that are there get it without being rewritten; they keep it when the default is dropped.
    fn add_column(
        &self,
        table: &str,
        column: &str,
        column_type: &str,
        field: &Field,
    ) -> Vec<String> {
        let Some(default) = field.value_type.default.as_ref().filter(|value| !value.is_null())
        else {
            return vec![format!("ALTER TABLE {table} ADD COLUMN {column} {column_type}")];
        };
        let mut text = String::new();
        let array = ColumnType::parse(column_type).array;
        let instant = matches!(field.data_type(), cdc_core::DataType::TimestampTz { .. });
        write_text(&mut text, &default.as_ref(), array, instant);
        vec![
            format!(
                "ALTER TABLE {table} ADD COLUMN {column} {column_type} DEFAULT {}",
                literal(&text)
            ),
            format!("ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT"),
        ]
    }

    fn alter_type(&self, table: &str, column: &str, column_type: &str) -> Option<String> {
        Some(format!(
            "ALTER TABLE {table} ALTER COLUMN {column} TYPE {column_type} USING {column}::{column_type}"
        ))
    }

    fn drop_not_null(&self, table: &str, column: &str) -> Option<String> {
        Some(format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"))
    }

    fn comments(&self, table: &str, schema: &Schema) -> Vec<String> {
        let of_table =
            schema.comment().map(|text| format!("COMMENT ON TABLE {table} IS {}", literal(text)));
        let of_columns = schema.fields().iter().filter_map(|field| {
            let text = literal(field.comment.as_ref()?);
            Some(format!("COMMENT ON COLUMN {table}.{} IS {text}", quote(&field.name)))
        });
        of_table.into_iter().chain(of_columns).collect()
    }

    fn add_key(&self, table: &str, key: &[String]) -> String {
        format!("ALTER TABLE {table} ADD PRIMARY KEY ({})", key.join(", "))
    }

    fn rows(&self, columns: &[&Column<Bind>]) -> Option<String> {
        let arrays: Vec<_> = columns
            .iter()
            .zip(1..)
            .map(|(column, place)| format!("${place}::{}[]", column.bind.element()))
            .collect();
        let names: Vec<_> = (1..=columns.len()).map(|place| format!("p{place}")).collect();
        Some(format!("unnest({}) AS u({})", arrays.join(", "), names.join(", ")))
    }

    fn parameter(&self, place: usize, column: &Column<Bind>) -> String {
        match column.bind {
            Bind::Text { .. } if column.type_name != "text" => {
                format!("u.p{place}::{}", ColumnType::parse(&column.type_name).cast())
            }
            _ => format!("u.p{place}"),
        }
    }

    /// By their text where types have no equality (json, xml, point), or one that takes different values for one
    /// (numeric 1.0 and 1.00, float 0 and -0).
    fn same_value(&self, column: &str, parameter: &str, bind: Bind) -> String {
        match bind {
            Bind::Text { .. } | Bind::Float4 | Bind::Float8 | Bind::Numeric => {
                format!("{column}::text IS NOT DISTINCT FROM ({parameter})::text")
            }
            _ => format!("{column} IS NOT DISTINCT FROM {parameter}"),
        }
    }

    fn delete_one(&self, table: &str, rows: Option<&str>, condition: &str) -> String {
        let hit = hit(table, rows, condition);
        format!(
            "{hit} DELETE FROM {table} AS y USING hit WHERE y.ctid = hit.place AND y.tableoid = hit.part"
        )
    }

    fn update_one(
        &self,
        table: &str,
        rows: Option<&str>,
        assignments: &str,
        condition: &str,
    ) -> String {
        let hit = hit(table, rows, condition);
        format!(
            "{hit} UPDATE {table} AS y SET {assignments} FROM u, hit \
             WHERE y.ctid = hit.place AND y.tableoid = hit.part"
        )
    }

    fn truncate(&self, table: &str) -> String {
        format!("TRUNCATE TABLE {table}")
    }
}

/// The place of one row that meets the condition, looked for once.
fn hit(table: &str, rows: Option<&str>, condition: &str) -> String {
    format!(
        "WITH u AS MATERIALIZED (SELECT * FROM {}), hit AS MATERIALIZED \
         (SELECT x.ctid AS place, x.tableoid AS part FROM {table} AS x, u WHERE {condition} LIMIT 1)",
        rows.unwrap_or("(SELECT)")
    )
}
