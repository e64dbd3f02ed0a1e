//! From a source's schema to the target's table: what is made, added, widened, and what cannot be.

use std::sync::Arc;

use cdc_core::{DataType, Schema};

use super::dialect::{Dialect, Fit, quote};
use super::naming::TableName;
use crate::error::{SinkError, TypeConflict};

/// A table as it is in the target.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExistingTable {
    pub(crate) columns: Vec<ExistingColumn>,
    /// The columns of each key that an upsert can rely on.
    pub(crate) unique: Vec<Vec<String>>,
}

/// A column as it is in the target.
#[derive(Debug, Clone)]
pub(crate) struct ExistingColumn {
    pub(crate) name: String,
    /// The type with its modifiers.
    pub(crate) type_name: String,
    pub(crate) not_null: bool,
    /// Whether a row that does not name the column gets a value.
    pub(crate) has_default: bool,
    /// Whether the target computes it, so that nothing can be written to it.
    pub(crate) generated: bool,
}

/// A column that the source has, as it will be in the target.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "SQLite's parameters have neither names nor types")
)]
pub(crate) struct Column<B> {
    pub(crate) name: Arc<str>,
    pub(crate) quoted: String,
    /// The type with its modifiers.
    pub(crate) type_name: String,
    pub(crate) bind: B,
    /// Whether a timestamp in it is an instant.
    pub(crate) instant: bool,
    pub(crate) writable: bool,
}

/// What brings the target's table to a schema.
#[derive(Debug)]
pub(crate) struct Layout<B> {
    /// Statements to run, in order.
    pub(crate) statements: Vec<String>,
    /// The columns of the schema, in its order.
    pub(crate) columns: Vec<Column<B>>,
}

/// Compares a schema with the target's table.
pub(crate) fn layout<D: Dialect>(
    dialect: &D,
    target: &str,
    name: &TableName,
    schema: &Schema,
    existing: Option<&ExistingTable>,
) -> Result<Layout<D::Bind>, SinkError> {
    let table = dialect.table(name);
    let mut layout = Layout { statements: Vec::new(), columns: Vec::new() };
    match existing {
        None => {
            layout.statements.push(create(dialect, &table, schema));
            layout.statements.extend(dialect.comments(&table, schema));
        }
        Some(existing) => {
            check_key(dialect, target, name, schema, existing)?;
            free_dropped_columns(dialect, target, name, schema, existing, &mut layout.statements)?;
        }
    }
    for (index, field) in schema.fields().iter().enumerate() {
        let quoted = quote(&field.name);
        let there = existing.and_then(|table| {
            table.columns.iter().find(|c| dialect.same_name(&c.name, &field.name))
        });
        let mut type_name = dialect.column_type(field);
        match there {
            None if existing.is_some() => {
                layout.statements.extend(dialect.add_column(&table, &quoted, &type_name, field));
            }
            None => {}
            Some(there) if there.generated => {}
            Some(there) => {
                match dialect.fit(&there.type_name, field) {
                    Fit::Holds => type_name.clone_from(&there.type_name),
                    Fit::Widen(wider) => match dialect.alter_type(&table, &quoted, &wider) {
                        Some(statement) => {
                            layout.statements.push(statement);
                            type_name = wider;
                        }
                        None => return Err(conflict(dialect, target, name, there, field)),
                    },
                    Fit::Conflict => return Err(conflict(dialect, target, name, there, field)),
                }
                if there.not_null && field.value_type.optional && !schema.is_key(index) {
                    layout.statements.extend(dialect.drop_not_null(&table, &quoted));
                }
            }
        }
        layout.columns.push(Column {
            name: Arc::clone(&field.name),
            quoted,
            bind: dialect.bind(&type_name, field),
            type_name,
            instant: is_instant(field.data_type()),
            writable: there.is_none_or(|there| !there.generated),
        });
    }
    Ok(layout)
}

fn is_instant(data_type: &DataType) -> bool {
    match data_type {
        DataType::TimestampTz { .. } => true,
        DataType::Array(element) => is_instant(&element.data_type),
        _ => false,
    }
}

