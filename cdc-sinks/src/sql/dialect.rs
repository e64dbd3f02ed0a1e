//! What differs between SQL targets. A new target is a new implementation of [`Dialect`] and a sink that runs the statements.

use std::fmt::Debug;

use cdc_core::Field;

use super::naming::TableName;
use super::table::Column;
use crate::error::SinkError;

/// The words of a target. Tables and columns are given quoted.
pub(crate) trait Dialect {
    /// How a value of a column is sent.
    type Bind: Copy + Debug;

    /// What stands between an INSERT's columns and its rows.
    const INSERT_CLAUSE: &'static str;
    /// The type of `cdc_offsets.updated`.
    const TIME_TYPE: &'static str;
    /// The expression of the time now.
    const NOW: &'static str;

    /// Whether two names of columns are one.
    fn same_name(&self, a: &str, b: &str) -> bool;

    /// Whether the target can have a table or a column (`what`) of this name.
    fn check_name(&self, target: &str, what: &str, name: &str) -> Result<(), SinkError>;

    /// The quoted name of a table.
    fn table(&self, name: &TableName) -> String;

    /// The type of a new column.
    fn column_type(&self, field: &Field) -> String;

    /// Whether a column that is there can hold the values of a field.
    fn fit(&self, existing: &str, field: &Field) -> Fit;

    /// How the values of a field are sent to a column of this type.
    fn bind(&self, column_type: &str, field: &Field) -> Self::Bind;

    /// Adds a column, and gives the rows that are there the constant default of the field.
    fn add_column(
        &self,
        table: &str,
        column: &str,
        column_type: &str,
        field: &Field,
    ) -> Vec<String>;

    /// Changes the type of a column; `None` where the target cannot.
    fn alter_type(&self, table: &str, column: &str, column_type: &str) -> Option<String>;

    /// Lets a column be NULL; `None` where the target cannot.
    fn drop_not_null(&self, table: &str, column: &str) -> Option<String>;

    /// The statements that put the comments of a new table.
    fn comments(&self, table: &str, schema: &cdc_core::Schema) -> Vec<String>;

    /// The statement that makes a key unique, for a message.
    fn add_key(&self, table: &str, key: &[String]) -> String;

    /// What the parameters of a statement are taken from, where it takes many rows at once.
    fn rows(&self, columns: &[&Column<Self::Bind>]) -> Option<String>;

    /// The value of the parameter at a place, counted from 1.
    fn parameter(&self, place: usize, column: &Column<Self::Bind>) -> String;

    /// Whether a column equals a parameter, NULL equal to NULL, so that it tells apart what differs in any way.
    fn same_value(&self, column: &str, parameter: &str, bind: Self::Bind) -> String;

    /// Deletes one of the rows `x` that meet the condition.
    fn delete_one(&self, table: &str, rows: Option<&str>, condition: &str) -> String;

    /// Updates one of the rows `x` that meet the condition.
    fn update_one(
        &self,
        table: &str,
        rows: Option<&str>,
        assignments: &str,
        condition: &str,
    ) -> String;

    /// Empties a table.
    fn truncate(&self, table: &str) -> String;
}

/// Whether a column that is there can hold the values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It can.
    Holds,
    /// It can once it has this type, and no value that is there changes.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite alters no types"))]
    Widen(String),
    /// It cannot.
    Conflict,
}

/// A name in double quotes, as both SQLite and PostgreSQL read it.
pub(crate) fn quote(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Text in single quotes. PostgreSQL reads it so with `standard_conforming_strings`, which the session pins.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
