//! The rows of one table, by COPY.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use cdc_core::{Row, RowsBuilder, Schema, TableId};
use cdc_pgconn::{ConnectError, CopyRows, SqlClient};

use super::SnapshotTable;
use crate::catalog::failed;
use crate::copy_text::{Line, LineSplitter, fields};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::types::{ColumnType, append};

/// Rows as lines of COPY, streamed: [`read`](Self::read) waits for some, [`next_line`](Self::next_line) gives them.
#[derive(Debug)]
pub(crate) struct TableRows {
    rows: CopyRows,
    lines: LineSplitter,
    table: Arc<TableId>,
    target: String,
}

impl TableRows {
    pub(crate) async fn open(
        client: &SqlClient,
        statement: &str,
        table: Arc<TableId>,
    ) -> Result<Self, PostgresError> {
        let what = format!("reading the rows of {table}");
        let rows = client.copy_rows(statement).await.map_err(failed(client, &what))?;
        let target = client.target().to_owned();
        Ok(TableRows { rows, lines: LineSplitter::default(), table, target })
    }

    /// Waits for more rows, when all that were there have been taken; false after the last.
    pub(crate) async fn read(&mut self) -> Result<bool, PostgresError> {
        match self.rows.next().await {
            Ok(Some(run)) => {
                self.lines.push(run);
                Ok(true)
            }
            Ok(None) if self.lines.has_rest() => Err(self.broken("ended in the middle of a row")),
            Ok(None) => Ok(false),
            Err(error) => Err(PostgresError::statement(
                format!("reading the rows of {}", self.table),
                ConnectError::from_sql(self.target.as_str(), error),
            )),
        }
    }

    /// The next row of those that are there.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        self.lines.next_line()
    }

    fn broken(&self, reason: &str) -> PostgresError {
        let reason = format!("COPY of {} {reason}", self.table);
        ConnectError::protocol(self.target.as_str(), reason).into()
    }
}

impl SnapshotTable {
    /// A row from its line; its values are there when the rows are sealed.
    pub(crate) fn row(
        &self,
        line: Line<'_>,
        at: Lsn,
        rows: &mut RowsBuilder,
    ) -> Result<Row, PostgresError> {
        row_of_line(line, &self.schema, &self.types, rows)
            .map_err(|refused| refused.of(&self.id, &self.schema, at))
    }
}

/// A line that is no row of its table.
#[derive(Debug)]
pub(crate) struct RefusedLine {
    column: Option<usize>,
    reason: String,
}

impl RefusedLine {
    pub(crate) fn of(self, table: &TableId, schema: &Schema, position: Lsn) -> PostgresError {
        let column = self.column.and_then(|at| schema.field(at));
        let column = column.map_or("*", |field| &*field.name).to_owned();
        PostgresError::Value { table: table.clone(), column, position, reason: self.reason }
    }
}

/// A row of these columns from its line; its values are there when the rows are sealed.
pub(crate) fn row_of_line(
    line: Line<'_>,
    schema: &Arc<Schema>,
    types: &[ColumnType],
    rows: &mut RowsBuilder,
) -> Result<Row, RefusedLine> {
    let first = rows.position();
    let row = append_line(line, types, rows).and_then(|()| {
        rows.row(schema, first)
            .map_err(|error| RefusedLine { column: None, reason: error.to_string() })
    });
    if row.is_err() {
        rows.truncate(first);
    }
    row
}

/// Adds the values of a line, or says which column is wrong.
fn append_line(
    line: Line<'_>,
    types: &[ColumnType],
    rows: &mut RowsBuilder,
) -> Result<(), RefusedLine> {
    // A table without columns still has rows: empty lines.
    if types.is_empty() {
        return Ok(());
    }
    let refused = |column, error: &dyn std::fmt::Display| RefusedLine {
        column: Some(column),
        reason: error.to_string(),
    };
    let Line { text: line, owner } = line;
    if memchr::memchr(b'\\', line).is_none() {
        // Without a backslash there is neither NULL nor anything to undo.
        let mut tabs = memchr::memchr_iter(b'\t', line);
        let mut start = 0;
        for (index, column) in types.iter().enumerate() {
            let end = tabs.next();
            let text = line.get(start..end.unwrap_or(line.len())).unwrap_or_default();
            append(&column.kind, text, owner, rows).map_err(|error| refused(index, &error))?;
            match end {
                Some(end) => start = end + 1,
                None => break,
            }
        }
        return Ok(());
    }
    for (index, (field, column)) in fields(line).zip(types).enumerate() {
        match field.map_err(|error| refused(index, &error))? {
            None => rows.null(),
            Some(Cow::Borrowed(text)) => {
                append(&column.kind, text, owner, rows).map_err(|error| refused(index, &error))?;
            }
            Some(Cow::Owned(text)) => {
                let text = Bytes::from(text);
                append(&column.kind, &text, &text, rows).map_err(|error| refused(index, &error))?;
            }
        }
    }
    Ok(())
}
