//! What tables the file has.

use rusqlite::{Connection, OptionalExtension};

use crate::sql::table::{ExistingColumn, ExistingTable};

/// The table of this name, in whatever case; `None` when there is none.
pub(super) fn existing_table(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<ExistingTable>> {
    let found: Option<String> = connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE",
        )?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let Some(name) = found else { return Ok(None) };
    let mut table = ExistingTable::default();
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut statement = connection
        .prepare("SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)")?;
    let mut rows = statement.query([&name])?;
    while let Some(row) = rows.next()? {
        let column: String = row.get(0)?;
        let (pk, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
        if hidden == 1 {
            continue;
        }
        if pk > 0 {
            key.push((pk, column.clone()));
        }
        table.columns.push(ExistingColumn {
            name: column,
            type_name: row.get(1)?,
            not_null: row.get(2)?,
            has_default: row.get(3)?,
            generated: hidden > 1,
        });
    }
    if !key.is_empty() {
        table.unique.push(key.into_iter().map(|(_, column)| column).collect());
    }
    let mut statement = connection
        .prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial")?;
    let indexes: Vec<String> =
        statement.query_map([&name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for index in indexes {
        let mut statement = connection.prepare("SELECT name FROM pragma_index_info(?1)")?;
        let columns: Vec<Option<String>> =
            statement.query_map([&index], |row| row.get(0))?.collect::<Result<_, _>>()?;
        // A part of the index that is an expression has no name.
        if let Some(columns) = columns.into_iter().collect::<Option<Vec<_>>>() {
            table.unique.push(columns);
        }
    }
    Ok(Some(table))
}