/// Whether the target can have a table with this name and these columns, before anything is looked up by name.
pub(crate) fn check_names<D: Dialect>(
    dialect: &D,
    target: &str,
    name: &TableName,
    schema: &Schema,
) -> Result<(), SinkError> {
    if let Some(schema) = &name.schema {
        dialect.check_name(target, "schema", schema)?;
    }
    dialect.check_name(target, "table", &name.table)?;
    let fields = schema.fields();
    if fields.is_empty() {
        return Err(SinkError::Name {
            target: target.to_owned(),
            reason: format!("the table {name} has no columns"),
            remedy: "leave the table out".into(),
        });
    }
    for (index, field) in fields.iter().enumerate() {
        dialect.check_name(target, "column", &field.name)?;
        let before = fields.iter().take(index).find(|f| dialect.same_name(&f.name, &field.name));
        if let Some(before) = before {
            return Err(SinkError::Name {
                target: target.to_owned(),
                reason: format!(
                    "the columns {:?} and {:?} of table {name} have one name here",
                    before.name, field.name
                ),
                remedy: "rename one of them, or leave one out".into(),
            });
        }
    }
    Ok(())
}

fn create<D: Dialect>(dialect: &D, table: &str, schema: &Schema) -> String {
    let mut parts: Vec<String> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let not_null = if schema.is_key(index) { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", quote(&field.name), dialect.column_type(field))
        })
        .collect();
    if schema.has_key() {
        parts.push(format!(
            "PRIMARY KEY ({})",
            key_names(schema).map(quote).collect::<Vec<_>>().join(", ")
        ));
    }
    format!("CREATE TABLE {table} ({})", parts.join(", "))
}

fn key_names(schema: &Schema) -> impl Iterator<Item = &str> {
    schema.key().iter().filter_map(|&at| schema.field(at)).map(|field| &*field.name)
}

/// The columns of the source's key must be a key of the target too, in whatever order.
fn check_key<D: Dialect>(
    dialect: &D,
    target: &str,
    name: &TableName,
    schema: &Schema,
    existing: &ExistingTable,
) -> Result<(), SinkError> {
    let key: Vec<&str> = key_names(schema).collect();
    let matches = |unique: &Vec<String>| {
        unique.len() == key.len()
            && key.iter().all(|column| unique.iter().any(|u| dialect.same_name(u, column)))
    };
    if key.is_empty() || existing.unique.iter().any(matches) {
        return Ok(());
    }
    let quoted: Vec<String> = key.iter().map(|column| quote(column)).collect();
    Err(SinkError::NoUniqueKey {
        target: target.to_owned(),
        table: name.to_string(),
        key: key.join(", "),
        statement: dialect.add_key(&dialect.table(name), &quoted),
    })
}

/// A column that the source does not have (any more) stays, and must not stand in the way of a new row.
fn free_dropped_columns<D: Dialect>(
    dialect: &D,
    target: &str,
    name: &TableName,
    schema: &Schema,
    existing: &ExistingTable,
    statements: &mut Vec<String>,
) -> Result<(), SinkError> {
    let table = dialect.table(name);
    for column in &existing.columns {
        let known =
            schema.fields().iter().any(|field| dialect.same_name(&field.name, &column.name));
        if known || !column.not_null || column.has_default || column.generated {
            continue;
        }
        match dialect.drop_not_null(&table, &quote(&column.name)) {
            Some(statement) => statements.push(statement),
            None => {
                return Err(SinkError::Name {
                    target: target.to_owned(),
                    reason: format!(
                        "column {:?} of table {name} is NOT NULL without a default, and the source does not have it",
                        column.name
                    ),
                    remedy: format!("run ALTER TABLE {table} DROP COLUMN {}", quote(&column.name)),
                });
            }
        }
    }
    Ok(())
}

fn conflict<D: Dialect>(
    dialect: &D,
    target: &str,
    name: &TableName,
    there: &ExistingColumn,
    field: &cdc_core::Field,
) -> SinkError {
    let table = dialect.table(name);
    let wanted = dialect.column_type(field);
    let remedy = match dialect.alter_type(&table, &quote(&there.name), &wanted) {
        Some(statement) => {
            format!("run {statement}, or rename the column or the table in the target")
        }
        None => {
            format!("rename the column or the table in the target, or make the column {wanted}")
        }
    };
    let source_type =
        field.native.as_ref().map_or_else(|| field.data_type().to_string(), |n| n.name.to_string());
    SinkError::TypeConflict(Box::new(TypeConflict {
        target: target.to_owned(),
        table: name.to_string(),
        column: there.name.clone(),
        target_type: there.type_name.clone(),
        source_type,
        remedy,
    }))
}
